"""The head of a small SSD: boxes and scores on one map, the loss that trains them and what is found with them."""

HEAD = """
layer { name: "l" type: "Convolution" bottom: "MAP" top: "l"
        convolution_param { num_output: 4 kernel_size: 3 pad: 1 weight_filler { type: "xavier" } } }
layer { name: "lp" type: "Permute" bottom: "l" top: "lp" permute_param { order: 0 order: 2 order: 3 order: 1 } }
layer { name: "lf" type: "Flatten" bottom: "lp" top: "lf" }
layer { name: "c" type: "Convolution" bottom: "MAP" top: "c"
        convolution_param { num_output: CLASSES kernel_size: 3 pad: 1 weight_filler { type: "xavier" } } }
layer { name: "cp" type: "Permute" bottom: "c" top: "cp" permute_param { order: 0 order: 2 order: 3 order: 1 } }
layer { name: "cf" type: "Flatten" bottom: "cp" top: "cf" }
layer { name: "p" type: "PriorBox" bottom: "MAP" bottom: "data" top: "p"
        prior_box_param { min_size: SIDE variance: 0.1 variance: 0.1 variance: 0.2 variance: 0.2 } }
layer { name: "loss" type: "MultiBoxLoss" bottom: "lf" bottom: "cf" bottom: "p" bottom: "label" top: "loss"
        include { phase: TRAIN } propagate_down: true propagate_down: true propagate_down: false propagate_down: false
        multibox_loss_param { num_classes: CLASSES code_type: CENTER_SIZE overlap_threshold: 0.4 } }
layer { name: "cr" type: "Reshape" bottom: "cf" top: "cr" include { phase: TEST }
        reshape_param { shape { dim: 0 dim: -1 dim: CLASSES } } }
layer { name: "s" type: "Softmax" bottom: "cr" top: "s" include { phase: TEST } softmax_param { axis: 2 } }
layer { name: "sf" type: "Flatten" bottom: "s" top: "sf" include { phase: TEST } }
layer { name: "found" type: "DetectionOutput" bottom: "lf" bottom: "sf" bottom: "p" top: "found"
        include { phase: TEST } detection_output_param { num_classes: CLASSES code_type: CENTER_SIZE keep_top_k: MOST
        confidence_threshold: 0.01 nms_param { nms_threshold: 0.45 top_k: 100 } } }
"""


def ssd_head(on, classes, side, most):
    """Layers that find up to `most` objects in a picture, the background one of the `classes`.

    They read the blob `on`, the pictures `data` and in phase TRAIN the boxes `label`; default boxes have sides of
    `side` pixels. The tops are `loss` and, in phase TEST, `found`.
    """
    values = {'MAP': on, 'CLASSES': classes, 'SIDE': side, 'MOST': most}
    text = HEAD
    for name, value in values.items():
        text = text.replace(name, str(value))
    return text
