"""Who competes in the benchmark: the engine, PyTorch as written, compiled and in channels_last, onnxruntime, OpenCV.

Each contender is a function without arguments that does the work once, and gives the outputs (inference) or the loss
(training) as an array. `Skipped` says why there is none.
"""

import io
import signal
import tempfile
import warnings
from contextlib import contextmanager
from pathlib import Path

import cv2
import numpy as np
import torch
from sphereslim.engine import caffe
from sphereslim.net.prototxt import write_prototxt

from benchmarks.nets import inference_net, training_net, weights_of
from benchmarks.torch_peer import Peer
from caffe.precision import is_bf16

RATE, MOMENTUM, DECAY = 0.001, 0.9, 0.0005
COMPILE_SECONDS = 240


class Skipped(Exception):
    """A contender cannot run here; the message is the reason."""


def choose_device(gpu):
    """Let the engine compute on GPU number `gpu`, or on the CPU where it is None; the torch.device for its peers."""
    if gpu is None:
        return torch.device('cpu')
    caffe.set_device(gpu)
    caffe.set_mode_gpu()
    return torch.device('cuda', gpu)


def inference(name, batch, threads, peers, device):
    """{contender: function or Skipped}, the engine and `peers`, for a forward of `batch` pictures.

    Pictures come from the host and outputs go back to it, wherever it is computed.
    """
    param = inference_net(name, batch)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / 'deploy.prototxt'
        write_prototxt(str(path), param)
        net = caffe.Net(str(path), caffe.TEST)
    if weights_of(name):
        net.copy_from(weights_of(name))
    else:
        _plausible_weights(net)
    peer = Peer(param, net).to(device)
    picture = np.random.default_rng(0).normal(size=net.blobs[net.inputs[0]].data.shape).astype(np.float32)
    image = torch.from_numpy(picture)
    contenders = {'caffe': _engine_forward(net, picture)}
    if 'torch' in peers:
        contenders['torch'] = _torch_forward(peer, image, device)
    if 'compiled' in peers:
        contenders['compiled'] = _or_skipped(_compiled_forward, peer, image, device)
    if 'channels_last' in peers:
        last = Peer(param, net).to(device).to(memory_format=torch.channels_last)
        contenders['channels_last'] = _torch_forward(last, image.to(memory_format=torch.channels_last), device)
    for who in [who for who in _IMPORTERS if who in peers]:
        contenders[who] = _or_skipped(_IMPORTERS[who], peer, param, net, picture, threads, device)
    return contenders


def training(name, batch, peers, device):
    """{contender: function or Skipped}, the engine and those of `peers` that train, for one step of SGD."""
    param = training_net(name, batch)
    engine, net = engine_step(param)
    loss = next(layer.top[0] for layer in param.layer if layer.type == 'SoftmaxWithLoss')
    contenders = {'caffe': lambda: engine() or net.blobs[loss].data.copy()}
    if 'torch' in peers:
        contenders['torch'] = torch_step(Peer(param, net, loss), net, device)
    if 'channels_last' in peers:
        contenders['channels_last'] = torch_step(Peer(param, net, loss), net, device, torch.channels_last)
    if 'compiled' in peers:
        contenders['compiled'] = _or_skipped(
            lambda: _first_call(torch_step(Peer(param, net, loss), net, device, compiled=True))
        )
    return contenders


