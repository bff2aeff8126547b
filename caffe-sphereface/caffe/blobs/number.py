"""Numbers that change from pass to pass by themselves, such as learning rates and the λ of a margin."""

import torch


class Number:
    """A number that is set anew for every pass, for the formulas of a layer or an update.

    In Python it costs nothing. A CUDA graph replays the numbers that it was captured with, but reads tensors anew:
    after `lie_on` a device the number is a tensor there, whose memory stays the same one.
    """

    __slots__ = ('_number', '_tensor')

    def __init__(self, number: float = 0.0) -> None:
        self._number = number
        self._tensor: torch.Tensor | None = None

    def set(self, number: float) -> None:
        """Have another value from here on; a GPU is not waited for."""
        self._number = number
        if self._tensor is not None:
            self._tensor.fill_(number)

    def lie_on(self, device: torch.device | None) -> None:
        """Be a float32 tensor on `device` from here on, or a Python number for None."""
        if device is None:
            self._tensor = None
        elif self._tensor is None or self._tensor.device != device:
            self._tensor = torch.full((), self._number, device=device)

    @property
    def value(self) -> float | torch.Tensor:
        """What to compute with: the Python number, or a tensor without axes."""
        return self._number if self._tensor is None else self._tensor

    @property
    def is_zero(self) -> bool:
        """Whether it is known to be 0, so that work can be left out; False for a tensor, which will change."""
        return self._tensor is None and self._number == 0

    def as_blob(self, device: torch.device) -> torch.Tensor:
        """The value as a new tensor of shape (1) on `device`."""
        if self._tensor is None:
            return torch.full((1,), self._number, device=device)
        return self._tensor.reshape(1).clone()
