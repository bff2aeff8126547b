"""What `caffe time` measures of several deploy nets, in turns so that a busy machine slows them alike."""

import os
import re
import subprocess
import tempfile
from pathlib import Path
from statistics import median

from sphereslim.engine import caffe_command
from sphereslim.errors import SlimError
from sphereslim.net.messages import copy_of
from sphereslim.net.prototxt import read_net, write_prototxt

_PASS = re.compile(r'Average (Forward|Backward) pass: ([\d.e+-]+) ms')


def caffe_times(deploys, batch=16, iterations=3, rounds=3, gpu=None, progress=iter):
    """[{'forward': ms, 'backward': ms}] an image of deploy prototxts, medians over `rounds` of `caffe time`.

    The nets run on batches of `batch` and backward down to their input. `progress` wraps the list of measurements.
    """
    found = [[] for _ in deploys]
    with tempfile.TemporaryDirectory() as folder:
        paths = [_batched(deploy, Path(folder, f'{number}.prototxt'), batch) for number, deploy in enumerate(deploys)]
        for number in progress([n for _ in range(rounds) for n in range(len(paths))]):
            found[number].append(_measure(paths[number], deploys[number], iterations, gpu))
    return [{name: median(times[name] for times in own) / batch for name in ('forward', 'backward')} for own in found]


def _batched(deploy, path, batch):
    net = copy_of(read_net(deploy))
    for layer in net.layer:
        if layer.type == 'Input':
            layer.input_param.shape[0].dim[0] = batch
    net.force_backward = True
    write_prototxt(path, net)
    return path


def _measure(path, deploy, iterations, gpu):
    command = [*caffe_command(), 'time', f'--model={path}', f'--iterations={iterations}', '--phase=TEST']
    command += [f'--gpu={gpu}'] if gpu is not None else []
    done = subprocess.run(
        command, capture_output=True, text=True, env={**os.environ, 'GLOG_logtostderr': '1', 'GLOG_minloglevel': '0'}
    )
    times = {name.lower(): float(value) for name, value in _PASS.findall(done.stderr)}
    if done.returncode or len(times) < 2:
        last = next(iter(reversed(done.stderr.strip().splitlines())), 'no output')
        raise SlimError(f'{deploy}: caffe time failed: {last}')
    return times