def engine_step(param):
    """(a function that trains one iteration, the net) of the engine on random pictures."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder)
        write_prototxt(str(path / 'train.prototxt'), param)
        (path / 'solver.prototxt').write_text(
            f'net: "{path}/train.prototxt" base_lr: {RATE} lr_policy: "fixed" momentum: {MOMENTUM} '
            f'weight_decay: {DECAY} max_iter: 1000000 snapshot_prefix: "{path}/run"'
        )
        solver = caffe.SGDSolver(str(path / 'solver.prototxt'))
    net, random = solver.net, np.random.default_rng(0)
    classes = next(layer for layer in reversed(param.layer) if 'InnerProduct' in layer.type)
    count = classes.inner_product_param.num_output or classes.margin_inner_product_param.num_output
    net.blobs['data'].data[...] = random.normal(size=net.blobs['data'].data.shape)
    net.blobs['label'].data[...] = random.integers(0, count, net.blobs['label'].data.shape)
    return lambda: solver.step(1), net


def torch_step(peer, net, device, memory_format=torch.contiguous_format, compiled=False):
    """A function that trains a module one iteration on the pictures that the net holds and gives the loss."""
    image, label = (torch.from_numpy(net.blobs[name].data.copy()).to(device) for name in ('data', 'label'))
    image, peer = image.contiguous(memory_format=memory_format), peer.to(device, memory_format=memory_format)
    optimizer = torch.optim.SGD(peer.train().parameters(), RATE, MOMENTUM, weight_decay=DECAY)
    module = torch.compile(peer) if compiled else peer

    def step():
        optimizer.zero_grad()
        with _engine_precision(device):
            loss = module(image, label)
        loss.backward()
        optimizer.step()
        return loss.detach().cpu().numpy()

    return step


def _engine_precision(device):
    """What lets modules compute as the engine does: in bfloat16 where that was chosen for it."""
    return torch.autocast(device.type, torch.bfloat16, enabled=is_bf16())


def _engine_forward(net, picture):
    name, output = net.inputs[0], net.outputs[0]
    return lambda: net.forward(**{name: picture})[output]


def _torch_forward(module, image, device):
    def forward():
        with torch.inference_mode(), _engine_precision(device):
            return module(image.to(device)).float().cpu().numpy()

    return forward


def _compiled_forward(peer, image, device):
    return _first_call(_torch_forward(torch.compile(peer), image, device))


def _first_call(function):
    """The function, compiled by calling it once, whose result it gives first; an error where that takes too long."""
    with _limit(COMPILE_SECONDS):
        results = [function()]
    return lambda: results.pop() if results else function()


def _onnx(peer, picture, device):
    """The module as the bytes of an ONNX model."""
    file = io.BytesIO()
    with warnings.catch_warnings():
        warnings.simplefilter('ignore')
        torch.onnx.export(peer, (torch.from_numpy(picture).to(device),), file, dynamo=False)
    return file.getvalue()


def _onnxruntime(peer, param, net, picture, threads, device):
    import onnxruntime

    provider = 'CPUExecutionProvider' if device.type == 'cpu' else 'CUDAExecutionProvider'
    if provider not in onnxruntime.get_available_providers():
        raise RuntimeError(f'this onnxruntime has no {provider}')
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    # idle threads that spin would take the cores from the contender whose turn is next
    options.add_session_config_entry('session.intra_op.allow_spinning', '0')
    session = onnxruntime.InferenceSession(_onnx(peer, picture, device), options, providers=[provider])
    name = session.get_inputs()[0].name
    return lambda: session.run(None, {name: picture})[0]


def _opencv(peer, param, net, picture, threads, device):
    if device.type != 'cpu':
        raise RuntimeError("OpenCV's wheels have no CUDA")
    cv2.setNumThreads(threads)
    try:
        return _opencv_forward(cv2.dnn.readNetFromONNX(np.frombuffer(_onnx(peer, picture, device), np.uint8)), picture)
    except cv2.error:
        # OpenCV 4 takes fewer ONNX models than OpenCV 5, but Caffe's
        if not hasattr(cv2.dnn, 'readNetFromCaffe'):
            raise
        return _opencv_forward(_opencv_from_caffe(param, net), picture)


def _opencv_from_caffe(param, net):
    with tempfile.TemporaryDirectory() as folder:
        path = f'{folder}/deploy.prototxt', f'{folder}/weights.caffemodel'
        write_prototxt(path[0], param)
        net.save(path[1])
        return cv2.dnn.readNetFromCaffe(*path)


def _opencv_forward(net, picture):
    def forward():
        net.setInput(picture)
        return net.forward()

    forward()
    return forward


_IMPORTERS = {'onnxruntime': _onnxruntime, 'opencv': _opencv}


def _plausible_weights(net):
    """Weights that keep the size of what passes, for nets whose own are not at hand.

    No two biases are the same: PyTorch's exporter writes equal ones once, for an Identity to hand out, behind which
    OpenCV 4's Gemm takes a bias for a whole matrix and reads past its end.
    """
    random = np.random.default_rng(1)
    for name, layer in net.layer_dict.items():
        if layer.type in ('Convolution', 'InnerProduct'):
            weight, *bias = (blob.data for blob in net.params[name])
            weight[...] = random.normal(0, (2 / weight[0].size) ** 0.5, weight.shape)
            for values in bias:
                values[...] = random.normal(0, 0.1, values.shape)
        elif layer.type == 'BatchNorm':
            mean, variance, weight = net.params[name]
            mean.data[...] = random.normal(0, 0.1, mean.data.shape)
            variance.data[...] = random.uniform(0.5, 1.5, variance.data.shape)
            weight.data[...] = 1


def _or_skipped(make, *arguments):
    try:
        return make(*arguments)
    except Exception as problem:
        first_line = (str(problem).strip().splitlines() or [''])[0]
        return Skipped(f'{type(problem).__name__}: {first_line[:120]}')


@contextmanager
def _limit(seconds):
    def stop(*_):
        raise TimeoutError(f'took more than {seconds} s')

    before = signal.signal(signal.SIGALRM, stop)
    signal.alarm(seconds)
    try:
        yield
    finally:
        signal.alarm(0)
        signal.signal(signal.SIGALRM, before)
