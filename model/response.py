"""Camera response curves between codes and light."""

from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cache, partial

import torch
from torch import Tensor

from model.color import bt709_oetf, bt709_oetf_inverse, srgb_decode, srgb_encode
from model.errors import ResponseError
from model.exposure import GAMMA, CodePrecision

Conversion = Callable[[Tensor], Tensor]

LARGEST_DIP = 1e-3  # of a measured table's range: falls smaller than this are noise
TABLE_SIZES = (2, 1 << 20)
BLACK_CODE = 1.5 / 255  # encoded, as all below; this and lower codes of 8 bits hold black
# Where codes were compressed, more of them hold black, the more so where the camera's curve is not known; and what
# they stand for may have had so much light.
CURVED_BLACK_CODE, LOSSY_BLACK_CODE, LOSSY_MOST = 4 / 255, 8 / 255, 0.01
CLIP_CODES = (0.947, 0.985)  # where codes begin to count as clipped, and where they do altogether
DARK_CODES, BRIGHT_CODES = 0.12, 0.25
ROUNDING = 12**-0.5  # standard deviation, in codes
LOSSY_ERRORS = (3.0, 0.9)  # likewise, in the darks and elsewhere


@dataclass(frozen=True)
class ResponseCurve:
    """The response of a camera, from light to encoded values and back.

    The networks take pictures encoded with 1/2.2, where 1 is the level at which the sensor clips. Pictures of any curve
    are converted to that: to light, divided by the light of `clip_code`, encoded anew. Logarithmic curves reach far
    above diffuse white, so that middle gray becomes small (0.1 with S-Log3, encoded), as it is to the sensor.

    Args:
        name: For records and messages.
        to_light: Encoded values in 0..1, R, G, B in the third dimension from the end, to light of any scale.
        to_code: The way back.
        clip_code: Encoded value at which the sensor clips, above 0 up to 1; brighter ones count as clipped.
        black_code: Encoded value of no light in R, G and B; its light is taken off, and what is left stretched, so that
            the clip level stays.
        power: Exponent from encoded values to light where the curve is a pure power, None elsewhere.
        table: Light at equally spaced codes where the curve is a table, one row or one per channel; None elsewhere.
    """

    name: str
    to_light: Conversion
    to_code: Conversion
    clip_code: float = 1.0
    black_code: tuple[float, float, float] = (0.0, 0.0, 0.0)
    power: float | None = None
    table: Tensor | None = field(default=None, compare=False, repr=False)

    def linearize(self, encoded: Tensor) -> Tensor:
        """Turn encoded values into light.

        Args:
            encoded: 0..1 as the camera encodes, (..., 3, H, W).

        Returns:
            Linear, 0..1, 1.0 = clip level, same shape; what lies below the curve's black is 0. Where the channels of a
            table end at different light, the greatest is 1.0, so that the table's color balance stays.
        """
        clip, light = self._clip_light(encoded), self.to_light(encoded.clamp(0, self.clip_code))
        if any(self.black_code):
            black = self._black_light(encoded)
            return ((light - black) / (clip - black)).clamp_(0, 1)
        return (light / clip).clamp_(0, 1)

    def encode(self, linear: Tensor) -> Tensor:
        """Encode light as the camera does: the inverse of `linearize`.

        Args:
            linear: 0..1, 1.0 = clip level, (..., 3, H, W).

        Returns:
            Encoded values, 0..clip_code, same shape.
        """
        clip, light = self._clip_light(linear), linear.clamp(0, 1)
        if any(self.black_code):
            black = self._black_light(linear)
            return self.to_code(light * (clip - black) + black).clamp(0, self.clip_code)
        return self.to_code(light * clip).clamp(0, self.clip_code)

    def to_ldr(self, encoded: Tensor) -> Tensor:
        """Encode anew with 1/2.2, as the networks take pictures; pictures of gamma 2.2 come back untouched.

        Args:
            encoded: 0..1 as the camera encodes, (..., 3, H, W).

        Returns:
            Encoded with 1/2.2, 0..1, 1.0 = clip level, same shape.
        """
        if self.power == GAMMA and self.clip_code == 1.0 and not any(self.black_code):
            return encoded
        return self.linearize(encoded).pow_(1 / GAMMA)

    def precision(self, *, bits: int = 8, lossy: bool = False) -> CodePrecision:
        """Derive the precision of the camera's codes from the slope of the inverse curve.

        Args:
            bits: Bits of a code.
            lossy: Whether codes were compressed with losses. Cameras with a tone curve compress, and their darks are
                off by more than a code; so any curve but a pure power counts as such.
        """
        plain = self.power is not None
        lossy = lossy or not plain
        dark_error, code_error = LOSSY_ERRORS if lossy else (ROUNDING, ROUNDING)
        steps = 2**bits - 1
        codes = (torch.arange(steps + 1, dtype=torch.float64) / steps * self.clip_code).expand(3, 1, -1)
        light = self.linearize(codes).mean(0)[0]  # (codes,)
        step = ((light[2:] - light[:-2]) / 2).square()
        between, signal = codes[0, 0, 1:-1] / self.clip_code, light[1:-1]
        slope = float((step / signal.clamp(min=1e-9))[between > BRIGHT_CODES].median())
        floor = float((step - slope * signal)[between < DARK_CODES].clamp(min=0).mean())
        if lossy:
            floor = max(floor, float(step[between < DARK_CODES].mean()))
        black_code = (LOSSY_BLACK_CODE if plain else CURVED_BLACK_CODE) if lossy else BLACK_CODE * 255 / steps
        begins, ends = (float(light[round(code * steps)]) for code in CLIP_CODES)
        above_floor = (
            codes.new_tensor(self.black_code).view(3, 1, 1) + round(black_code * steps) / steps * self.clip_code
        )
        black = float(self.linearize(above_floor).max() if any(self.black_code) else light[round(black_code * steps)])
        most = max(2 * black, LOSSY_MOST) if lossy else 2 * black
        return CodePrecision(
            black=black,
            most=most,
            clip_begins=begins,
            clip_ends=ends,
            floor=floor * dark_error**2,
            slope=slope * code_error**2,
        )

    def _black_light(self, like: Tensor) -> Tensor:
        """Light of the black level, (3, 1, 1)."""
        return self.to_light(like.new_tensor(self.black_code).view(3, 1, 1))

    def _clip_light(self, like: Tensor) -> Tensor:
        return self.to_light(like.new_full((3, 1, 1), self.clip_code)).max()


