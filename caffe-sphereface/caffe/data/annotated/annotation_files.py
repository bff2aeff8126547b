"""Files that say where objects are in pictures: Pascal VOC's .xml, and .txt with a line for each box; label maps."""

from collections import Counter
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import NamedTuple
from xml.etree import ElementTree

from caffe.errors import CaffeError
from caffe.proto import caffe_pb2
from caffe.proto.files import read_bytes, read_text_message


class ObjectBox(NamedTuple):
    """An object: its label, its box in pixels, and whether it is difficult to recognise."""

    label: int
    xmin: float
    ymin: float
    xmax: float
    ymax: float
    difficult: bool = False


def read_label_map(path: str | Path) -> dict[str, int]:
    """{name: label} of a prototxt of items with name and label; CaffeError for a name or label stated twice."""
    items = read_text_message(path, caffe_pb2.LabelMap()).item
    for what in ('name', 'label'):
        value, count = Counter(getattr(item, what) for item in items).most_common(1)[0] if items else ('', 0)
        if count != 1:
            told = f"{what} '{value}' {count} times, expected once" if count else 'no item, expected name and label'
            raise CaffeError(f'{path}: has {told}')
    return {item.name: item.label for item in items}


def read_boxes(path: str | Path, labels: Mapping[str, int] | None) -> list[ObjectBox]:
    """The objects that a file describes, in its order, as its suffix says; `labels` is needed for .xml.

    A line of a .txt file is `label xmin ymin xmax ymax`. Raises CaffeError naming the file, and the line or object, for
    anything else, for an unknown name, and for a box whose corners are not in order.
    """
    if str(path).lower().endswith('.xml'):
        if labels is None:
            raise CaffeError(f'{path}: names its objects, expected --label_map_file, which gives their labels')
        boxes = list(_of_xml(path, labels))
    else:
        boxes = list(_of_lines(path))
    for number, box in enumerate(boxes, 1):
        if not (box.xmin <= box.xmax and box.ymin <= box.ymax):
            raise CaffeError(
                f'{path}: object {number} has box {tuple(box[1:5])}, expected xmin ymin xmax ymax in order'
            )
    return boxes


def _of_lines(path: str | Path) -> Iterator[ObjectBox]:
    for number, line in enumerate(read_bytes(path).decode(errors='replace').splitlines(), 1):
        if not line.strip():
            continue
        try:
            label, *corners = line.split()
            xmin, ymin, xmax, ymax = map(float, corners)
            yield ObjectBox(int(label), xmin, ymin, xmax, ymax)
        except ValueError:
            raise CaffeError(f"{path}:{number}: '{line.strip()[:60]}', expected label xmin ymin xmax ymax") from None


def _of_xml(path: str | Path, labels: Mapping[str, int]) -> Iterator[ObjectBox]:
    try:
        objects = ElementTree.fromstring(read_bytes(path)).findall('object')
    except ElementTree.ParseError as error:
        raise CaffeError(f'{path}: is no XML ({error})') from None
    for number, one in enumerate(objects, 1):
        name = one.findtext('name', '').strip()
        if name not in labels:
            raise CaffeError(f"{path}: object {number}: '{name}' is not in the label map")
        try:
            xmin, ymin, xmax, ymax = (float(one.findtext(f'bndbox/{side}', '')) for side in ObjectBox._fields[1:5])
        except ValueError:
            raise CaffeError(f'{path}: object {number}: expected a bndbox with xmin, ymin, xmax and ymax') from None
        yield ObjectBox(labels[name], xmin, ymin, xmax, ymax, one.findtext('difficult', '0').strip() == '1')
