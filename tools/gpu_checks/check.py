"""What a part works with: the device, the published data, and where its figures go."""

import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import torch
from benchmarks.peers import choose_device

Value = float | int | str | list[str] | dict[str, float]


class PassedOver(Exception):
    """A part cannot run here, and the message says what is missing: nothing is wrong with the engine."""


@dataclass(frozen=True)
class Check:
    """One run of the checks.

    `device` is 'cuda' or 'cpu'; with `tiny` a part takes the smallest sizes that still go through all of its code.
    `shared` is the folder with goldens and published data, which may be missing, `folder` an empty one to work in.
    """

    device: str
    tiny: bool
    shared: Path
    folder: Path
    send: Callable[[tuple[str, str, Value]], None]

    def figure(self, name: str, value: Value) -> None:
        """State a figure; it is written before this returns to what takes longer."""
        self.send(('figures', name, value))

    def wrong(self, name: str, value: Value) -> None:
        """State what ought to be otherwise; the part goes on, and has failed."""
        self.send(('wrong', name, value))

    def pass_over(self, name: str, why: str) -> None:
        """State what was left out, and why."""
        self.send(('passed over', name, why))

    @contextmanager
    def apart(self, name: str) -> Iterator[None]:
        """Let what fails inside be wrong under this name, and the part go on."""
        try:
            yield
        except Exception as error:
            traceback.print_exc()
            self.wrong(name, f'{type(error).__name__}: {(str(error).splitlines() or [""])[0]}')

    @property
    def gpu(self) -> int | None:
        """The number of the GPU, None on the CPU."""
        return 0 if self.device == 'cuda' else None

    @property
    def gpu_words(self) -> list[str]:
        """The option of a command that names the GPU."""
        return [] if self.gpu is None else ['--gpu', str(self.gpu)]

    def choose(self) -> torch.device:
        """Let the engine compute on the device, which is given for its peers."""
        return choose_device(self.gpu)

    def published(self, *names: str) -> Path:
        """A file or folder of `shared`; PassedOver where it is missing."""
        path = self.shared.joinpath(*names)
        if not path.exists():
            raise PassedOver(f'{path} is missing (SHARED names the folder with the published data)')
        return path
