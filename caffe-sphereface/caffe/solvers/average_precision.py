"""Tests of detectors: average precision (Everingham et al., Pascal VOC) out of the rows of DetectionEvaluate."""

from collections.abc import Callable, Iterable
from pathlib import Path

import numpy as np

from caffe import log
from caffe.errors import CaffeError
from caffe.net.net import Net
from caffe.proto import caffe_pb2

VERSIONS = ('11point', 'MaxIntegral', 'Integral')


def check_version(version: str, origin: str | Path = 'solver') -> None:
    """CaffeError, which names the file `origin`, unless `version` is an ap_version."""
    if version not in VERSIONS:
        raise CaffeError(f"{origin}: ap_version '{version}', expected one of {', '.join(VERSIONS)}")


def average_precision(scores: Iterable[float], right: Iterable[float], positives: float, version: str) -> float:
    """The area under the curve of precision over recall of detections, each right (1) or wrong (0).

    `positives` is the number of true boxes. '11point' is the mean over recalls 0, 0.1, … 1 of the best precision at
    that recall or beyond, 'MaxIntegral' the integral of it, 'Integral' that of the precision itself.
    """
    order = np.argsort(-np.asarray(scores, float), kind='stable')
    hits = np.asarray(right, float)[order].cumsum()
    if not len(hits) or not positives:
        return 0.0
    precision, recall = hits / np.arange(1, len(hits) + 1), hits / positives
    best = np.maximum.accumulate(precision[::-1])[::-1]
    if version == '11point':
        return float(np.mean([best[recall >= level / 10].max(initial=0) for level in range(11)]))
    steps = np.diff(recall, prepend=0)
    return float((steps * (best if version == 'MaxIntegral' else precision)).sum())


def testing(net: Net, iterations: int, param: caffe_pb2.SolverParameter, should_stop: Callable[[], bool]) -> None:
    """Run a test net and log the mean average precision over classes of each of its outputs, rows as above.

    `param` is the SolverParameter; nothing is logged when asked to stop.
    """
    rows: dict[str, list[np.ndarray]] = {name: [] for name in net.outputs}
    loss = 0.0
    for _ in range(iterations):
        if should_stop():
            log.info('solver.cpp:373', 'Test interrupted.')
            return
        loss += float(net.run_forward())
        for name in net.outputs:
            values = net.blobs[name].tensor.cpu().numpy()
            if not values.shape or values.shape[-1] != 5:
                raise CaffeError(
                    f"net '{net.name}': output '{name}' has shape {values.shape}, expected the rows of "
                    'DetectionEvaluate for eval_type detection'
                )
            rows[name].append(values.reshape(-1, 5))
    if param.test_compute_loss:
        log.info('solver.cpp:386', f'Test loss: {log.number(loss / max(1, iterations))}')
    for index, (name, found) in enumerate(rows.items()):
        classes = class_precisions(np.concatenate(found), param.ap_version)
        if param.show_per_class_result:
            for label, value in classes.items():
                log.info('solver.cpp:540', f'class{label}: {log.number(value)}')
        mean = sum(classes.values()) / max(1, len(classes))
        log.info('solver.cpp:546', f'    Test net output #{index}: {name} = {log.number(mean)}')


def class_precisions(rows: np.ndarray, version: str) -> dict[int, float]:
    """{label: average precision} from rows (R, 5) of DetectionEvaluate of any number of batches."""
    counts, found = rows[rows[:, 0] == -1], rows[rows[:, 0] != -1]
    found = found[(found[:, 3] != 0) | (found[:, 4] != 0)]
    result = {}
    for label in np.unique(counts[:, 1]):
        mine = found[found[:, 1] == label]
        positives = counts[counts[:, 1] == label, 2].sum()
        result[int(label)] = average_precision(mine[:, 2], mine[:, 3], positives, version)
    return result
