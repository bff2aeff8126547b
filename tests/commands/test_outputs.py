"""What a command is to write is checked before anything else: that it can be written, and in what form."""

import pytest
from sphereslim.files import check_folder, check_writable

NONE = 'none.prototxt none.caffemodel'
COMMANDS = {
    'evaluate_lfw': f'{NONE} --pairs none --pictures none --json',
    'select_filters': f'{NONE} --layers conv --images none --out',
    'prune': 'none.json --deploy none.prototxt --weights none.caffemodel --out',
    'reconstruct': f'{NONE} {NONE} --selection none --images none --out',
    'recalibrate': f'{NONE} --images none --out',
    'sensitivity': f'{NONE} --images none --out',
    'allocate': f'{NONE} none.json --budget 50% --out',
    'quantize quantize': 'none.caffemodel --out',
    'quantize dequantize': 'none.qcaffemodel --out',
    'quantize sweep': 'none.caffemodel --deploy none.prototxt --out',
    'quantize allocate': 'none.caffemodel --deploy none.prototxt --budget 50% --out',
    'binarize': '--solver none.prototxt --out',
    'substitute': 'none.prototxt --module fire --out',
    'distill': '--student none --teacher none --teacher-weights none --logits fc --out',
    'distill --extract none': '--out',
    'calibrate': f'{NONE} --images none --out',
    'fold': f'{NONE} --out',
    'compress': f'{NONE} --images none --out',
    'goals': f'{NONE} --images none --pairs none --pictures none --out',
    'shrink': f'{NONE} --images none --macs 50% --out',
    'study': f'{NONE} --images none --pairs none --pictures none --out',
    'prune_pipeline': '--settings none --faces none --out',
    'sphereface_plus': '--settings none --faces none --out',
    'sphereface_prune': '--settings none --faces none --out',
    'entropy': '--settings none --faces none --out',
    'flame': '--settings none --out',
    'make_faces': '--out',
    'make_list': 'none --out',
    'make_pairs': 'none --out',
    'merge_faces': 'none --pairs none --out',
    'prepare_faces': 'none --pairs none --out',
    'align_faces': 'none --list none --out',
    'detect': 'none --out',
    'list_celeba': 'none --out',
}


@pytest.fixture
def work(tmp_path):
    (tmp_path / 'file').touch()
    return tmp_path


@pytest.mark.parametrize('command', COMMANDS)
def test_an_output_that_cannot_be_written_is_told_before_anything_is_read(command, work, run):
    name, *more = command.split()
    with pytest.raises(SystemExit) as end:
        run(name, ' '.join([*more, COMMANDS[command], 'file/out']))
    line = str(end.value.code)
    assert line.startswith('error: file/out') and 'cannot be written (Not a directory)' in line and '\n' not in line
    assert [path.name for path in work.iterdir()] == ['file']


def test_a_plot_in_no_known_form_is_told_before_anything_is_read(work, run):
    with pytest.raises(SystemExit) as end:
        run('evaluate_lfw', f'{NONE} --pairs none --pictures none --roc roc.xyz')
    assert end.value.code == 'error: roc.xyz: expected a name that ends in .png, .svg, .pdf'


def test_a_check_makes_nothing(tmp_path):
    check_writable(tmp_path / 'a' / 'b.json', None)
    check_folder(tmp_path / 'c' / 'd')
    assert not list(tmp_path.iterdir())
