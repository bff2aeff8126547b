"""What programs hold of the stand-in for a CUDA device: its tensors and its random numbers."""

import torch

CUDA = torch.device('cuda', 0)
_aten = torch.ops.aten
# the devices that there are, the last one being in use
present = []


def _device():
    return present[-1]


def inner_of(value):
    """The values of a DeviceTensor as a tensor of the CPU, anything else as it is."""
    return value.inner if isinstance(value, DeviceTensor) else value


class DeviceTensor(torch.Tensor):
    """A tensor on the stand-in; `inner` has its values.

    The methods here are those for which PyTorch itself would want a device before it asks for the operator.
    """

    __torch_function__ = torch._C._disabled_torch_function_impl

    @staticmethod
    def __new__(cls, inner, memory):
        made = torch.Tensor._make_wrapper_subclass(
            cls,
            inner.shape,
            strides=inner.stride(),
            storage_offset=inner.storage_offset(),
            dtype=inner.dtype,
            device=CUDA,
        )
        made.inner, made.memory = inner, memory
        return made

    @classmethod
    def __torch_dispatch__(cls, operator, types, args=(), kwargs=None):
        return _device().run(operator, args, kwargs or {})

    def data_ptr(self):
        return self.inner.data_ptr()

    def numpy(self):
        raise TypeError("can't convert cuda:0 device type tensor to numpy. Use Tensor.cpu() first")

    def copy_(self, source, non_blocking=False):
        _device().run(_aten.copy_.default, (self, source, non_blocking), {})
        torch.autograd.graph.increment_version(self)
        return self

    def contiguous(self, memory_format=torch.contiguous_format):
        done = self.is_contiguous(memory_format=memory_format)
        return self if done else _aten.clone.default(self, memory_format=memory_format)

    def record_stream(self, stream):
        self.memory.users.add(stream)

    def item(self):
        return _aten._local_scalar_dense.default(self)

    def tolist(self):
        return self.cpu().tolist()

    def __float__(self):
        return float(self.item())

    def __int__(self):
        return int(self.item())

    __index__ = __int__

    def __bool__(self):
        return bool(self.item())

    def nonzero(self):
        return _aten.nonzero.default(self)

    def __invert__(self):
        return _aten.bitwise_not.default(self)

    def __getitem__(self, key):
        parts = key if isinstance(key, tuple) else (key,)
        if any(isinstance(part, torch.Tensor) for part in parts):
            return _aten.index.Tensor(self, [None if part == slice(None) else part for part in parts])
        return DeviceTensor(self.inner[key], self.memory)

    def __repr__(self):
        return f'DeviceTensor({self.inner})'


class DeviceGenerator(torch.Generator):
    """Random numbers of the stand-in, those that the CPU draws from the same seed; told by the seed's highest bit."""

    MARK = 1 << 63

    def __new__(cls, device='cpu'):
        return super().__new__(cls if torch.device(device).type == 'cuda' else cls.__base__, 'cpu')

    def manual_seed(self, seed):
        return super().manual_seed(seed | self.MARK)

    def seed(self):
        return self.manual_seed(super().seed()).initial_seed()
