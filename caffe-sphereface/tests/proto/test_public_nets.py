"""docs/public-nets.md: what public nets have beyond BVLC's Caffe is built or refused as it says, in nets of our own."""

import re
from pathlib import Path

import cv2
import numpy as np
import pytest

import caffe
from caffe.data.datum import planes_to_datum
from caffe.errors import CaffeError
from caffe.proto import caffe_pb2
from caffe.proto.files import parse_text
from databases import write
from layer_case import by_name, layer

PAGE = Path(__file__).resolve().parents[3] / 'docs' / 'public-nets.md'
pytestmark = pytest.mark.skipif(not PAGE.exists(), reason='needs docs/public-nets.md of the whole repository')
SHAPES = {
    'x': (2, 4, 6, 6),
    'label': (2,),
    'f': (2, 9),
    'counts': (2, 4),
    'gate': (2, 4, 1, 1),
    'positions': (2, 1, 6, 6),
    'rois': (3, 5),
    'each': (3, 1, 1, 1),
    'marks': (3,),
    'weights': (3, 8),
    'loc': (1, 16),
    'conf': (1, 8),
    'truth': (1, 1, 2, 8),
    'found': (1, 1, 2, 7),
    'picture': (1, 3, 24, 24),
    'cells': (1, 2, 2, 2),
    'clip': (1, 2, 4, 6, 6),
    'boxes': (1, 16, 2, 2),
    'cell_labels': (1, 6, 2, 2),
    'true': (2, 7),
    'matched': (3, 6),
    'objects': (1, 1, 300, 5),
}
INPUTS = '\n'.join(
    f'layer {{ name: "{name}" type: "Input" top: "{name}" input_param {{ shape {{ '
    + ' '.join(f'dim: {size}' for size in shape)
    + ' } } }'
    for name, shape in SHAPES.items()
)
PRIORS = (
    'layer { name: "p" type: "PriorBox" bottom: "cells" bottom: "picture" top: "p" prior_box_param { min_size: 8 '
    'variance: 0.1 variance: 0.1 variance: 0.2 variance: 0.2 } }\n'
)
CONV = 'convolution_param {{ num_output: 4 kernel_size: 3 {} }}'
POOL = 'pooling_param {{ kernel_size: 3 stride: 2 {} }}'
MASK = (
    'layer { name: "p" type: "Pooling" bottom: "x" top: "p" top: "m" pooling_param { kernel_size: 2 stride: 2 } }\n'
    'layer { name: "layer" type: "Upsample" bottom: "p" bottom: "m" top: "y" upsample_param { scale: 2 } }'
)
OLD_CLIP = (
    'input: "x" input_shape { dim: 1 dim: 2 dim: 4 dim: 6 dim: 6 } '
    'input: "truth" input_shape { dim: 1 dim: 1 dim: 4 dim: 6 dim: 6 } '
)
REG = 'bbox_reg_param { bbox_mean: [0, 0, 0, 0] bbox_std: [0.1, 0.1, 0.2, 0.2] }'
FIELD = (
    'cls_num: 12 coord_num: 4 field_w: 60 field_h: 80 field_whr: 2 field_xyr: 2 downsample_rate: 8 bg_threshold: 0.2'
)
PICTURES = (
    'layer {{ name: "layer" type: "Data" top: "y" top: "z" transform_param {{ crop_size: 13 {} }} '
    'data_param {{ source: "pictures_lmdb" batch_size: 2 backend: LMDB prefetch: 2 shuffle: true }} }}'
)
BUILT = {
    'DepthwiseConvolution': layer('DepthwiseConvolution', extra=CONV.format('group: 4')),
    'pad_l': layer('Convolution', extra=CONV.format('stride: 2 pad_r: 1 pad_b: 1')),
    'pad_type': layer('Convolution', extra=CONV.format('stride: 2 pad_type: 1')),
    'quantization_param': layer('Convolution', extra=CONV.format('') + ' quantization_param { bw_params: 8 }'),
    'AVE_TF': layer('Pooling', extra=POOL.format('pool: AVE_TF pad_type: 1')),
    'AVE_EXC_PAD': layer('Pooling', extra=POOL.format('pool: AVE_EXC_PAD pad: 1')),
    'ceil_mode': layer('Pooling', extra=POOL.format('ceil_mode: false')),
    'relu6': layer('ReLU', extra='relu_param { relu6: true }'),
    'ReLU6': layer('ReLU6'),
    'Normalize.NormFace': layer('Normalize', 'x', 'y n', 'normalize_param { bp_norm: true }'),
    'Normalize.SSD': layer('Normalize', extra='norm_param { across_spatial: false channel_shared: false }'),
    'NormL2': layer('NormL2', 'f'),
    'BN.PSPNet': layer('BN', extra='bn_param { slope_filler { value: 1 } frozen: true engine: CUDNN }'),
    'BN.moving_average': layer('BN', extra='bn_param { moving_average: true decay: 0.05 }'),
    'BN.SegNet': layer('BN', extra='bn_param { scale_filler { value: 1 } shift_filler { value: 0 } }'),
    'Axpy': layer('Axpy', 'gate x x'),
    'ChannelScale': layer('ChannelScale', 'x positions'),
    'Flip': layer('Flip', extra='flip_param { flip_width: true }'),
    'Permute': layer('Permute', extra='permute_param { order: 0 order: 2 order: 3 order: 1 }'),
    'Interp': layer('Interp', extra='interp_param { height: 11 width: 11 }'),
    'ResizeBilinear': layer(
        'ResizeBilinear',
        extra='resize_bilinear_param { align_corners: true data_format: "NCHW" output_height: 9 output_width: 9 }',
    ),
    'ShuffleChannel': layer('ShuffleChannel', extra='shuffle_channel_param { group: 2 }'),
    'Reorg': layer('Reorg', extra='reorg_param { stride: 2 }'),
    'Upsample.repetition': layer('Upsample', extra='upsample_param { scale: 2 }'),
    'Upsample.mask': MASK,
    'Dropout.scale_train': layer('Dropout', extra='dropout_param { dropout_ratio: 0.1 scale_train: false }'),
    'Dropout.sample_weights_test': layer('Dropout', extra='dropout_param { sample_weights_test: true }'),
    'Scale.min_value': layer('Scale', 'f', extra='scale_param { num_axes: 0 min_value: 1 max_value: 60 }'),
    'InnerProduct.normalize': layer('InnerProduct', 'f', extra='inner_product_param { num_output: 3 normalize: true }'),
    'filler.gaussian_unitball': layer(
        'InnerProduct', 'f', extra='inner_product_param { num_output: 3 weight_filler { type: "gaussian_unitball" } }'
    ),
    'InnerDistance': layer('InnerDistance', 'f', extra='inner_distance_param { num_output: 3 }'),
    'MarginInnerProduct': layer(
        'MarginInnerProduct', 'f label', 'y lambda', 'margin_inner_product_param { num_output: 3 type: QUADRUPLE }'
    ),
    'LargeMarginInnerProduct': layer(
        'LargeMarginInnerProduct', 'f label', 'y lambda', 'largemargin_inner_product_param { num_output: 3 }'
    ),
    'InterClass': layer('InterClass', 'f label', extra='inter_class_param { num_output: 3 type: MEAN }'),
    'LabelSpecificAdd': layer('LabelSpecificAdd', 'f label', extra='label_specific_add_param { bias: -0.35 }'),
    'CosinAddm': layer('CosinAddm', 'f label', extra='cosin_add_m_param { m: 0.5 }'),
    'AdaCosAddmScale': layer('AdaCosAddmScale', 'f label', extra='adacos_add_m_scale_param { num_classes: 9 }'),
    'FocalLoss': layer('FocalLoss', 'f label', extra='focal_loss_param { gamma: 2 alpha: 0.25 }'),
    'softmax.normalize_type': layer('SoftmaxWithLoss', 'f label', extra='softmax_param { normalize_type: "Softmax" }'),
    'class_weighting': layer(
        'SoftmaxWithLoss',
        'f label',
        extra=f'loss_param {{ weight_by_label_freqs: true class_weighting: {[0.5] * 9} }}',
    ),
    'PRE_FIXED': layer(
        'SoftmaxWithLoss', 'f label', extra='loss_param { normalization: PRE_FIXED pre_fixed_normalizer: 128 }'
    ),
    'Accuracy.min_is_better': layer('Accuracy', 'f label', extra='accuracy_param { min_is_better: true }'),
    'SmoothL1Loss.FastRCNN': layer('SmoothL1Loss', 'f f f f', extra='smooth_l1_loss_param { sigma: 3 }'),
    'SmoothL1LossOHEM': layer('SmoothL1LossOHEM', 'f f', 'y z', 'loss_weight: [1, 0]'),
    'SoftmaxWithLossOHEM': layer('SoftmaxWithLossOHEM', 'f label', 'y p z', 'loss_weight: [1, 0, 0]'),
    'BoxAnnotatorOHEM': layer(
        'BoxAnnotatorOHEM', 'rois each marks weights', 'y z', 'box_annotator_ohem_param { roi_per_img: 2 }'
    ),
    'ROIPooling': layer('ROIPooling', 'x rois', extra='roi_pooling_param { pooled_h: 2 pooled_w: 2 }'),
    'PSROIPooling': layer(
        'PSROIPooling', 'x rois', extra='psroi_pooling_param { spatial_scale: 1 output_dim: 1 group_size: 2 }'
    ),
    'Python': layer('Python', extra=f'python_param {{ module: "{__name__}" layer: "Doubled" }}'),
    'PriorBox': PRIORS,
    'MultiBoxLoss': PRIORS
    + layer('MultiBoxLoss', 'loc conf p truth', extra='multibox_loss_param { num_classes: 2 code_type: CENTER_SIZE }'),
    'DetectionOutput': PRIORS
    + layer('DetectionOutput', 'loc conf p', extra='detection_output_param { num_classes: 2 keep_top_k: 5 }'),
    'DetectionEvaluate': layer('DetectionEvaluate', 'found truth', extra='detection_evaluate_param { num_classes: 2 }'),
    'BoxOutput': layer(
        'BoxOutput',
        'boxes boxes',
        'y z',
        'box_output_param { fg_thr: -3 iou_thr: 0.65 field_w: [20, 40] field_h: [20, 40] downsample_rate: [8, 8] '
        'field_whr: 4 field_xyr: 1 min_size: 5 max_nms_num: 9 } bbox_reg_param { bbox_mean: [0, 0, 0, 0] '
        'bbox_std: [0.1, 0.1, 0.2, 0.2] }',
    ),
    'ROIPooling.pad_ratio': layer(
        'ROIPooling', 'x rois', extra='roi_pooling_param { pooled_h: 2 pooled_w: 2 pad_ratio: 0.25 }'
    ),
    'Parameter.blob_filler': 'layer { name: "p" type: "Parameter" top: "p" parameter_param { shape { dim: 3 dim: 9 } '
    'blob_filler { type: "gaussian_unitball" } } }\n'
    + layer('InnerDistance', 'f p', extra='inner_distance_param { bias_term: false distance_type: "L2" }'),
    'GlobalLSEMargin': layer('GlobalLSEMargin', 'f label', 'y statistics'),
    'GeneralContrastiveLoss': layer(
        'GeneralContrastiveLoss',
        'f label',
        'y z',
        'loss_weight: 1 loss_weight: 1 general_contrastive_loss_param { positive_margin: 0 negative_margin: 1 '
        'negative_weight: 1 exp_negative_weight: false square: false }',
    ),
    'GeneralTripletLoss': layer(
        'GeneralTripletLoss',
        'f label',
        'y z',
        'loss_weight: 1 loss_weight: 1 general_triplet_loss_param { margin: 0.8 add_center_loss: true '
        'hardest_only: true negative_weight: 1 }',
    ),
    'LabelSpecificRescale': layer(
        'LabelSpecificRescale',
        'f label',
        extra='label_specific_rescale_param { positive_weight: 1 negative_weight: 1 }',
    ),
    'ROIAlign': layer('ROIAlign', 'x rois', extra='roi_pooling_param { pooled_w: 5 pooled_h: 5 pad_ratio: 0.25 }'),
    'DetectionLoss': layer(
        'DetectionLoss',
        'boxes cell_labels',
        extra=f'detection_loss_param {{ {FIELD} lambda: 1 bb_smooth: true bg_multiple: 2 sample_mode: "bootstrap" '
        f'pos_neg_weighted: true }} {REG} loss_weight: 0.9 propagate_down: [1, 0]',
    ),
    'Detection': layer(
        'Detection',
        'boxes cell_labels',
        extra=f'detection_param {{ {FIELD} lambda: 0.05 sample_mode: "random" }} propagate_down: [1, 0]',
    ),
    'DetectionAccuracy': layer(
        'DetectionAccuracy', 'boxes cell_labels', 'y z', f'detection_accuracy_param {{ {FIELD} }} {REG}'
    ),
    'ProposalTarget': layer(
        'ProposalTarget',
        'rois true',
        'a b c d e g',
        'proposal_target_param { cls_num: 3 batch_size: -1 fg_fraction: 0.25 num_img_per_batch: 4 fg_thr: 0.5 '
        f'bg_thr_hg: 0.45 bg_thr_lw: 0.05 img_width: 768 img_height: 576 }} {REG}',
    ),
    'BboxAccuracy': layer('BboxAccuracy', 'weights rois matched', 'y z', REG.replace('{', '{ cls_aware: false', 1)),
    'DecodeBBox': layer('DecodeBBox', 'weights rois matched', extra=f'{REG} propagate_down: [0, 0, 0]'),
    'ImageGtData': layer(
        'ImageGtData',
        '',
        'y z true_boxes',
        'transform_param { mirror: true mean_value: [104, 117, 123] } image_gt_data_param { source: "windows.txt" '
        'batch_size: 1 coord_num: 4 resize_width: 16 resize_height: 12 crop_width: 8 crop_height: 8 min_gt_height: 2 '
        'downsample_rate: 4 field_w: 4 field_h: 6 fg_threshold: 0.5 do_multiple_scale: true min_scale: 4 max_scale: 8 '
        'shuffle: true output_gt_boxes: true }',
    ),
    'Insanity': layer('Insanity', extra='insanity_param { lb: 3 ub: 8 }'),
    'YoloDetectionOutput': layer(
        'YoloDetectionOutput',
        'boxes',
        extra='yolo_detection_output_param { num_classes: 3 num_box: 2 biases: [1, 2, 0.5, 0.7] }',
    ),
    'Yolov3DetectionOutput': layer(
        'Yolov3DetectionOutput',
        'boxes',
        extra='yolov3_detection_output_param { num_classes: 3 num_box: 2 biases: [10, 20, 30, 15] mask: [0, 1] '
        'anchors_scale: 8 mask_group_num: 1 }',
    ),
    'MultiBoxFocalLoss': PRIORS
    + layer(
        'MultiBoxFocalLoss',
        'loc conf p truth',
        extra='loss_param { normalization: VALID } focal_loss_param { alpha: 0.25 gamma: 2.0 } multibox_loss_param { '
        'num_classes: 2 code_type: CENTER_SIZE conf_loss_type: SOFTMAX mining_type: NONE }',
    ),
    'SoftmaxCrossEntropyLoss': layer('SoftmaxCrossEntropyLoss', 'x x'),
    'SeLu': layer('SeLu'),
    'ConvolutionFixed': layer(
        'ConvolutionFixed', extra=CONV.format('') + ' fixed_param { fixed_method: OVER_FLOW bit_width: 8 }'
    ),
    'FixedNeuron': layer('FixedNeuron', extra='param { lr_mult: 0 decay_mult: 0 } fixed_param { bit_width: 8 }'),
    'SeLuDropout': layer('SeLuDropout', extra='selu_dropout_param { dropout_ratio: 0.1 }'),
    'Yolov3': layer(
        'Yolov3',
        'boxes objects',
        extra='yolov3_param { side: 13 num: 2 num_class: 3 object_scale: 5 noobject_scale: 1 class_scale: 1 '
        'coord_scale: 1 thresh: 0.7 anchors_scale: 32 use_logic_gradient: false biases: [18, 34, 45, 84, 65, 181] '
        'mask: [1, 2] }',
    ),
    'RegionLoss': layer(
        'RegionLoss',
        'boxes objects',
        extra='region_loss_param { side: 13 num_class: 3 coords: 4 num: 2 softmax: 1 jitter: 0.2 rescore: 1 '
        'object_scale: 5 noobject_scale: 1 class_scale: 1 coord_scale: 1 absolute: 1 thresh: 0.6 random: 0 '
        'biases: [1.08, 1.19, 3.42, 4.41] }',
    ),
    'SegmentationEvaluate': layer(
        'SegmentationEvaluate', 'x x', extra='segmentation_evaluate_param { num_classes: 4 }'
    ),
    'seg_label': 'layer { name: "data" type: "AnnotatedData" top: "y" top: "z" top: "pixels" transform_param { '
    'mirror: true resize_param { prob: 1 resize_mode: WARP height: 16 width: 16 } emit_constraint { } } '
    'data_param { source: "boxes_lmdb" batch_size: 1 backend: LMDB } annotated_data_param { yolo_data_type: 1 '
    'train_diffcult: true single_class: true seg_scales: 4 batch_sampler { max_sample: 1 max_trials: 1 } } }',
    'YoloSeg': layer('YoloSeg', 'x x counts', extra='yolo_seg_param { object_scale: 0.2 num_class: 0 }'),
    'yolo_data_type': 'layer { name: "data" type: "AnnotatedData" top: "y" top: "z" transform_param { mirror: true '
    'resize_param { prob: 0.2 resize_mode: WARP height: 9 width: 9 interp_mode: LINEAR interp_mode: LANCZOS4 } '
    'resize_param { prob: 0.8 resize_mode: WARP height: 8 width: 8 } emit_constraint { emit_type: CENTER } } '
    'data_param { source: "boxes_lmdb" batch_size: 1 backend: LMDB } annotated_data_param { yolo_data_type: 1 '
    'yolo_data_jitter: 0.3 train_diffcult: true label_map_file: "labels.prototxt" } }',
    'AnnotatedData': 'layer { name: "data" type: "AnnotatedData" top: "y" top: "z" '
    'transform_param { mirror: true mean_value: 104 resize_param { height: 9 width: 9 } emit_constraint { } '
    'expand_param { prob: 0.5 max_expand_ratio: 4 } distort_param { hue_prob: 0.5 hue_delta: 18 } } '
    'data_param { source: "boxes_lmdb" batch_size: 1 backend: LMDB } annotated_data_param { batch_sampler { '
    'max_sample: 1 max_trials: 2 sampler { min_scale: 0.3 } sample_constraint { min_jaccard_overlap: 0.1 } } } }',
    'ROI_POOLING': 'input: "x" input_shape { dim: 1 dim: 3 dim: 9 dim: 9 } input: "rois" input_shape { dim: 2 dim: 5 } '
    'layers { name: "layer" type: ROI_POOLING bottom: "x" bottom: "rois" top: "y" '
    'roi_pooling_param { pooled_w: 6 pooled_h: 6 } }',
    'DenseImageData': layer(
        'DenseImageData', '', 'y z', 'dense_image_data_param { source: "pairs.txt" batch_size: 1 shuffle: true }'
    ),
    'Convolution3D': layer(
        'Convolution3D',
        'clip',
        extra='convolution3d_param { num_output: 3 kernel_size: 3 kernel_depth: 3 pad: 1 temporal_pad: 1 }',
    ),
    'CONVOLUTION3D': OLD_CLIP
    + 'layers { name: "layer" type: CONVOLUTION3D bottom: "x" top: "y" convolution_param { num_output: 3 '
    'kernel_size: 3 kernel_depth: 3 pad: 1 temporal_pad: 1 } }',
    'Deconvolution3D': OLD_CLIP
    + 'layers { name: "layer" type: DECONVOLUTION3D bottom: "x" top: "y" convolution_param { num_output: 3 '
    'kernel_size: 4 kernel_depth: 4 stride: 2 temporal_stride: 2 pad: 1 temporal_pad: 1 } }',
    'Pooling3D': layer(
        'Pooling3D', 'clip', extra='pooling3d_param { kernel_size: 2 kernel_depth: 1 stride: 2 temporal_stride: 1 }'
    ),
    'POOLING3D': OLD_CLIP
    + 'layers { name: "layer" type: POOLING3D bottom: "x" top: "y" pooling_param { pool: MAX kernel_size: 2 '
    'kernel_depth: 1 stride: 2 temporal_stride: 1 } }',
    'VOXEL_SOFTMAX': OLD_CLIP + 'layers { name: "layer" type: VOXEL_SOFTMAX_LOSS bottom: "x" bottom: "truth" } '
    'layers { name: "p" type: VOXEL_SOFTMAX bottom: "x" top: "y" }',
    'VideoData.C3D': layer(
        'VideoData',
        '',
        'y z',
        'transform_param { crop_size: 4 mirror: true mean_value: [128, 128, 128] } video_data_param { '
        'source: "clips.txt" new_length: 2 sampling_rate: 2 use_image: true show_data: false batch_size: 1 }',
    ),
    'VideoData.TSN': layer(
        'VideoData',
        '',
        'y z',
        'video_data_param { source: "clips.txt" batch_size: 1 new_length: 2 num_segments: 2 modality: FLOW '
        'shuffle: true name_pattern: "flow_%c_%06d.jpg" } transform_param { crop_size: 6 mirror: true fix_crop: true '
        'more_fix_crop: true multi_scale: true max_distort: 1 scale_ratios: [1, .875, .75] mean_value: 128 '
        'is_flow: true }',
    ),
    'bn_stats_batch_size': 'bn_stats_batch_size: 2 '
    + layer('BatchNorm', extra='batch_norm_param { filler { value: 1 } }'),
    'random_aspect_ratio_param': PICTURES.format(
        'random_aspect_ratio_param { min_area_ratio: 0.08 max_area_ratio: 1 aspect_ratio_change: 0.75 '
        'resize_param { interp_mode: CUBIC } }'
    ),
    'random_resize_param': PICTURES.format(
        'random_resize_param { min_size: 256 max_size: 256 resize_param { interp_mode: CUBIC } }'
    ),
    'ImageSegData': layer(
        'ImageSegData',
        '',
        'y z',
        'image_data_param { source: "pairs.txt" batch_size: 1 shuffle: true label_type: PIXEL } '
        'transform_param { mirror: true crop_size: 13 mean_value: 102.98 mean_value: 115.947 mean_value: 122.772 }',
    ),
    'scale_factors': layer(
        'ImageSegData',
        '',
        'y z',
        'image_data_param { source: "pairs.txt" label_type: PIXEL } '
        'transform_param { crop_size: 13 scale_factors: 0.75 scale_factors: 1 scale_factors: 2.0 }',
    ),
    'SegAccuracy': layer('SegAccuracy', 'x positions', extra='seg_accuracy_param { ignore_label: 255 }'),
    'ImageLabelmapData': layer(
        'ImageLabelmapData',
        '',
        'y z',
        'image_data_param { source: "pairs.txt" batch_size: 1 new_height: 0 new_width: 0 }',
    ),
    'Gather': layer('Gather', 'f label', 'y z') + by_name(layer('SoftmaxWithLoss', 'y z', 'l'), 'loss'),
    'VIDEO_DATA': 'layers { name: "layer" type: VIDEO_DATA top: "y" top: "z" image_data_param { source: "clips.txt" '
    'use_image: true batch_size: 1 new_length: 2 crop_size: 4 mirror: true show_data: 0 mean_value: 128 } } '
    'layers { name: "s" type: SILENCE bottom: "y" bottom: "z" }',
    'VIDEO_SEGMENTATION_DATA': 'layers { name: "layer" type: VIDEO_SEGMENTATION_DATA top: "y" top: "z" '
    'image_data_param { source: "volumes.txt" batch_size: 1 crop_size: 4 mirror: true } } '
    'layers { name: "s" type: SILENCE bottom: "y" bottom: "z" }',
    'VIDEO_WITH_VOXEL_TRUTH_DATA': 'layers { name: "layer" type: VIDEO_WITH_VOXEL_TRUTH_DATA top: "y" top: "z" '
    'image_data_param { source: "volumes.txt" batch_size: 1 num_truth_channels: 2 is_flow: true truth_scale: 0.125 '
    'use_byte_input: true } } layers { name: "s" type: SILENCE bottom: "y" bottom: "z" }',
}
NOT_HERE = "layer 'layer' has type '{}', which is not implemented; forks that have it: "
UNKNOWN = "layer 'layer': unknown type '{}', expected one of: "
REFUSED = {
    'anchors': (
        layer('Yolov3', extra='yolov3_param { anchors: 10 }'),
        '"caffe.Yolov3Parameter" has no field named "anchors"',
    ),
    'AssistedExcitation': (layer('AssistedExcitation'), UNKNOWN),
    'LaneData': (layer('LaneData', '', 'y z seg'), UNKNOWN),
    'weighted_loss': (
        layer('EuclideanLoss', 'f f f'),
        "layer 'layer' (EuclideanLoss): has 3 bottom blobs, expected 2",
    ),
    'SpaceToBatchND': (layer('SpaceToBatchND'), NOT_HERE + 'synopsys'),
    'CPMData': (
        layer('CPMData', '', extra='cpm_transform_param { stride: 8 }'),
        'no field named "cpm_transform_param"',
    ),
    'use_stream': (
        layer('VideoData', '', extra='image_data_param { source: "l" use_stream: true }'),
        '"caffe.ImageDataParameter" has no field named "use_stream"',
    ),
    'SqueezeDetLoss': (layer('SqueezeDetLoss'), UNKNOWN),
    'scale_filler': (
        layer('BatchNorm', extra='batch_norm_param { scale_filler { value: 1 } }'),
        'batch_norm_param.scale_filler: not implemented (scale and bias inside the layer); forks that have it: nvcaffe',
    ),
    'DetectNetTransformation': (
        layer('DetectNetTransformation', 'x label', 'y z', 'detectnet_groundtruth_param { stride: 16 }'),
        NOT_HERE + 'nvcaffe',
    ),
}


