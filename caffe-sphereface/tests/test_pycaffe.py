"""The names that scripts written for pycaffe use, and the small ones among them."""

import time

import pytest
import torch

import caffe

CONTRACT = {
    'caffe': 'Net SGDSolver NesterovSolver AdaGradSolver RMSPropSolver AdaDeltaSolver AdamSolver NCCL Timer Layer '
    'Classifier Detector NetSpec layers params to_proto io TRAIN TEST __version__ init_log log set_mode_cpu '
    'set_mode_gpu set_device get_solver layer_type_list set_random_seed solver_count set_solver_count '
    'solver_rank set_solver_rank set_multiprocess has_nccl proto',
    'caffe.Net': '_forward _backward forward backward forward_all forward_backward_all '
    'reshape clear_param_diffs copy_from share_with set_input_arrays save save_hdf5 load_hdf5 '
    'before_forward after_forward before_backward after_backward',
    'caffe.SGDSolver': 'step solve restore snapshot apply_update share_weights add_callback',
    'caffe.io': 'blobproto_to_array array_to_blobproto arraylist_to_blobprotovector_str array_to_datum datum_to_array '
    'blobprotovector_str_to_arraylist Transformer load_image resize_image oversample',
    'caffe.io.Transformer': 'preprocess deprocess set_transpose set_channel_swap set_raw_scale set_mean '
    'set_input_scale',
    'caffe.net_spec': 'Top Function NetSpec Layers Parameters param_name_dict to_proto assign_proto',
    'caffe.Detector': 'detect_windows detect_selective_search crop configure_crop',
    'caffe.draw': 'get_pydot_graph draw_net draw_net_to_file',
    'caffe.coord_map': 'coord_map compose inverse coord_map_from_to crop',
    'caffe._caffe': 'BlobVec LayerVec StringVec IntVec NetVec Net Blob',
    'caffe.pycaffe': 'Net SGDSolver',
    'caffe.proto.caffe_pb2': 'NetParameter SolverParameter TRAIN TEST',
}


@pytest.mark.parametrize('where', CONTRACT)
def test_every_name_is_there(where):
    import caffe._caffe
    import caffe.coord_map
    import caffe.draw
    import caffe.proto.caffe_pb2
    import caffe.pycaffe  # noqa: F401

    place = caffe
    for part in where.split('.')[1:]:
        place = getattr(place, part)
    missing = [name for name in CONTRACT[where].split() if not hasattr(place, name)]
    assert not missing


def test_every_layer_type_of_caffe_exists():
    types = """AbsVal Accuracy ArgMax BNLL BatchNorm BatchReindex Bias Clip Concat ContrastiveLoss Convolution Crop Data
        Deconvolution Dropout DummyData ELU Eltwise Embed EuclideanLoss Exp Filter Flatten HDF5Data HDF5Output HingeLoss
        Im2col ImageData InfogainLoss InnerProduct Input InterClass LRN LSTM LSTMUnit Log MVN MarginInnerProduct
        MemoryData MultinomialLogisticLoss Normalize PReLU Parameter Pooling Power Python RNN ReLU Reduction Reshape SPP
        Scale Sigmoid SigmoidCrossEntropyLoss Silence Slice Softmax SoftmaxWithLoss Split Swish TanH Threshold Tile
        WindowData""".split()
    assert sorted(types) == sorted(set(types) & set(caffe.layer_type_list()))


def test_log_is_a_function_and_a_module(capfd):
    caffe.init_log(0)
    caffe._caffe.log('a line of mine')
    assert caffe._caffe.log is caffe.log
    assert capfd.readouterr().err.rstrip().endswith('] a line of mine')
    from caffe import log

    log.info('place:1', 'another')
    assert 'place:1] another' in capfd.readouterr().err
    caffe.init_log(2)
    try:
        caffe.log('unseen')
        assert not capfd.readouterr().err
    finally:
        caffe.init_log(0)


def test_timer_measures_what_lies_between():
    timer = caffe.Timer()
    assert timer.ms == 0
    timer.start()
    time.sleep(0.02)
    timer.stop()
    first = timer.ms
    assert first >= 20 and timer.ms == first


def test_solver_count_and_rank():
    try:
        caffe.set_solver_count(3)
        caffe.set_solver_rank(2)
        caffe.set_multiprocess(True)
        assert (caffe.solver_count(), caffe.solver_rank()) == (3, 2)
        with pytest.raises(caffe.CaffeError, match='below the count'):
            caffe.set_solver_rank(3)
    finally:
        caffe.set_solver_count(1)
    assert (caffe.solver_count(), caffe.solver_rank()) == (1, 0)


def test_no_nccl_is_claimed_without_gpus():
    assert caffe.has_nccl() is torch.cuda.is_available()
    assert caffe.NCCL.new_uid() != caffe.NCCL.new_uid()
