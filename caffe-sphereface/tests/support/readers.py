"""Programs that read exported nets: each function gives {output name: array} for {input name: array} of one item.

A test of a reader that is not installed is skipped; requirements-test.txt and docs/deploy.md say how to have them all.
"""

import numpy as np
import pytest


def in_ncnn(param, inputs, outputs):
    """Outputs of a .param, with the .bin beside it; ncnn has no batch, so arrays come without theirs."""
    ncnn = pytest.importorskip('ncnn', reason='ncnn is not installed (pip install ncnn)')
    net = ncnn.Net()
    net.opt.num_threads = 1
    net.opt.use_fp16_packed = net.opt.use_fp16_storage = net.opt.use_fp16_arithmetic = False
    assert net.load_param(str(param)) == 0
    assert net.load_model(str(param.with_suffix('.bin'))) == 0
    extractor = net.create_extractor()
    for name, (item,) in inputs.items():
        assert extractor.input(name, ncnn.Mat(np.ascontiguousarray(item, np.float32)).clone()) == 0
    made = {}
    for name in outputs:
        status, mat = extractor.extract(name)
        assert status == 0, name
        made[name] = np.array(mat)
    return made