class Doubled(caffe.Layer):
    """A Python layer of this module."""

    def setup(self, bottom, top):
        pass

    def reshape(self, bottom, top):
        top[0].reshape(*bottom[0].data.shape)

    def forward(self, bottom, top):
        top[0].data[...] = 2 * bottom[0].data

    def backward(self, top, propagate_down, bottom):
        bottom[0].diff[...] = 2 * top[0].diff


def rows():
    """[repository, number of nets, keys, 'read' or 'refused'] for each line of the tables by family."""
    found = []
    for line in PAGE.read_text().splitlines():
        cells = [cell.strip() for cell in line.strip('|').split('|')]
        if line.startswith('| ') and cells[-1] in ('read', 'refused') and len(cells) == 5:
            found.append((cells[0], int(cells[1]), re.findall('`(.+?)`', cells[3]), cells[4], cells[3]))
    return found


def write_boxes():
    """The database `boxes_lmdb` of a grey picture with a box in it, and `pictures_lmdb` of the picture alone."""
    datum = caffe_pb2.AnnotatedDatum(type=caffe_pb2.AnnotatedDatum.BBOX)
    datum.datum.CopyFrom(planes_to_datum(np.full((3, 20, 30), 90, np.uint8), 0))
    datum.datum.seg_label = cv2.imencode('.png', np.zeros((20, 30), np.uint8))[1].tobytes()
    box = datum.annotation_group.add(group_label=1).annotation.add().bbox
    box.xmin, box.ymin, box.xmax, box.ymax = 0.2, 0.2, 0.7, 0.8
    write('boxes_lmdb', [datum.SerializeToString()])
    write('pictures_lmdb', [datum.datum.SerializeToString()])


