#!/usr/bin/env python3
"""The engine's speed and memory against PyTorch, torch.compile, onnxruntime and OpenCV on the same networks.

All contenders of a row compute by turns in one process with the same threads, so that whatever else the machine does
meets all alike. A ratio is the peer's time over the engine's, each the best of the rounds: more than 1 means that the
engine is faster. The ratio of the CPU time used stands beside it in the JSON file. Outputs (training: the first step's
loss) must agree to 1e-4 of their largest value with PyTorch's, or with the engine's where PyTorch does not compete.
Otherwise there is no ratio against the contender, and the command ends with status 1, naming it, the row and by how
much it differs. Memory is the peak of a process that trains, without what it held before the net existed.
"""

import os
import subprocess
import sys
from pathlib import Path

os.environ.setdefault('GLOG_minloglevel', '2')

import torch
from benchmarks.measuring import differences, machine, take_turns
from benchmarks.nets import MOBILE
from benchmarks.peers import Skipped, choose_device, inference, training
from sphereslim.commands.arguments.parser import command_parser
from sphereslim.commands.ending import run_command
from sphereslim.files import write_bytes, write_json
from sphereslim.report.text_tables import markdown_table, text_table
from tqdm import tqdm

SHORT = [
    ('train', 'sphereface-4', 32),
    ('train', 'sphereface-20', 32),
    ('train', MOBILE, 32),
    *(('infer', name, batch) for name in ('sphereface-20', MOBILE, 'googlenet') for batch in (1, 32)),
]
# a batch of 1 has no statistics to normalise with where one value per channel is left, so MobileFaceNet has none
FULL = [
    *(
        ('train', name, batch)
        for name, batch in [
            ('sphereface-4', 1),
            ('sphereface-4', 32),
            ('sphereface-4', 256),
            ('sphereface-20', 1),
            ('sphereface-20', 32),
            ('sphereface-64', 1),
            ('sphereface-64', 32),
            (MOBILE, 32),
            ('vgg16', 1),
            ('vgg16', 8),
            ('googlenet', 1),
            ('googlenet', 32),
        ]
    ),
    *(
        ('infer', name, batch)
        for name in ('sphereface-4', 'sphereface-20', 'sphereface-64', MOBILE, 'vgg16', 'googlenet')
        for batch in (1, 32)
    ),
    ('infer', 'sphereface-4', 256),
    ('infer', MOBILE, 256),
]
PEERS = ['torch', 'compiled', 'onnxruntime', 'opencv']
TOLERANCE = 1e-4


def main():
    args = parse_arguments()
    torch.set_num_threads(args.threads)
    device = choose_device(args.gpu)
    rows = [row for row in (FULL if args.full else SHORT) if any(text in ' '.join(map(str, row)) for text in args.only)]
    report = {'machine': machine(args.threads, device), 'rows': []}
    results = report['rows']
    for kind, name, batch in tqdm(rows, 'rows', disable=None):
        results.append(measure(kind, name, batch, args, device))
        tqdm.write(line(results[-1]))
        keep(report, args)
    print('\n' + text_table(*table(results), left=3))
    wrong = [f'{title(row)}: {", ".join(disagreements(row))}' for row in results if differing(row)]
    if wrong:
        sys.exit(f'benchmark: outputs differ by more than {TOLERANCE:g}: ' + '; '.join(wrong))


def keep(report, args):
    """Write the files asked for after every row, so that a run that is stopped leaves what it measured."""
    if args.json:
        write_json(args.json, report)
    if args.markdown:
        tabled = markdown_table(*table(report['rows']), left=3)
        write_bytes(args.markdown, (describe(report['machine']) + '\n\n' + tabled + '\n').encode())


def measure(kind, name, batch, args, device):
    """One row as a dictionary: milliseconds by contender, ratios, differences, memory, and what was skipped."""
    compiled = args.full and not args.no_compile
    peers = [who for who in args.peers if who != 'compiled' or compiled]
    contenders = (
        training(name, batch, peers, device) if kind == 'train' else inference(name, batch, args.threads, peers, device)
    )
    skipped = {who: str(why) for who, why in contenders.items() if isinstance(why, Skipped)}
    contenders = {who: run for who, run in contenders.items() if who not in skipped}
    difference = differences(contenders)
    wall, cpu = take_turns(contenders, args.seconds)
    row = {
        'kind': kind,
        'net': name,
        'batch': batch,
        'wall_ms': wall,
        'cpu_ms': cpu,
        'skipped': skipped,
        'difference': difference,
        'load': os.getloadavg()[0],
    }
    row['ratio'], row['cpu_ratio'] = (ratios(ms, differing(row)) for ms in (wall, cpu))
    if kind == 'train' and not args.no_memory:
        row['memory_mib'] = {who: peak(who, name, batch, args.threads, args.gpu) for who in ('caffe', 'torch')}
    return row


