"""A stand-in for a CUDA device on machines without one, for tests: its tensors say `cuda:0` and compute on the CPU.

What it shows: that every tensor lies where it has to (an operator that mixes host and device is refused as CUDA
refuses it, and so is `.numpy()` of a device tensor), that CUDA has the operators that are used, where the host waits
for the device or copies to it, with the layer and the line, and that streams wait for each other where they share
memory. CUDA graphs are stood in for as well (cuda_capture). An index out of range ends all work of the device without
being named, as it does for CUDA, but at once where CUDA tells it later. What it cannot show: the numbers of CUDA's
kernels, their speed, how much memory they take, and host memory that changes while it is being copied.
"""

import contextlib
import sys
import threading
from collections import namedtuple
from pathlib import Path
from unittest import mock

import torch
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_flatten, tree_map

import caffe
from caffe.layers.support.registry import Layer
from cuda_capture import Graph, capture
from cuda_kernels import SYNCHRONISING, exists_on_cuda, is_boolean_index, name_of, takes_host_scalars
from cuda_streams import Event, Memory, Stream
from cuda_tensor import DeviceGenerator, DeviceTensor, inner_of, present

ENGINE = str(Path(caffe.__file__).parent)
_aten = torch.ops.aten
_COPIES = (_aten._to_copy.default, _aten.copy_.default, _aten._foreach_copy_.default)

Wait = namedtuple('Wait', 'kind layer line')


class StandIn(TorchDispatchMode):
    """The device: runs operators by its rules and notes each Wait of the host."""

    def __init__(self):
        super().__init__()
        self.waits = []
        self._pinned, self._failed = {}, False
        self._main, self._here = Stream(self), threading.local()

    @classmethod
    def _should_skip_dynamo(cls):
        return False  # nothing is compiled here; importing the compiler takes seconds

    def __torch_dispatch__(self, operator, types, args=(), kwargs=None):
        return self.run(operator, args, kwargs or {})

    # -- one operator -------------------------------------------------------------------------------------------------

    def run(self, operator, args, kwargs):
        """The result of an operator, on the device or on the host as its arguments say."""
        if operator in _COPIES:
            return self._copy(operator, args, kwargs)
        tensors = [x for x in tree_flatten((args, kwargs))[0] if isinstance(x, torch.Tensor)]
        ours = [x for x in tensors if isinstance(x, DeviceTensor)]
        stated = kwargs.get('device')
        on_device = torch.device(stated).type == 'cuda' if stated is not None else bool(ours)
        if not on_device:
            return self._on_host(operator, args, kwargs)
        self._check(operator, args, kwargs, tensors, ours)
        self._use(ours, written_by(operator, args, kwargs), kwargs.get('generator'))
        known = {id(x.inner): x for x in ours}
        memories = {x.inner.untyped_storage()._cdata: x.memory for x in ours}
        args, kwargs = tree_map(inner_of, (args, {**kwargs, **({'device': 'cpu'} if stated is not None else {})}))
        result = self._compute(operator, args, kwargs)
        if self.graph:
            self.graph.note(operator, args, kwargs, result)
        return tree_map(lambda x: self._wrap(x, known, memories), result)

    def _compute(self, operator, args, kwargs):
        if not self._failed:
            try:
                return operator(*args, **kwargs)
            except (IndexError, RuntimeError) as error:
                self._failed = 'out of bounds' in str(error) or 'out of range' in str(error)
                if not self._failed:
                    raise
        raise RuntimeError('CUDA error: device-side assert triggered')

    def _wrap(self, value, known, memories):
        """A result's DeviceTensor: the argument that it is, a view of an argument, or one with memory of its own."""
        if not isinstance(value, torch.Tensor):
            return value
        memory = memories.get(value.untyped_storage()._cdata) if memories else None
        return known[id(value)] if id(value) in known else DeviceTensor(value, memory or self._new_memory())

    def _new_memory(self):
        stream = self.graph.home if self.graph else self.stream()
        memory = Memory(stream)
        memory.use(stream, True)
        return memory

    def _use(self, tensors, written, generator=None):
        if self.graph:
            self.graph.before(tensors, written, generator)
            return
        for x in tensors:
            x.memory.use(self.stream(), id(x) in written)

    @property
    def graph(self):
        """The Graph that this thread captures, None most of the time."""
        return getattr(self._here, 'graph', None)

    @graph.setter
    def graph(self, graph):
        self._here.graph = graph

    def stream(self):
        """The Stream that this thread's operators go to."""
        return getattr(self._here, 'stream', self._main)

    @contextlib.contextmanager
    def on_stream(self, stream):
        """Send this thread's operators to `stream` inside, as torch.cuda.stream does."""
        before = self.use_stream(stream)
        try:
            yield
        finally:
            self.use_stream(before)

    def use_stream(self, stream):
        """Send this thread's operators to `stream` from here on; the one that they went to before."""
        before, self._here.stream = self.stream(), stream
        return before

    def _on_host(self, operator, args, kwargs):
        if operator is _aten.is_pinned.default:
            return self.is_pinned(args[0])
        if operator is _aten._pin_memory.default:
            return self._pin(args[0].clone())
        if operator is _aten._local_scalar_dense.default and isinstance(args[0], DeviceTensor):
            self.note('read')
        result = operator(*args, **{k: v for k, v in kwargs.items() if k != 'pin_memory'})
        return self._pin(result) if kwargs.get('pin_memory') else result

    def _check(self, operator, args, kwargs, tensors, ours):
        """Refuse what CUDA refuses, note what waits."""
        name = name_of(operator)
        if not exists_on_cuda(operator):
            raise NotImplementedError(f"Could not run '{operator}' with arguments from the 'CUDA' backend")
        strangers = [x for x in tensors if not isinstance(x, DeviceTensor)]
        is_index = name.startswith(('index.', 'index_put', '_index_put'))
        for x in strangers:
            if is_index and ours and x is not args[0] and x is not args[-1]:
                self.note('copy to device')
            elif x.dim() or not takes_host_scalars(operator):
                raise RuntimeError(f'Expected all tensors to be on the same device, but {operator} got cuda:0 and cpu')
        generator = kwargs.get('generator')
        if generator is not None and not generator.initial_seed() & DeviceGenerator.MARK:
            raise RuntimeError(f"Expected a 'cuda' device type for generator but found 'cpu' ({operator})")
        if name == '_local_scalar_dense':
            self.note('read')
        elif name in SYNCHRONISING or is_boolean_index(operator, args):
            self.note('size')

    # -- copies -------------------------------------------------------------------------------------------------------

    def _copy(self, operator, args, kwargs):
        if operator is _aten._to_copy.default:
            return self._to_copy(args[0], kwargs)
        targets, sources = args[:2] if operator is _aten._foreach_copy_.default else ([args[0]], [args[1]])
        patient = args[2] if len(args) > 2 else kwargs.get('non_blocking', False)
        for target, source in zip(targets, sources):
            self._transfer(isinstance(source, DeviceTensor), isinstance(target, DeviceTensor), patient, source, target)
            self._use([x for x in (target, source) if isinstance(x, DeviceTensor)], {id(target)})
            _aten.copy_.default(inner_of(target), inner_of(source))
            if self.graph and isinstance(target, DeviceTensor):
                self.graph.note(_aten.copy_.default, (target.inner, source.inner), {}, target.inner)
        return args[0] if operator is _aten.copy_.default else None

    def _to_copy(self, source, kwargs):
        stated = kwargs.get('device')
        from_device = isinstance(source, DeviceTensor)
        to_device = from_device if stated is None else torch.device(stated).type == 'cuda'
        kwargs = {**kwargs, **({} if stated is None else {'device': 'cpu'})}
        copy = _aten._to_copy.default(inner_of(source), **kwargs)
        patient = kwargs.get('non_blocking', False)
        if patient and from_device and not to_device:
            self._pin(copy)
        self._transfer(from_device, to_device, patient, source, copy)
        self._use([source] if from_device else [], ())
        if self.graph and to_device:
            self.graph.note(_aten._to_copy.default, (source.inner,), kwargs, copy)
        return DeviceTensor(copy, self._new_memory()) if to_device else copy

    def _transfer(self, from_device, to_device, patient, source, target):
        """Note a copy between host and device, unless it is a patient one that a pinned host memory allows."""
        if from_device != to_device:
            if self.graph:
                self.graph.refuse('a copy between host and device')
            host = target if from_device else source
            if not (patient and self.is_pinned(host)):
                self.note('copy to host' if from_device else 'copy to device')

    def is_pinned(self, tensor):
        """Whether a host tensor lies in memory that was pinned."""
        return tensor.untyped_storage().data_ptr() in self._pinned

    def _pin(self, tensor):
        # kept for good, so that no other tensor comes to lie there
        self._pinned[tensor.untyped_storage().data_ptr()] = tensor
        return tensor

    # -- what the host waits for --------------------------------------------------------------------------------------

    def note(self, kind):
        """Add a Wait at the engine's line that is running; it ends a capture."""
        if self.graph:
            self.graph.refuse(kind)
        frame, line, layer = sys._getframe(1), None, None
        while frame and not layer:
            code = frame.f_code
            if code.co_filename.startswith(ENGINE):
                line = line or f'{code.co_filename[len(ENGINE) + 1 :]}:{frame.f_lineno} {code.co_name}'
                # of the engine's frames alone: asked for its f_locals, a frame keeps alive what it had in them
                owner = frame.f_locals.get('self')
                layer = owner.type if isinstance(owner, Layer) else None
            frame = frame.f_back
        self.waits.append(Wait(kind, layer, line))


