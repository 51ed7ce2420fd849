"""What a camera's 8-bit codes are, and what a user takes them for."""

from dataclasses import dataclass, replace
from functools import cached_property

import cv2
import numpy as np
import torch
from numpy.random import Generator
from numpy.typing import NDArray
from torch import Tensor

from model.camera_curves import draw_curve, light_of
from model.exposure import CodePrecision
from model.response import BLACK_CODE, ResponseCurve, table_curve
from train.compression import Codes
from train.datasets.pictures import Pixels

TOP = 255
# Light is looked up by its square root: so fine that no curve of the family is off by a tenth of a code.
ROOTS = 1 << 16
EXACT_SHARE = 0.25  # of the users know the curve as if they had made it
# of the others by about so many stops, root mean square over the middle codes; estimates from clips lie there
CURVE_ERROR = (0.01, 0.1)
MIDDLE = (0.2, 0.85)
LARGEST_ERROR = 1.0  # stops, in the darks
CRUSHED_SHARE, HIGHEST_BLACK = 0.35, 10
BLACK_KNOWN_SHARE = 0.8  # of those that are crushed
PEDESTAL_SHARE, HIGHEST_PEDESTAL = 0.06, 20
PEDESTAL_ERROR = 1.5  # codes


@dataclass(frozen=True, eq=False)
class CameraCodes:
    """8-bit codes by a camera's own curve, and what is known of them.

    Args:
        table: Light at equally spaced codes from black to white, 0..1, never falling, (N,).
        known: The response that the user states: the camera's or nearly.
        black: Code that all darker ones become.
        known_black: The same as the user knows it; 0 if not at all.
        pedestal: Codes that the camera adds to black, R, G, B.
        subtracted: Codes that the user subtracts for it.
    """

    table: NDArray[np.float64]
    known: ResponseCurve
    black: int = 0
    known_black: int = 0
    pedestal: tuple[float, float, float] = (0.0, 0.0, 0.0)
    subtracted: tuple[float, float, float] = (0.0, 0.0, 0.0)

    def light(self, code: float) -> float:
        """Return the light of a code of 0..255, 1.0 = clip level."""
        return float(np.interp(code / TOP, np.linspace(0, 1, len(self.table)), self.table))

    def encode(self, light: Pixels) -> Codes:
        """Encode linear light, 0..1 = clip level, (T, H, W, 3), as the camera does."""
        places = (np.sqrt(light) * np.float32(ROOTS - 1) + np.float32(0.5)).astype(np.uint16)
        codes = np.empty(light.shape, np.uint8)
        for channel, table in enumerate(self._codes_by_root):
            codes[..., channel] = table[places[..., channel]]
        return codes

    def to_ldr(self, codes: Codes) -> Pixels:
        """Encode anew with 1/2.2, by what is known: 0..1, (T, H, W, 3)."""
        rows = codes.reshape(-1, *codes.shape[2:])
        return np.asarray(cv2.LUT(rows, self._ldr_by_code), np.float32).reshape(codes.shape)

    @property
    def precision(self) -> CodePrecision:
        """How precisely the codes state light, as far as is known."""
        stated = self.known.precision()
        if self.known_black == 0:
            return stated
        code = torch.full((3, 1, 1), self.known_black / TOP + BLACK_CODE)
        black = max(stated.black, float(self.known.linearize(code).mean()))
        return replace(stated, black=black, most=max(stated.most, 2 * black))

    @cached_property
    def _codes_by_root(self) -> list[Codes]:
        light = (np.arange(ROOTS) / (ROOTS - 1)) ** 2
        codes = np.interp(light, self.table, np.linspace(0, TOP, len(self.table)))
        raised = (pedestal + codes * (1 - pedestal / TOP) for pedestal in self.pedestal)
        return [np.rint(values).astype(np.uint8).clip(min=self.black) for values in raised]

    @cached_property
    def _ldr_by_code(self) -> Pixels:
        floor = torch.tensor(self.subtracted).view(3, 1, 1)
        codes = (torch.arange(TOP + 1) - floor) / (TOP - floor)  # (3, 1, 256)
        return np.ascontiguousarray(self.known.to_ldr(codes.clamp(0, 1)).numpy().transpose(1, 2, 0))


def draw_codes(rng: Generator) -> CameraCodes:
    """Draw a camera's curve, black and pedestal, and a user who knows them more or less."""
    generator = torch.Generator().manual_seed(int(rng.integers(1 << 62)))
    table = draw_curve(generator).table()
    other = draw_curve(generator).table()
    error = float(np.exp(rng.uniform(*np.log(CURVE_ERROR)))) if rng.random() >= EXACT_SHARE else 0.0
    black = int(rng.integers(1, HIGHEST_BLACK + 1)) if rng.random() < CRUSHED_SHARE else 0
    pedestal = rng.uniform(0, HIGHEST_PEDESTAL, 3) if rng.random() < PEDESTAL_SHARE else np.zeros(3)
    subtracted = np.where(pedestal > 0, pedestal + rng.uniform(-PEDESTAL_ERROR, PEDESTAL_ERROR, 3), 0).clip(0)
    return CameraCodes(
        table=table.numpy(),
        known=table_curve("camera", leaning(table, other, by=error)),
        black=black,
        known_black=black if rng.random() < BLACK_KNOWN_SHARE else 0,
        pedestal=_triple(pedestal),
        subtracted=_triple(subtracted),
    )


def leaning(table: Tensor, other: Tensor, *, by: float) -> Tensor:
    """Make a curve that is off in the way in which another one is: little in the middle, more in the darks.

    Args:
        table: Light at equally spaced codes, 1 at code 1, (N,).
        other: The other one, (N,).
        by: Error over the middle codes, root mean square, in stops.
    """
    logs = table.clamp(min=1e-12).log()
    stops = (other.clamp(min=1e-12).log() - logs) / np.log(2)
    start, stop = (round(code * (len(table) - 1)) for code in MIDDLE)
    typical = float(stops[start:stop].square().mean().sqrt())
    errors = (stops * (by / max(typical, 1e-3))).clamp(-LARGEST_ERROR, LARGEST_ERROR)
    return light_of(logs + errors * np.log(2))


def _triple(values: NDArray[np.float64]) -> tuple[float, float, float]:
    red, green, blue = values.tolist()
    return red, green, blue
