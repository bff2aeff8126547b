"""The steps from an original to a smaller net with its files, its figures and its report.

<out>/original/    the original, norms folded into its weights
<out>/channels/    steps of fewer channels
<out>/trained/     distillations
<out>/bits/        what fewer bits cost in each layer, and files of fewer bits
<out>/result/      deploy.prototxt, weights.caffemodel, weights.qcaffemodel, dequantized.caffemodel, net.onnx
<out>/results.json what was measured; <out>/commands.sh every step by hand; <out>/report.html

A run that is stopped goes on where it was, and one with other budgets takes over the steps that are there.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import asdict
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from sphereslim.channels.groups import Groups
from sphereslim.compression.bits import BITS, COMPACT, DEQUANTIZED, quantized, quantized_to, take_bits
from sphereslim.compression.channels import Channels
from sphereslim.compression.cpu_time import CpuTime
from sphereslim.compression.files import command_of, export_onnx, write_commands
from sphereslim.compression.measured import Figures, size_of
from sphereslim.compression.report import write as write_page
from sphereslim.compression.request import Request
from sphereslim.compression.training import trained
from sphereslim.errors import SlimError
from sphereslim.files import ResultsFile, check_folder, file_digest, only_one
from sphereslim.net.engine_check import check_engine
from sphereslim.progress import bar
from sphereslim.pruning.measures import OutputShift
from sphereslim.pruning.model import Model, open_model
from sphereslim.pruning.shrink_to_budget import Step
from sphereslim.quantization.quantized_net import QuantizedNet
from sphereslim.rewrite.fold import fold

Row = dict[str, Any]  # the figures of a net
Files = tuple[Path, Path]  # of a net: prototxt and caffemodel
NETS = REFITTED, DISTILLED, IN_FEWER_BITS = 'fewer channels, refitted', 'distilled', 'in fewer bits'  # of a result


class Compression:
    """A Request being carried out; `tell` is called with a line as each part begins."""

    def __init__(self, request: Request, tell: Callable[[str], object] = print) -> None:
        request.check()
        check_folder(request.out)
        check_engine([request.deploy])
        self.request, self._tell, self._part = request, tell, 0
        self.original = open_model(request.deploy, request.weights)
        self.judge, self.test, self.refit = request.feeds(self.original.net)
        self.limits: dict[str, float] = {}  # that the result was cut to
        self._loss: list[OutputShift] = []

    def run(self) -> dict[str, Any]:
        """Carry out what is missing; plain values.

        `rows` of figures, the `steps` tried, what is `kept`, `bits`, and the `cpu_seconds` of each part.
        """
        request = self.request
        with only_one(request.out):
            kept = ResultsFile(request.out / 'results.json', request.subject())
            figures = Figures(request, kept, lambda batches: bar(batches, 'verifying', leave=False))
            self._cpu = CpuTime(kept)
            try:
                found = self._found(figures)
            finally:
                self._cpu.end()
            return found | {'cpu_seconds': self._cpu.seconds()}

    def _found(self, figures: Figures) -> dict[str, Any]:
        request = self.request
        self._begin('folding norms into weights')
        folded = self._folded()
        channels = Channels(folded, self.judge, self.test, request.out / 'channels', request.multiple, request.seed)
        if request.budgets.is_empty():
            return self._curve(channels, figures)
        return self._result(folded, channels, figures)

    def _begin(self, words: str) -> None:
        self._part += 1
        self._cpu.begin(words)
        self._tell(f'[{self._part}/{self._parts()}] {words}')

    def _parts(self) -> int:
        return 3 if self.request.budgets.is_empty() else 5 + bool(self.request.train_minutes)

    def _folded(self) -> Model:
        folder = self.request.out / 'original'
        if not (folder / 'deploy.prototxt').is_file():
            folding = fold(self.original.net, self.original.weights)
            Model(folding.net, folding.weights, Groups(folding.net)).save(folder)
        return open_model(*_files_in(folder))

    def _curve(self, channels: Channels, figures: Figures) -> dict[str, Any]:
        self._begin('fewer channels, step by step')
        steps = list(channels.curve())
        self._begin('measuring')
        shown = [step for step in steps if channels.is_on_curve(step)]
        times = figures.milliseconds(self.request.deploy, *(_files_in(step.folder)[0] for step in shown))
        rows = [self._original_row(figures, times[0])]
        for step, milliseconds in zip(shown, times[1:]):
            name = f'{100 * step.price:.0f} % of the MACs'
            rows.append(self._row(name, _files_in(step.folder), figures, milliseconds, step.loss))
        return {'rows': rows, 'steps': [_tried(step) for step in steps], 'kept': {}, 'bits': {}}

    def _result(self, folded: Model, channels: Channels, figures: Figures) -> dict[str, Any]:
        limits = self.request.budgets.counted(self.original.net, self.request.weights.stat().st_size)
        self._begin('fewer channels, step by step')
        for step in self._candidates(channels, limits, figures):
            done = self._part
            model, files = self._finished(folded, channels, limits, step)
            result = model.save(self.request.out / 'result')
            self._begin('fewer bits')
            bits = self._fewer_bits(model, result, figures)
            if bits is not None:
                break
            self._part = done
        else:
            raise SlimError(f'{self.request.out}: {self._shortfall_in_bits(figures)}')
        files[IN_FEWER_BITS] = _quantized_in(result[0].parent)
        self._begin('measuring')
        self.limits = channels.limits_of(limits, step) if step else {}
        rows = self._rows(files, figures)
        rows[-1]['bytes'] = result[0].with_name(COMPACT).stat().st_size
        kept = {name: [len(own), folded.groups.of(name).size] for name, own in step.kept.items()} if step else {}
        return {'rows': rows, 'steps': [_tried(each) for each in channels.known(limits)], 'kept': kept, 'bits': bits}

    def _finished(
        self, folded: Model, channels: Channels, limits: dict[str, float], step: Step | None
    ) -> tuple[Model, dict[str, Files]]:
        """(the Model of a Step, refitted and distilled, the files of each of its stages by name)."""
        files: dict[str, Files] = {}
        if step is None:
            self._begin('all channels stay')
            return folded, files
        self._begin('refitting on more pictures')
        refined = channels.refined(limits, step, self.refit)
        model = refined.model()
        files[REFITTED] = _files_in(refined.folder)
        if self.request.train_minutes:
            self._begin(f'distilling for {self.request.train_minutes:g} minutes')
            name = f'{Path(refined.folder).name}-{self.request.train_minutes:g}-minutes'
            units, test = {group: np.array(own) for group, own in step.kept.items()}, set(map(Path, self.test.paths))
            folder = self.request.out / 'trained' / name
            model = trained(self.request, model, channels.whole(limits), units, test, folder)
            files[DISTILLED] = model.save(self.request.out / 'trained' / f'{name}-net')
        return model, files

    def _rows(self, files: dict[str, Files], figures: Figures) -> list[Row]:
        """The figures of the original and of nets by name, which have the same prototxt."""
        before, after = figures.milliseconds(self.request.deploy, files[IN_FEWER_BITS][0])
        rows = [self._original_row(figures, before)]
        return rows + [self._row(name, own, figures, after, None) for name, own in files.items()]

    def _candidates(self, channels: Channels, limits: dict[str, float], figures: Figures) -> list[Step | None]:
        """The Steps to finish, the smallest first, until one keeps the accuracy that is asked for in fewer bits.

        None where all channels stay.
        """
        budgets = self.request.budgets
        if not self._keeps((self.request.deploy, self.request.weights), figures):
            raise SlimError(self._shortfall_at_first(figures))
        if budgets.milliseconds is None and budgets.accuracy is None:
            return [channels.within(limits) if limits else None]
        asks_for_less = bool(limits or budgets.milliseconds)
        is_fast = (lambda step: self._is_fast(step, figures)) if budgets.milliseconds else None
        kept, met = channels.tried(limits, is_fast, lambda step: self._keeps(_files_in(step.folder), figures))
        if asks_for_less and not met:
            raise SlimError(f'{self.request.out}: {self._shortfall(kept[-1] if kept else None, figures)}')
        return [kept[-1]] if asks_for_less else [*reversed(kept), None]

    def _is_fast(self, step: Step, figures: Figures) -> bool:
        asked = self.request.budgets.milliseconds
        assert asked is not None
        before, after = figures.milliseconds(self.request.deploy, _files_in(step.folder)[0])
        return after <= asked.of(before, 'milliseconds')

    def _keeps(self, files: Files, figures: Figures) -> bool:
        """Whether a net keeps the accuracy that is asked for."""
        asked = self.request.budgets.accuracy
        return asked is None or self._first_accuracy(files, figures) >= asked

    def _first_accuracy(self, files: Files, figures: Figures) -> float:
        return next(iter(figures.accuracies(*files).values()))['accuracy']

    def _shortfall(self, step: Step | None, figures: Figures) -> str:
        """Why no step meets the budgets."""
        floor = self.request.budgets.accuracy
        if step is None:
            return f'no step keeps an accuracy of {floor:g} %, expected a lower one'
        reached = f'{step.macs:,} MACs and {step.parameters:,} parameters'
        if floor is None:
            return f'the smallest net, of {reached}, still takes too long, expected more milliseconds'
        accuracy = self._first_accuracy(_files_in(step.folder), figures)
        return (
            f'the budgets are not reached with an accuracy of {floor:g} %, which ends at {reached} with '
            f'{accuracy:.2f} %; expected a lower accuracy or larger budgets'
        )

    def _shortfall_at_first(self, figures: Figures) -> str:
        """Why no step is tried."""
        weights, floor = self.request.weights, self.request.budgets.accuracy
        accuracy = self._first_accuracy((self.request.deploy, weights), figures)
        return f'{weights}: its accuracy is {accuracy:.2f} % before anything leaves, expected no floor of {floor:g} %'

    def _shortfall_in_bits(self, figures: Figures) -> str:
        """Why no net that keeps the accuracy does so in fewer bits."""
        files = _quantized_in(self.request.out / 'result')
        return (
            f'no file of fewer bits keeps an accuracy of {self.request.budgets.accuracy:g} %, the last one has '
            f'{self._first_accuracy(files, figures):.2f} %; expected a lower accuracy or larger budgets'
        )

    def _fewer_bits(self, model: Model, files: Files, figures: Figures) -> dict[str, int] | None:
        """Write the quantized file beside `files`; {layer: bits}, None where it does not keep the accuracy."""
        folder = self.request.out / 'bits' / file_digest(*files)
        for size, make in self._quantizers(model, files, folder):
            bits = take_bits(make, folder / size.replace(' ', '-'), files[0].parent)
            quantized_files = _quantized_in(files[0].parent)
            if self._keeps(quantized_files, figures):
                return bits
            accuracy = self._first_accuracy(quantized_files, figures)
            self._tell(f'in {size}: {accuracy:.2f} %, less than {self.request.budgets.accuracy:g} %')
        return None

    def _quantizers(self, model: Model, files: Files, folder: Path) -> Iterator[tuple[str, Callable[[], QuantizedNet]]]:
        """(their size in words, how they are made) of the nets of fewer bits, the smallest first.

        `folder` gets what bits cost in each layer.
        """
        asked = self.request.budgets.bytes
        if asked is None:
            for bits in BITS if self.request.budgets.accuracy else BITS[:1]:
                yield f'{bits} bits', partial(quantized, model, files[0], self.refit, self.request.seed, bits)
            return
        size = int(asked.of(self.request.weights.stat().st_size, 'bytes'))
        feeds = self.refit, self.test
        yield f'{size} bytes', partial(quantized_to, size, model, files, *feeds, self.request.seed, folder)

    def _original_row(self, figures: Figures, milliseconds: float) -> Row:
        return self._row('original', (self.request.deploy, self.request.weights), figures, milliseconds, 0.0)

    def _row(self, name: str, files: Files, figures: Figures, milliseconds: float, loss: float | None) -> Row:
        if loss is None:
            self._loss = self._loss or [OutputShift(self.original, self.test)]
            loss = self._loss[0](open_model(*files))
        return {
            'name': name,
            **size_of(*files),
            'milliseconds': milliseconds,
            'loss': loss,
            'accuracies': figures.accuracies(*files),
        }


def _files_in(folder: str | Path) -> Files:
    return Path(folder) / 'deploy.prototxt', Path(folder) / 'weights.caffemodel'


def _quantized_in(folder: str | Path) -> Files:
    return Path(folder) / 'deploy.prototxt', Path(folder) / DEQUANTIZED


def _tried(step: Step) -> dict[str, Any]:
    """The figures of a Step."""
    values = asdict(step)
    return {name: values[name] for name in ('folder', 'limit', 'price', 'macs', 'parameters', 'loss')}


def compress(request: Request, tell: Callable[[str], object] = print) -> dict[str, Any]:
    """Carry out a Request and write the report, the commands and, of a result, the ONNX file.

    What `Compression.run` gives, and as `report` the path of the page.
    """
    compression = Compression(request, tell)
    found = compression.run()
    result = request.out / 'result'
    if not request.budgets.is_empty():
        reason = export_onnx(result / 'deploy.prototxt', result / 'weights.caffemodel', result / 'net.onnx')
        tell(f'note: no net.onnx: {reason}' if reason else f'{result}: the files of the smaller net')
        path = write_commands(request, compression.limits, compression.refit.paths, compression.test.paths)
        tell(f'{path}: every step by hand')
    facts = [
        ('net', f'{request.deploy}, {request.weights}'),
        ('in view of', f'{len(compression.refit.paths)} pictures of {request.images}'),
        ('CPU minutes', ', '.join(f'{part} {used / 60:.1f}' for part, used in found['cpu_seconds'].items())),
        ('run with', command_of(request)),
    ]
    page = write_page(found, request.out, f'{request.weights.stem} made smaller', facts)
    return found | {'report': str(page)}
