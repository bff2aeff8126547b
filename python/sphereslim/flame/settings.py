"""What a run of the flame experiment does, from its settings file."""

from dataclasses import MISSING, dataclass, fields

from sphereslim.errors import SlimError
from sphereslim.files import read_json
from sphereslim.schedule import Schedule


@dataclass(frozen=True)
class Distillation:
    """The student's variant, and the softened logits' temperature and weight."""

    student: str
    temperature: float
    weight: float


@dataclass(frozen=True)
class Sweep:
    """Which variants are quantized, with which schemes and bits; `tolerance` percent points may be lost in the file."""

    variants: tuple
    schemes: tuple
    bits: tuple
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


def read_settings(path):
    """The Settings in a JSON file; SlimError names what is missing or unknown."""
    values = read_json(path)
    for name in ('training', 'binarization'):
        if name in values:
            values[name] = Schedule.from_dict(values[name], f'{path}: {name}')
    for name, kind in (('distillation', Distillation), ('sweep', Sweep)):
        if name in values:
            values[name] = _filled(kind, values[name], f'{path}: {name}')
    return _filled(Settings, values, path)


def _filled(kind, values, where):
    known = {field.name for field in fields(kind)}
    needed = {field.name for field in fields(kind) if field.default is MISSING}
    missing, unknown = sorted(needed - set(values)), sorted(set(values) - known)
    if missing or unknown:
        raise SlimError(f'{where}: missing {missing or "nothing"}, unknown {unknown or "nothing"}')
    return kind(**{name: tuple(v) if isinstance(v, list) else v for name, v in values.items()})
