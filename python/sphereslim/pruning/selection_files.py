"""Reading selection.json, of one layer or of several."""

from sphereslim.errors import SlimError
from sphereslim.files import read_json


def read_selections(paths):
    """{layer: kept indices} of selection files; SlimError for what is none and for a layer chosen twice."""
    kept = {}
    for path in paths:
        values = read_json(path)
        entries = values.get('selections', [values]) if isinstance(values, dict) else None
        if not entries:
            raise SlimError(f'{path}: is no selection, expected what select_filters.py wrote')
        for entry in entries:
            if not isinstance(entry, dict) or 'layer' not in entry or not isinstance(entry.get('kept'), list):
                raise SlimError(f'{path}: is no selection, expected layer and kept, as select_filters.py writes them')
            if entry['layer'] in kept:
                raise SlimError(f"{path}: layer '{entry['layer']}' is selected twice")
            kept[entry['layer']] = entry['kept']
    return kept
