"""DetectionOutput: SSD's decoding and suppression as ONNX operators."""

import numpy as np

from caffe.export.graph import Graph, converts
from caffe.layers.detection import boxes as codes
from caffe.layers.detection.detection_output import DetectionOutput

Shape = tuple[int, ...]
LOWEST = float(np.finfo(np.float32).min)


@converts('DetectionOutput')
def detection_output(
    graph: Graph, layer: DetectionOutput, x: list[str], shapes: list[Shape], tops: list[Shape]
) -> list[str]:
    """NonMaxSuppression for each image and class by itself, then the table of what it selects."""
    param = layer.param.detection_output_param
    if param.nms_param.eta < 1:
        layer.error(f'has eta {param.nms_param.eta:g}, expected 1: the threshold of ONNX does not move')
    if param.keep_top_k == 0:
        layer.error('has keep_top_k 0, expected at least 1, or -1 for all')
    scores = _candidates(graph, layer, x[1])
    boxes = _decoded(graph, layer, x[0], x[2])
    least = param.confidence_threshold if param.HasField('confidence_threshold') else LOWEST
    selected = graph.op(
        'NonMaxSuppression',
        boxes,
        graph.op('Unsqueeze', scores, graph.integers([1], 'axes')),
        graph.integers([layer.count], 'most'),
        graph.constant([param.nms_param.nms_threshold], 'overlap'),
        graph.constant([least], 'least'),
    )
    where = graph.op('Gather', selected, graph.integers([0, 2], 'columns'), axis=1)
    if param.keep_top_k > 0:
        where = _best(graph, layer, scores, where)
    return [_table(graph, layer, x[1], scores, boxes, where)]


def _number(graph: Graph, value: int) -> str:
    """A whole number, without axes."""
    return graph.constant(value, 'number', np.int64)


def _candidates(graph: Graph, layer: DetectionOutput, x: str) -> str:
    """Scores (N · K, P), the lowest number where they are the background's or not among the top_k."""
    param, classes = layer.param.detection_output_param, layer.param.detection_output_param.num_classes
    scores = graph.op('Transpose', graph.reshape(x, (-1, layer.count, classes)), perm=[0, 2, 1])
    lowest = graph.constant(LOWEST, 'lowest')
    objects = np.arange(classes) != param.background_label_id
    scores = graph.op('Where', graph.constant(objects.reshape(1, -1, 1), 'objects', np.bool_), scores, lowest)
    scores = graph.reshape(scores, (-1, layer.count))
    if 0 < param.nms_param.top_k < layer.count:
        last = _last_of(graph, scores, param.nms_param.top_k)
        scores = graph.op('Where', graph.op('GreaterOrEqual', scores, last), scores, lowest)
    return scores


def _last_of(graph: Graph, rows: str, count: int) -> str:
    """The value (R, 1) at place `count` of each row in descending order."""
    values, _ = graph.ops('TopK', 2, rows, graph.integers([count], 'count'), axis=1)
    return graph.op('Gather', values, graph.integers([count - 1], 'last'), axis=1)


def _decoded(graph: Graph, layer: DetectionOutput, location: str, prior: str) -> str:
    """Boxes (N · K, P, 4), as `caffe.layers.detection.boxes` decodes them."""
    param, count = layer.param.detection_output_param, layer.count
    code = graph.reshape(location, (-1, count, layer.location_classes, 4))
    code = graph.op('Transpose', code, perm=[0, 2, 1, 3])
    table = graph.op('Reshape', prior, graph.integers([2, count, 4], 'shape'))
    priors, variances = (graph.op('Gather', table, _number(graph, row), axis=0) for row in (0, 1))
    scaled = code if param.variance_encoded_in_target else graph.op('Mul', code, variances)
    low, high = (_part(graph, priors, start) for start in (0, 2))
    if param.code_type == codes.CENTER_SIZE:
        boxes = _around_centres(graph, scaled, low, high)
    else:
        if param.code_type == codes.CORNER_SIZE:
            size = graph.op('Sub', high, low)
            scaled = graph.op('Mul', scaled, graph.op('Concat', size, size, axis=-1))
        boxes = graph.op('Add', priors, scaled)
    if param.share_location:
        boxes = graph.op('Expand', boxes, graph.integers([1, param.num_classes, 1, 1], 'classes'))
    return graph.reshape(boxes, (-1, count, 4))


