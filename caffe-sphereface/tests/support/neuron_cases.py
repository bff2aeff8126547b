"""Element-wise layers: the parameters and the function of each, where it has kinks, and its inputs."""

import numpy as np

from layer_case import layer

SHAPE = {'x': (2, 3, 4, 5)}

# type and parameters, the function, values with a jump or a kink, lowest input
CASES = {
    'AbsVal': ('', np.abs, (0,), None),
    'BNLL': ('', lambda x: np.log1p(np.exp(x)), (), None),
    'Clip': ('clip_param { min: -0.5 max: 0.25 }', lambda x: np.clip(x, -0.5, 0.25), (-0.5, 0.25), None),
    'ELU': ('elu_param { alpha: 0.7 }', lambda x: np.where(x > 0, x, 0.7 * np.expm1(x)), (0,), None),
    'Exp': ('exp_param { base: 2 scale: 0.5 shift: 1 }', lambda x: 2 ** (1 + 0.5 * x), (), None),
    'Exp_e': ('exp_param { shift: -1 }', lambda x: np.exp(x - 1), (), None),
    'Log': ('log_param { base: 10 scale: 2 shift: 0.5 }', lambda x: np.log10(0.5 + 2 * x), (), 0.1),
    'Log_e': ('', np.log, (), 0.1),
    'Power': ('power_param { power: 3 scale: 0.5 shift: 1 }', lambda x: (1 + 0.5 * x) ** 3, (), None),
    'Power_cube': ('power_param { power: 3 }', lambda x: x**3, (), None),
    'Power_root': ('power_param { power: 0.5 shift: 1 }', lambda x: np.sqrt(1 + x), (), 0.1),
    'Power_line': ('power_param { scale: -2 shift: 1 }', lambda x: 1 - 2 * x, (), None),
    'Power_constant': ('power_param { power: 2 scale: 0 shift: 3 }', lambda x: 0 * x + 9, (), None),
    'Power_zero': ('power_param { power: 0 }', lambda x: 0 * x + 1, (), None),
    'SeLu': (
        'selu_param { lambda: 1.2 alpha: 0.7 }',
        lambda x: np.where(x > 0, 1.2 * x, 0.84 * np.expm1(x)),
        (0,),
        None,
    ),
    'SeLu_default': (
        '',
        lambda x: 1.05070102 * np.where(x > 0, x, 1.67326319 * np.expm1(x)),
        (0,),
        None,
    ),
    'Sigmoid': ('', lambda x: 1 / (1 + np.exp(-x)), (), None),
    'Swish': ('', lambda x: x / (1 + np.exp(-x)), (), None),
    'Swish_beta': ('swish_param { beta: 1.5 }', lambda x: x / (1 + np.exp(-1.5 * x)), (), None),
    'TanH': ('', np.tanh, (), None),
    'Threshold': ('threshold_param { threshold: 0.3 }', lambda x: x > 0.3, None, None),
}

DIFFERENTIABLE = [case for case in CASES if CASES[case][2] is not None]


def text_of(case, tops='y'):
    return layer(case.split('_')[0], 'x', tops, CASES[case][0])


def values_of(case):
    x = np.random.default_rng(4).normal(size=SHAPE['x']) * 1.5
    return x if CASES[case][3] is None else np.abs(x) + CASES[case][3]
