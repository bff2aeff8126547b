"""What a run of the flame experiment does, from its settings file."""

from dataclasses import dataclass
from pathlib import Path

from sphereslim import settings
from sphereslim.training.schedule import Schedule

_RUN = {
    'net': 'text',
    'width': 'positive',
    'resize': 'count',
    'crop': 'count',
    'rotation': 'number',
    'feature_scale': 'number',
    'moving_average': 'number',
    'validation': 'number',
    'seed': 'whole',
    'people?': 'whole',
    'pictures?': 'whole',
    **dict.fromkeys(('training', 'distillation', 'sweep', 'binarization'), 'settings'),
}
_DISTILLATION = {'student': 'text', 'temperature': 'positive', 'weight': 'number'}
_SWEEP = {'variants': 'texts', 'schemes': 'texts', 'bits': 'wholes', 'tolerance': 'number'}


@dataclass(frozen=True)
class Distillation:
    """The student's variant, and the softened logits' temperature and weight."""

    student: str
    temperature: float
    weight: float


@dataclass(frozen=True)
class Sweep:
    """Which variants are quantized, with which schemes and bits; `tolerance` percent points may be lost in the file."""

    variants: tuple[str, ...]
    schemes: tuple[str, ...]
    bits: tuple[int, ...]
    tolerance: float


@dataclass(frozen=True)
class Settings:
    """`net`: folder of the baseline's prototxts; `width`: share of its filters; pictures are resized, then cropped.

    `rotation`: largest random angle in degrees, 0 for none. `feature_scale`: length of the L2-normalised feature, 0 to
    leave it as it is. `moving_average`: how much of a batch norm's running statistics stays with each batch; a short
    training needs a small share, or they lag behind the weights. `people` and `pictures` make the synthetic faces where
    no pictures are given.
    """

    net: str
    width: float
    resize: int
    crop: int
    rotation: float
    feature_scale: float
    moving_average: float
    validation: float
    seed: int
    training: Schedule
    distillation: Distillation
    sweep: Sweep
    binarization: Schedule
    people: int = 0
    pictures: int = 0


def read_settings(path: str | Path) -> Settings:
    """The Settings in a JSON file; SlimError names what is missing, unknown or invalid."""
    values = settings.read_settings(path, _RUN)
    for name in ('training', 'binarization'):
        values[name] = Schedule.from_dict(values[name], f'{path}: {name}')
    values['distillation'] = Distillation(
        **settings.checked(values['distillation'], _DISTILLATION, f'{path}: distillation')
    )
    sweep = settings.checked(values['sweep'], _SWEEP, f'{path}: sweep')
    sweep |= {name: tuple(sweep[name]) for name in ('variants', 'schemes', 'bits')}
    values['sweep'] = Sweep(**sweep)
    return Settings(**values)