def write_pairs():
    """The list `pairs.txt` of a grey picture and one of its pixels' labels."""
    for name in ('picture.png', 'labels.png'):
        cv2.imwrite(name, np.zeros((8, 8), np.uint8))
    Path('pairs.txt').write_text('picture.png labels.png\n')


def write_windows():
    """The window file `windows.txt` of MS-CNN with the grey picture and a true box in it."""
    Path('windows.txt').write_text('# 0\npicture.png\n3\n8\n8\n1\n1 0 1 1 6 6\n0\n')


def write_clips():
    """The list `clips.txt` of a folder with four frames, and `volumes.txt` of one file of a clip with its truth."""
    Path('clip').mkdir()
    for number in range(1, 5):
        for axis in ('', 'flow_x_', 'flow_y_'):
            cv2.imwrite(f'clip/{axis}{number:06d}.jpg', np.zeros((8, 8, 3), np.uint8))
    Path('clips.txt').write_text('clip 1 0\n')
    Path('volume').write_bytes(np.array([1, 4, 2, 6, 6], '<i4').tobytes() + bytes(4 * 2 * 6 * 6))
    Path('volumes.txt').write_text('volume\n')


def shown(message, key):
    """How the page has the message of an error: without the layer's name, and what could be there instead."""
    message = message.format(key).replace("layer 'layer'", 'layer').removesuffix(', expected one of: ')
    return message.split('; forks')[0].replace('layer: ', '')


