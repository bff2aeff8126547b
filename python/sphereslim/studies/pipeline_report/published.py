"""What the source published for the network of a run: its table rows and its loss curves."""

from pathlib import Path
from typing import Any

from sphereslim.files import read_json
from sphereslim.logs.compare.published_curves import read_figure


def printed_for(folder: str | Path, name: str) -> dict[str, Any] | None:
    """{source, rows, curves} of the network called `name`, or None where the source did not print it.

    `folder` holds sphereface_prune.json and curves/. `rows` are those of the comparison table, `curves`
    {stage: [[iteration, loss], …]} with the names of stages that a run gives them.
    """
    print_ = read_json(Path(folder) / 'sphereface_prune.json')
    rows = [row for row in print_['comparison'] if row['net'].lower() == name.lower()]
    if not rows:
        return None
    return {'source': print_['source'], 'rows': rows, 'curves': _curves(Path(folder) / 'curves', rows[0]['net'])}


def _curves(folder: Path, net: str) -> dict[str, list[list[float]]]:
    key = net.lower().replace('-', '')
    found = [
        ('base', folder / 'base_training_loss.csv', net),
        ('last-round', folder / f'{key}_last_round_loss.csv', None),
        (None, folder / f'{key}_per_layer_loss.csv', None),
    ]
    curves = {}
    for stage, path, column in found:
        for curve in read_figure(path, column) if path.is_file() else ():
            curves[stage or curve.names] = curve.curves['loss'].points()
    return curves