def ratios(ms, wrong):
    """{peer: its time over the engine's} of all that compute the same as the engine: none of those in `wrong`."""
    return {} if 'caffe' in wrong else {who: ms[who] / ms['caffe'] for who in ms if who not in ('caffe', *wrong)}


def differing(row):
    """The contenders whose outputs in a row differ from the reference's by more than is allowed, or are no numbers."""
    return [who for who, difference in row['difference'].items() if not difference <= TOLERANCE]


def disagreements(row):
    return [f'{who} differs by {row["difference"][who]:.0e}' for who in differing(row)]


def peak(who, name, batch, threads, gpu):
    """MiB that training takes at most in a process of its own, of the host's memory or of the GPU's."""
    script = str(Path(__file__).with_name('benchmark_memory.py'))
    command = [sys.executable, script, who, name, str(batch), str(threads)]
    command += [] if gpu is None else ['--gpu', str(gpu)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        raise RuntimeError(f'{name}: measuring memory: {done.stderr.strip().splitlines()[-1]}')
    return float(done.stdout)


def table(results):
    """(columns, rows) of text."""
    columns = ['', 'network', 'batch', 'caffe ms', *(f'vs {who}' for who in PEERS), 'memory', 'difference']
    return columns, [
        [
            r['kind'],
            r['net'],
            r['batch'],
            f'{r["wall_ms"]["caffe"]:.1f}',
            *(ratio(r, who) for who in PEERS),
            memory_ratio(r),
            f'{largest_agreeing(r):.0e}',
        ]
        for r in results
    ]


def ratio(row, who):
    """A peer's cell: its ratio, 'differs' where it or the engine computes something else, '-' where it is not there."""
    if who in row['ratio']:
        return f'{row["ratio"][who]:.2f}'
    return 'differs' if who in row['difference'] else '-'


def largest_agreeing(row):
    """The largest difference in a row among those that are allowed."""
    return max((d for d in row['difference'].values() if d <= TOLERANCE), default=float('nan'))


def memory_ratio(row):
    """The engine's peak over PyTorch's: less than 1 means that the engine takes less."""
    memory = row.get('memory_mib')
    return f'{memory["caffe"] / memory["torch"]:.2f}' if memory else '-'


def line(row):
    parts = [f'{who} {ms:.1f} ms' for who, ms in row['wall_ms'].items()]
    parts += [f'{who} skipped ({why})' for who, why in row['skipped'].items()]
    if 'memory_mib' in row:
        parts.append('MiB ' + ' '.join(f'{who} {mib:.0f}' for who, mib in row['memory_mib'].items()))
    parts += disagreements(row)
    return f'{title(row)}: {", ".join(parts)}, difference {largest_agreeing(row):.0e}'


def title(row):
    return f'{row["kind"]} {row["net"]} batch {row["batch"]}'


def describe(machine):
    return ', '.join(f'{what} {value}' for what, value in machine.items())


def parse_arguments():
    parser = command_parser(__doc__)
    parser.add_argument(
        '--full',
        action='store_true',
        help='all networks and batch sizes, torch.compile too (an hour; with --no-compile a quarter of '
        'one, of which --only train and --only infer are the halves)',
    )
    parser.add_argument(
        '--only',
        default=[''],
        nargs='+',
        metavar='TEXT',
        help="rows that contain one of these, like 'train sphereface-4 32' vgg16 (default: all)",
    )
    parser.add_argument(
        '--peers',
        default=PEERS,
        nargs='+',
        choices=PEERS,
        metavar='WHO',
        help=f'against whom: {", ".join(PEERS)} (compiled with --full alone; default: all); fewer take less memory',
    )
    parser.add_argument('--no-compile', action='store_true', help='--full without torch.compile')
    parser.add_argument('--no-memory', action='store_true', help='do not measure memory')
    parser.add_argument('--gpu', type=int, metavar='N', help='compute on that GPU (default: on the CPU)')
    parser.add_argument(
        '--threads', type=int, default=min(2, os.cpu_count()), help='threads to compute with (default %(default)s)'
    )
    parser.add_argument('--seconds', type=float, default=8, help='how long to measure each row, about (default 8)')
    parser.add_argument('--json', metavar='FILE', help='write all figures there')
    parser.add_argument('--markdown', metavar='FILE', help='write the table there')
    args = parser.parse_args()
    if args.threads < 1 or args.seconds <= 0:
        parser.error('expected threads of at least 1 and seconds above 0')
    return args


if __name__ == '__main__':
    run_command(main)