@pytest.mark.parametrize('key', BUILT)
def test_what_public_nets_have_is_built(key, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    write_boxes()
    write_pairs()
    write_windows()
    write_clips()
    inputs = '' if 'layers {' in BUILT[key] else INPUTS
    net = caffe.Net(parse_text(inputs + BUILT[key], caffe_pb2.NetParameter(), key), caffe.TRAIN)
    assert len(net.layers) > (len(SHAPES) if inputs else 1)


@pytest.mark.parametrize('key', REFUSED)
def test_what_is_not_here_is_refused_in_a_line(key):
    text, message = REFUSED[key]
    with pytest.raises(CaffeError) as caught:
        caffe.Net(parse_text(INPUTS + text, caffe_pb2.NetParameter(), key), caffe.TRAIN)
    assert message.format(key) in str(caught.value) and '\n' not in str(caught.value)


def test_the_page_says_what_these_tests_show():
    keys = set()
    for repository, _, names, verdict, cell in rows():
        keys |= set(names)
        refused = 'not looked at' in cell or not set(names) <= set(BUILT)
        assert verdict == ('refused' if refused else 'read'), (repository, cell)
    assert keys == set(BUILT) | set(REFUSED)
    section = PAGE.read_text().split('## What is refused')[1]
    assert dict(re.findall(r'^\| `(\w+)` \| \d+ \| (.*) \|$', section, re.MULTILINE)) == {
        key: shown(message, key) for key, (_, message) in REFUSED.items()
    }


def test_the_rates_on_the_page_are_those_of_its_tables():
    text = ' '.join(PAGE.read_text().split())
    repositories = {row[0]: [0, 0] for row in rows()}
    for repository, nets, _, verdict, _ in rows():
        repositories[repository][0] += nets
        repositories[repository][1] += nets * (verdict == 'read')
    total, read = (sum(counts) for counts in zip(*repositories.values()))
    assert f'{total} prototxts of nets in {len(repositories)} public repositories' in text
    assert f'**{read} are read and built, {read / total:.1%}**' in text
    mean = sum(part / whole for whole, part in repositories.values()) / len(repositories)
    assert f'it is {mean:.1%}' in text
    assert f'all nets of {sum(a == b for a, b in repositories.values())} repositories' in text
