"""Smooth random motion: of a hand-held camera, and of things in front of it."""

from dataclasses import dataclass

import numpy as np
from numpy.random import Generator
from numpy.typing import NDArray

Point = NDArray[np.float64]

# pixels per frame, and how often; still ones aside
SPEEDS = ((0.0, 2.0, 0.45), (2.0, 8.0, 0.4), (8.0, 24.0, 0.15))


@dataclass(frozen=True)
class Motion:
    """Position, angle and zoom as functions of time; time 0 is where it is at home.

    Args:
        velocity: Pixels per frame, (2,) x and y.
        acceleration: Pixels per frame squared, (2,).
        shake: Amplitudes in pixels, (3, 2), of three sines.
        frequency: Radians per frame of the sines, (3, 2).
        phase: Radians, (3, 2).
        spin: Radians per frame.
        growth: Natural logarithm of the zoom per frame.
    """

    velocity: Point
    acceleration: Point
    shake: Point
    frequency: Point
    phase: Point
    spin: float
    growth: float

    def offset(self, time: float) -> Point:
        """Return x and y in pixels, (2,), at a time in frames."""
        drift = self.velocity * time + self.acceleration * (time * abs(time) / 2)
        sines = np.sin(self.frequency * time + self.phase) - np.sin(self.phase)
        return np.asarray(drift + (self.shake * sines).sum(0))

    def angle(self, time: float) -> float:
        """Return the turn in radians at a time in frames."""
        return self.spin * time

    def zoom(self, time: float) -> float:
        """Return the magnification relative to time 0."""
        return float(np.exp(self.growth * time))


STILL = Motion(np.zeros(2), np.zeros(2), np.zeros((3, 2)), np.zeros((3, 2)), np.zeros((3, 2)), 0.0, 0.0)


def draw_speed(rng: Generator) -> float:
    """Draw pixels per frame: mostly small, sometimes large."""
    slow, fast, _ = SPEEDS[rng.choice(len(SPEEDS), p=[share for *_, share in SPEEDS])]
    return float(rng.uniform(slow, fast))


def draw_motion(rng: Generator, speed: float, *, turning: float = 1.0) -> Motion:
    """Draw a motion of about `speed` pixels per frame.

    Args:
        rng: Source of all randomness.
        speed: Pixels per frame.
        turning: How much it turns and grows beside moving; 0 is a pure translation.
    """
    heading = rng.uniform(0, 2 * np.pi)
    velocity = speed * np.array([np.cos(heading), np.sin(heading)])
    return Motion(
        velocity=velocity,
        acceleration=rng.normal(0, 0.12 * speed + 1e-3, 2),
        shake=rng.exponential(0.15 + 0.08 * speed, (3, 2)) * (rng.random() < 0.7),
        frequency=rng.uniform(0.3, 2.2, (3, 2)),
        phase=rng.uniform(0, 2 * np.pi, (3, 2)),
        spin=float(rng.normal(0, 0.002 + 0.002 * speed) * turning),
        growth=float(rng.normal(0, 0.002 + 0.002 * speed) * turning),
    )