def gamma_curve(*, clip_code: float = 1.0) -> ResponseCurve:
    """A pure power of 2.2."""
    return power_curve(GAMMA, clip_code=clip_code)


def linear_curve(*, clip_code: float = 1.0) -> ResponseCurve:
    """Codes in proportion to light, as sensors have them."""
    return power_curve(1.0, clip_code=clip_code)


def power_curve(power: float, *, clip_code: float = 1.0) -> ResponseCurve:
    """A pure power, from encoded values to light; a power of 1 is called linear."""
    to_light, to_code = _raising(power), _raising(1 / power)
    return ResponseCurve("linear" if power == 1 else f"gamma{power:.3g}", to_light, to_code, clip_code, power=power)


def srgb_curve(*, clip_code: float = 1.0) -> ResponseCurve:
    """sRGB, IEC 61966-2-1."""
    return ResponseCurve("srgb", srgb_decode, srgb_encode, clip_code)


def bt709_curve(*, clip_code: float = 1.0) -> ResponseCurve:
    """The camera's side (OETF) of ITU-R BT.709-6 item 1.2, which BT.601 and BT.2020 share."""
    return ResponseCurve("bt709", bt709_oetf_inverse, bt709_oetf, clip_code)


def table_curve(name: str, table: Tensor, *, clip_code: float = 1.0) -> ResponseCurve:
    """A curve given by light at equally spaced codes; between them it is interpolated linearly.

    Args:
        name: For records and messages.
        table: Light of any scale at codes from 0 to 1, (N,) or one column per channel, (N, 3); it must not fall.
        clip_code: Encoded value at which the sensor clips, 0..1.

    Raises:
        ResponseError: If the table has another shape, contains NaN, falls, or has no light at `clip_code`.
    """
    columns = _checked(name, table)
    curve = ResponseCurve(name, partial(_look_up, columns), partial(_find, columns), clip_code, table=columns)
    if not float(curve._clip_light(columns)) > 0:
        raise ResponseError(f"response {name} has no light at code {clip_code:g}: pass a higher --clip-code")
    return curve


def _checked(name: str, table: Tensor) -> Tensor:
    """Return one row of float32 per channel that never falls, (1 or 3, N)."""
    columns = (table[:, None] if table.ndim == 1 else table).T  # (1 or 3, N)
    smallest, largest = TABLE_SIZES
    if columns.ndim != 2 or len(columns) not in (1, 3) or not smallest <= columns.shape[1] <= largest:
        shape = "x".join(map(str, table.shape))
        raise ResponseError(f"response {name} is a table of {shape} values: pass 2 rows or more of 1 or 3 columns")
    if not bool(columns.isfinite().all()):
        raise ResponseError(f"response {name} contains NaN or infinity: correct the table")
    rising = columns.cummax(dim=1).values
    span = rising[:, -1:] - rising[:, :1]
    falls = ((rising - columns) > LARGEST_DIP * span).any(dim=0)
    if bool(falls.any()) or not bool((span > 0).all()):
        place = int(falls.float().argmax())
        raise ResponseError(f"response {name} does not rise from row {place} on: light must grow with the code")
    return rising.contiguous().float()


def _look_up(columns: Tensor, codes: Tensor) -> Tensor:
    """Interpolate the light at codes, (..., 3, H, W)."""
    last = columns.shape[1] - 1
    position = codes.clamp(0, 1).mul(last)
    below = position.floor().clamp_(max=last - 1)
    fraction = position.sub_(below)
    rows = columns.to(codes)
    index = below.long()
    if len(rows) == 1:
        return torch.lerp(rows[0][index], rows[0][index + 1], fraction)
    flat = rows.reshape(-1)
    index += torch.arange(3, device=codes.device).view(3, 1, 1) * (last + 1)
    return torch.lerp(flat[index], flat[index + 1], fraction)


def _find(columns: Tensor, light: Tensor) -> Tensor:
    """Interpolate the codes of a light, (..., 3, H, W)."""
    rows = columns.to(light).expand(3, -1)
    last = rows.shape[1] - 1
    codes = [_find_in(row.contiguous(), channel) for row, channel in zip(rows, light.unbind(-3), strict=True)]
    return torch.stack(codes, dim=-3) / last


def _find_in(row: Tensor, light: Tensor) -> Tensor:
    """Return the fractional index of values in a row that never falls."""
    values = light.clamp(float(row[0]), float(row[-1])).contiguous()
    above = torch.searchsorted(row, values).clamp(1, len(row) - 1)
    low, high = row[above - 1], row[above]
    return above - 1 + ((values - low) / (high - low).clamp(min=torch.finfo(row.dtype).tiny)).clamp(0, 1)


@cache
def _raising(power: float) -> Conversion:
    """The same function each time, so that equal curves are equal."""
    return partial(_power, exponent=power)  # a process can be sent it


def _power(values: Tensor, *, exponent: float) -> Tensor:
    return values.pow(exponent)
