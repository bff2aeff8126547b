"""What the engine is asked on a GPU, in parts: each module has `run(check)`, which states its figures as they come.

PARTS has them in the order in which they run, the most telling first, with the seconds that each may take.
"""

PARTS = {
    'machine': 10,
    'goldens': 30,
    'trajectories': 30,
    'parity': 75,
    'pipeline': 45,
    'mtcnn': 10,
    'resume': 25,
    'training': 75,
    'inference': 30,
    'memory': 25,
    'pictures': 30,
    'profile': 15,
    'full_scale': 45,
    'compiled': 20,
}
