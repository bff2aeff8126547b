"""Tile, against numpy."""

from layer_case import layer, output


def test_tile():
    tiled = output(layer('Tile', extra='tile_param { axis: 1 tiles: 2 }'), {'x': (2, 2)}, {'x': [[1, 2], [3, 4]]})
    assert tiled.tolist() == [[1, 2, 1, 2], [3, 4, 3, 4]]