def written_by(operator, args, kwargs):
    """The ids of the tensors that an operator changes, told by its schema."""
    if not operator._schema.is_mutable:
        return ()
    stated = operator._schema.arguments
    changed = [
        kwargs.get(each.name) if each.kwarg_only else args[i]
        for i, each in enumerate(stated)
        if each.alias_info is not None and each.alias_info.is_write and (each.kwarg_only or i < len(args))
    ]
    return {id(x) for x in tree_flatten(changed)[0]}


@contextlib.contextmanager
def cuda_standin():
    """Let PyTorch have one CUDA device, the stand-in, in this and in threads that start inside; yields the StandIn."""
    device, run = StandIn(), threading.Thread.run

    def run_with_device(thread):
        with device:
            run(thread)

    cuda = {
        'is_available': lambda: True,
        'device_count': lambda: 1,
        'set_device': lambda index: None,
        'current_device': lambda: 0,
        '_lazy_init': lambda: None,
        'synchronize': lambda *_: device.note('wait'),
        'Stream': lambda *_, **__: Stream(device),
        'Event': lambda *_, **__: Event(device),
        'CUDAGraph': Graph,
        'graph': capture,
        'stream': device.on_stream,
        'current_stream': lambda *_: device.stream(),
    }
    with contextlib.ExitStack() as stack:
        for name, function in cuda.items():
            stack.enter_context(mock.patch.object(torch.cuda, name, function))
        stack.enter_context(mock.patch.object(torch, 'Generator', DeviceGenerator))
        stack.enter_context(mock.patch.object(threading.Thread, 'run', run_with_device))
        present.append(device)
        stack.callback(present.pop)
        stack.enter_context(device)
        yield device