def _part(graph: Graph, value: str, start: int) -> str:
    """Two of the four numbers of the last axis."""
    return graph.op('Gather', value, graph.integers([start, start + 1], 'columns'), axis=-1)


def _around_centres(graph: Graph, scaled: str, low: str, high: str) -> str:
    size = graph.op('Sub', high, low)
    middle = graph.scaled(graph.op('Add', low, high), 0.5)
    centre = graph.op('Add', graph.op('Mul', _part(graph, scaled, 0), size), middle)
    half = graph.scaled(graph.op('Mul', graph.op('Exp', _part(graph, scaled, 2)), size), 0.5)
    return graph.op('Concat', graph.op('Sub', centre, half), graph.op('Add', centre, half), axis=-1)


def _images(graph: Graph, layer: DetectionOutput, where: str, kind: str) -> str:
    """The image ('Div') or the class ('Mod') of each selected row, (M)."""
    rows = graph.op('Gather', where, _number(graph, 0), axis=1)
    return graph.op(kind, rows, _number(graph, layer.param.detection_output_param.num_classes))


def _best(graph: Graph, layer: DetectionOutput, scores: str, where: str) -> str:
    """The rows of `where` (M, 2) whose scores are among the keep_top_k of their image."""
    param = layer.param.detection_output_param
    every = param.num_classes * layer.count
    own = graph.op('GatherND', scores, where)
    nothing = graph.scaled(scores, 0, LOWEST)
    of_image = graph.reshape(graph.op('ScatterND', nothing, where, own), (-1, every))
    limits = graph.op('Squeeze', _last_of(graph, of_image, min(param.keep_top_k, every)), graph.integers([1], 'axes'))
    limit = graph.op('Gather', limits, _images(graph, layer, where, 'Div'))
    return graph.op('Compress', where, graph.op('GreaterOrEqual', own, limit), axis=0)


def _table(graph: Graph, layer: DetectionOutput, x: str, scores: str, boxes: str, where: str) -> str:
    """(1, 1, D, 7) of the selected rows, or a row (image, −1, …) for each image where there is none at all."""
    column = graph.integers([1], 'axes')
    numbers = [graph.op('Cast', _images(graph, layer, where, kind), to=1) for kind in ('Div', 'Mod')]
    numbers.append(graph.op('GatherND', scores, where))
    columns = [graph.op('Unsqueeze', value, column) for value in numbers]
    rows = graph.op('Concat', *columns, graph.op('GatherND', boxes, where), axis=1)
    images = graph.op('Shape', x, start=0, end=1)
    count = graph.op('Squeeze', images)
    each = graph.op('Cast', graph.op('Range', _number(graph, 0), count, _number(graph, 1)), to=1)
    rest = graph.op('Expand', graph.constant(-1, 'none'), graph.op('Concat', images, graph.integers([6]), axis=0))
    empty = graph.op('Concat', graph.op('Unsqueeze', each, column), rest, axis=1)
    found = graph.op('Shape', rows, start=0, end=1)
    length = graph.op('Where', graph.op('Equal', found, graph.integers([0], 'zero')), images, found)
    table = graph.op('Concat', rows, empty, axis=0)
    return graph.op(
        'Reshape',
        graph.op('Slice', table, graph.integers([0], 'start'), length, graph.integers([0], 'axis')),
        graph.integers([1, 1, -1, 7], 'shape'),
    )
