"""What a detection looks for."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Settings:
    """`min_size`: smallest face in pixels; `factor`: from one pyramid level to the next; `thresholds`: per stage."""

    min_size: float = 20
    factor: float = 0.85
    thresholds: tuple[float, ...] = (0.6, 0.7, 0.9)
