"""Nets and solvers of well-known families of forks, shortened: what of them is read, and what refused."""

import pytest

import caffe
from caffe.errors import CaffeError
from caffe.proto import caffe_pb2
from caffe.proto.files import parse_text

CONV = 'layer { name: "c" type: "%s" bottom: "x" top: "c" convolution_param { num_output: 8 kernel_size: 3 %s } %s }'
POOL = (
    'layer { name: "p" type: "Pooling" bottom: "c" top: "p" pooling_param { pool: AVE kernel_size: 3 stride: 2 %s } }'
)
IP = 'layer { name: "ip" type: "InnerProduct" bottom: "f" top: "ip" inner_product_param { num_output: 9 %s } }'
SOLVER = 'net: "train.prototxt" base_lr: 0.1 max_iter: 9 lr_policy: '


def layer(kind, parameter=''):
    return f'layer {{ name: "{kind}" type: "{kind}" bottom: "x" bottom: "label" top: "y" {parameter} }}'


NETS = {
    'MobileFaceNet with DepthwiseConvolution': CONV % ('DepthwiseConvolution', 'group: 8 engine: CAFFE', ''),
    'MobileNet with ConvolutionDepthwise': CONV % ('ConvolutionDepthwise', 'stride: 1', ''),
    'DenseNet': POOL % 'ceil_mode: false',
    'SENet with Axpy': layer('Axpy'),
    'ShuffleNet': layer('ShuffleChannel', 'shuffle_channel_param { group: 3 }'),
    'CosFace': IP % 'normalize: true' + layer('LabelSpecificAdd', 'label_specific_add_param { bias: -0.35 }'),
    'ArcFace': layer('CosinAddm', 'cosin_add_m_param { m: 0.5 }') + layer('NormL2'),
    'combined margins': layer('CombinedMargin', 'combined_margin_param { m1: 1 m2: 0.3 m3: 0.2 }'),
    'AdaCos': layer('AdaCosAddmScale', 'adacos_add_m_scale_param { m: 0.5 num_classes: 10575 }'),
    'center loss': layer('CenterLoss', 'center_loss_param { num_output: 9 center_filler { type: "xavier" } }'),
    'NormFace': layer('Normalize', 'normalize_param { bp_norm: true }')
    + layer('InnerDistance', 'inner_distance_param { num_output: 9 normalize: true update_center_only: true }'),
    'L-Softmax': layer('LargeMarginInnerProduct', 'largemargin_inner_product_param { num_output: 9 type: QUADRUPLE }'),
    'triplets of faces': layer('TripletLoss', 'triplet_loss_param { margin: 0.2 }') + layer('Flip'),
    'SSD for training': layer(
        'AnnotatedData',
        """transform_param { mirror: true mean_value: 104
          resize_param { prob: 1 resize_mode: WARP height: 300 width: 300 interp_mode: LINEAR interp_mode: AREA }
          emit_constraint { emit_type: CENTER } expand_param { prob: 0.5 max_expand_ratio: 4 }
          distort_param { hue_prob: 0.5 hue_delta: 18 contrast_lower: 0.5 contrast_upper: 1.5 } }
        data_param { source: "lmdb" batch_size: 8 backend: LMDB }
        annotated_data_param { label_map_file: "map" batch_sampler { max_sample: 1 max_trials: 50
          sampler { min_scale: 0.3 max_aspect_ratio: 2 } sample_constraint { min_jaccard_overlap: 0.1 } } }""",
    )
    + layer('MultiBoxLoss', 'multibox_loss_param { num_classes: 21 mining_type: MAX_NEGATIVE code_type: CENTER_SIZE }'),
    'SSD for detection': layer('Normalize', 'norm_param { across_spatial: false channel_shared: false }')
    + layer('PriorBox', 'prior_box_param { min_size: 30 max_size: 60 aspect_ratio: 2 variance: 0.1 step: 8 }')
    + layer('Permute', 'permute_param { order: 0 order: 2 order: 3 order: 1 }')
    + layer(
        'DetectionOutput',
        """detection_output_param { num_classes: 21 code_type: CENTER_SIZE keep_top_k: 200
        nms_param { nms_threshold: 0.45 top_k: 400 } save_output_param { output_format: "VOC" } }""",
    ),
    'Faster R-CNN': layer('ROIPooling', 'roi_pooling_param { pooled_h: 7 pooled_w: 7 spatial_scale: 0.0625 }')
    + layer('SmoothL1Loss', 'smooth_l1_loss_param { sigma: 3 }')
    + layer('Python', 'python_param { module: "rpn.proposal_layer" layer: "ProposalLayer" }'),
    'R-FCN for training': layer('BoxAnnotatorOHEM', 'box_annotator_ohem_param { roi_per_img: 128 }')
    + layer('SmoothL1LossOHEM', 'loss_param { normalization: PRE_FIXED pre_fixed_normalizer: 128 }'),
    'R-FCN': layer('PSROIPooling', 'psroi_pooling_param { output_dim: 21 group_size: 7 spatial_scale: 0.0625 }'),
    'PVANet': layer('Dropout', 'dropout_param { scale_train: false }'),
    'PSPNet': layer('BN', 'bn_param { slope_filler { value: 1 } bias_filler { value: 0 } frozen: true engine: CUDNN }')
    + layer('Interp', 'interp_param { height: 60 width: 60 }'),
    'PSPNet as first published': layer('BN', 'bn_param { moving_average: true decay: 0.05 }'),
    'YOLO for training': layer('Yolov3', 'yolov3_param { num_class: 20 num: 3 mask: [0, 1, 2] biases: [10, 14] }')
    + layer('RegionLoss', 'region_loss_param { side: 13 softmax: 1 jitter: 0.2 biases: [1.08, 1.19] }')
    + layer('YoloSeg', 'yolo_seg_param { object_scale: 0.5 num_class: 0 }'),
    'YOLO for detection': layer('YoloDetectionOutput', 'yolo_detection_output_param { biases: 1.08 coords: 4 }')
    + layer('Yolov3DetectionOutput', 'yolov3_detection_output_param { mask: 3 anchors_scale: 32 }'),
    'SegNet': layer('BN', 'bn_param { bn_mode: INFERENCE scale_filler { value: 1 } shift_filler { value: 0.001 } }')
    + layer('Upsample', 'upsample_param { scale: 2 upsample_w: 60 upsample_h: 45 }'),
    'YOLO v2 and its kin': layer('Reorg', 'reorg_param { stride: 2 }') + layer('ReLU6', 'relu6_param { }'),
    'int8 ResNet of Intel': 'engine: "MKLDNN" '
    + CONV
    % ('Convolution', 'engine: MKL2017 conv_algorithm: "auto"', 'quantization_param { bw_params: 8 scale_in: 2 }')
    + POOL % 'avg_include_pad: true engine: MKLDNN',
    'Intel on many machines': 'bn_stats_batch_size: 32 '
    + layer('Data', 'transform_param { crop_size: 224 random_aspect_ratio_param { min_area_ratio: 0.08 } }')
    + layer('BatchNorm', 'batch_norm_param { filler { value: 0 } }'),
    'half precision of NVIDIA': 'default_forward_type: FLOAT16 default_backward_math: FLOAT global_grad_scale: 1000 '
    + CONV % ('Convolution', 'cudnn_convolution_algo_seeker: FINDEX', 'forward_type: FLOAT forward_math: FLOAT')
    + layer('Data', 'data_param { source: "lmdb" batch_size: 8 threads: 4 parser_threads: 2 cache: true }'),
}
SOLVERS = {
    'SSD': SOLVER + '"multistep" eval_type: "detection" ap_version: "11point" show_per_class_result: true',
    'SSD with a plateau': SOLVER + '"plateau" plateau_winsize: 10000 plateau_winsize: 20000',
    'MobileNet-YOLO': SOLVER + '"multifixed" stagelr: 0.001 stagelr: 0.0001 stageiter: 80 stageiter: 120',
    'Intel': SOLVER + '"multistep" warmup_iter: 1876 warmup_start_lr: 0.1 engine: "MKLDNN"',
    'NVIDIA': SOLVER + '"poly" min_lr: 0.0001 rampup_interval: 500 rampup_lr: 0.01 solver_data_type: FLOAT',
}
REFUSED = {
    'hard examples': (layer('SoftmaxWithLoss', 'softmax_param { hard_ratio: 0.7 }'), 'expected 1; .*caffe-windows'),
    'fused layers of Intel': (CONV % ('Convolution', 'relu: true', ''), 'a ReLU inside the layer.*sophgo, intel'),
    'quantized values of Synopsys': (CONV % ('Convolution', 'weight_scale: 0.01', ''), 'synopsys'),
}
# types whose parameters are read, and which no net can be built of
NOT_HERE = {
    'DeepLab': (layer('DenseCRF', 'dense_crf_param { max_iter: 10 }'), 'pspnet, synopsys'),
    'multiplied margins': (layer('CosinMulm', 'cosin_mul_m_param { m: 3 }'), 'arcface'),
    'additive margins': (
        layer('AdditiveMarginInnerProduct', 'additive_margin_inner_product_param { m: 0.3 }'),
        'arcface',
    ),
}


@pytest.mark.parametrize('family', NETS)
def test_nets_are_read(family):
    net = parse_text(NETS[family], caffe_pb2.NetParameter(), family)
    assert all(one.type for one in net.layer)


@pytest.mark.parametrize('family', SOLVERS)
def test_solvers_are_read(family):
    assert parse_text(SOLVERS[family], caffe_pb2.SolverParameter(), family).max_iter == 9


@pytest.mark.parametrize('family', REFUSED)
def test_what_is_not_here_is_refused_in_a_line(family):
    text, reason = REFUSED[family]
    with pytest.raises(CaffeError, match=f'^{family}:1: .*: not implemented.*{reason}') as caught:
        parse_text(text, caffe_pb2.NetParameter(), family)
    assert '\n' not in str(caught.value)


@pytest.mark.parametrize('family', NOT_HERE)
def test_nets_with_layers_that_are_not_here_are_read_but_not_built(family):
    text, forks = NOT_HERE[family]
    net = parse_text(text, caffe_pb2.NetParameter(), family)
    with pytest.raises(CaffeError, match=f'not implemented; forks that have it: {forks}') as caught:
        caffe.Net(net, caffe.TEST)
    assert '\n' not in str(caught.value)
