"""A small net on random rows, its solver, and the files of both."""

from pathlib import Path

import h5py
import numpy as np

NET = """
name: "small"
layer { name: "data" type: "HDF5Data" top: "data" top: "label"
        hdf5_data_param { source: "files.txt" batch_size: 4 shuffle: true } }
layer { name: "ip1" type: "InnerProduct" bottom: "data" top: "ip1"
        inner_product_param { num_output: 8 weight_filler { type: "xavier" } } }
layer { name: "relu" type: "ReLU" bottom: "ip1" top: "ip1" }
layer { name: "ip2" type: "InnerProduct" bottom: "ip1" top: "ip2"
        inner_product_param { num_output: 3 weight_filler { type: "xavier" } } }
layer { name: "loss" type: "SoftmaxWithLoss" bottom: "ip2" bottom: "label" top: "loss" }
"""

SOLVER = """
net: "net.prototxt" base_lr: 0.1 lr_policy: "fixed" momentum: 0.9 weight_decay: 0.001 display: 1 max_iter: 6
snapshot_prefix: "out" random_seed: 3
"""


def write_run(folder, net=NET, solver=SOLVER, rows=40):
    """Put net.prototxt, solver.prototxt and 40 rows of data into `folder`."""
    values = np.random.default_rng(0)
    with h5py.File(folder / 'rows.h5', 'w') as file:
        file['data'] = values.standard_normal((rows, 5)).astype('f')
        file['label'] = values.integers(0, 3, rows).astype('f')
    Path(folder / 'files.txt').write_text('rows.h5\n')
    Path(folder / 'net.prototxt').write_text(net)
    Path(folder / 'solver.prototxt').write_text(solver)
