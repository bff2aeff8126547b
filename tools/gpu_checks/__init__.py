"""What the engine is asked on a GPU, in parts: each module has `run(check)`, which states its figures as they come.

PARTS has them in the order in which they run, the most telling first, with the seconds that each may take.
"""

PARTS = {
    'machine': 10,
    'goldens': 20,
    'trajectories': 25,
    'parity': 75,
    'pipeline': 40,
    'mtcnn': 10,
    'resume': 20,
    'training': 60,
    'inference': 30,
    'graphs': 25,
    'memory': 20,
    'pictures': 25,
    'profile': 15,
    'full_scale': 60,
    'compiled': 40,
}
