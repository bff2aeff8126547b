"""How exactly convolutions and inner products are computed: one choice for the whole process.

Parameters, blobs, losses, gradients and updates are float32 in any case; what is rounded are the two factors of a
product and, with bf16, its result.
"""

from collections.abc import Sequence

import torch

from caffe.errors import CaffeError
from caffe.process_state import state

PRECISIONS = ('fp32', 'tf32', 'bf16')


def set_precision(name: str) -> None:
    """Choose for all nets: 'fp32' is float32, as in Caffe; 'tf32' lets hardware that has it use TensorFloat-32.

    'bf16' computes the products of Convolution, Deconvolution and InnerProduct, forward and backward, in bfloat16.
    Raises CaffeError for another name.
    """
    if name not in PRECISIONS:
        raise CaffeError(f"precision '{name}': expected one of {', '.join(PRECISIONS)}")
    state.precision = name
    set_hardware()


def precision() -> str:
    """The name of the present choice."""
    return state.precision


def is_bf16() -> bool:
    """Whether products are to be computed in bfloat16."""
    return state.precision == 'bf16'


def set_hardware() -> None:
    """Allow TensorFloat-32 in PyTorch's products where it was chosen, and forbid it otherwise."""
    allowed = state.precision == 'tf32'
    torch.set_float32_matmul_precision('high' if allowed else 'highest')
    torch.backends.cudnn.allow_tf32 = allowed
    on_cpu = getattr(torch.backends.mkldnn, 'conv', None)  # from PyTorch 2.9 on
    if on_cpu is not None:
        on_cpu.fp32_precision = 'tf32' if allowed else 'ieee'


def rounded(*tensors: torch.Tensor | None) -> tuple:
    """The tensors as factors of a product: bfloat16 where that was chosen, themselves otherwise; None stays None."""
    if not is_bf16():
        return tensors
    return tuple(None if t is None else t.bfloat16() for t in tensors)


def product(a: torch.Tensor, b: torch.Tensor, bias: torch.Tensor | None = None) -> torch.Tensor:
    """The matrix product a · b, plus a bias for each column, as float32."""
    if not is_bf16():
        return a @ b if bias is None else torch.addmm(bias, a, b)
    a, b = rounded(a, b)
    y = (a @ b).float()
    return y if bias is None else y.add_(bias)


def convolution(x: torch.Tensor, weight: torch.Tensor, bias: torch.Tensor | None, geometry: tuple) -> torch.Tensor:
    """torch.convolution with its arguments behind the bias in `geometry`, as float32."""
    return torch.convolution(*rounded(x, weight, bias), *geometry).to(x.dtype)


def convolution_backward(
    dy: torch.Tensor, x: torch.Tensor, weight: torch.Tensor, geometry: tuple, wanted: Sequence[bool]
) -> tuple[torch.Tensor | None, torch.Tensor | None, torch.Tensor | None]:
    """(dx, dweight, dbias) of `convolution` as float32, each where `wanted` and None otherwise."""
    grads = torch.ops.aten.convolution_backward(*rounded(dy, x, weight), None, *geometry, [*wanted[:2], False])
    dx, dweight = (None if grad is None else grad.to(x.dtype) for grad in grads[:2])
    # exact to rounding, where the kernels' own sum of the bias is off by up to 1e-5
    return dx, dweight, dy.sum((0, *range(2, dy.dim()))) if wanted[2] else None
