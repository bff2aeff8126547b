"""The names that existing scripts rely on in pycaffe (BVLC Caffe 1.0), and no others."""

import os

MODULE = (
    'Net SGDSolver NesterovSolver AdaGradSolver RMSPropSolver AdaDeltaSolver AdamSolver NCCL Timer Layer '
    'Classifier Detector NetSpec layers params to_proto io TRAIN TEST __version__ init_log log set_mode_cpu '
    'set_mode_gpu set_device get_solver set_random_seed solver_count set_solver_count solver_rank '
    'set_solver_rank set_multiprocess has_nccl'
).split()
CLASSES = {
    'Net': 'blobs params layer_dict blob_loss_weights inputs outputs top_names bottom_names layers _blobs _blob_names '
    '_layer_names _inputs _outputs _blob_loss_weights forward backward forward_all forward_backward_all '
    '_forward _backward reshape clear_param_diffs copy_from share_with set_input_arrays save save_hdf5 '
    'load_hdf5 before_forward after_forward before_backward after_backward',
    'Blob': 'data diff shape num channels height width count reshape',
    'Layer': 'blobs type setup reshape',
    'Solver': 'net test_nets iter param lr step solve restore snapshot apply_update share_weights add_callback',
    'SolverParameter': '',
}


def left_out():
    """The layer and solver types that this build does not have."""
    return set(filter(None, os.environ.get('STANDIN_WITHOUT', '').split(',')))
