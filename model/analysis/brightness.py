"""Steps of brightness between frames, measured on small linear pictures."""

import math
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction
from statistics import median

import torch
from torch import Tensor
from torch.nn import functional as F

from model.exposure import GAMMA

LAGS = 3
BLANK = 0.03  # of the usual light
CELLS_ACROSS = 64
SAMPLES_PER_CELL = 6  # across; a large picture is sampled, not read whole
CLIPPED = 0.96  # encoded
BRIGHTEST = 0.9  # linear mean of a cell
CLIPPED_SHARE = 0.01
# Darker cells hold more noise, so that they are looked at only if there are too few others.
FLOORS = (8e-3, 4e-3, 2e-3, 1e-3)
ENOUGH_SHARE, LEAST_SHARE = 0.06, 0.004
CHOSEN_SHARE, CHOICES = 0.02, 2
LEAST_STEP = 2.0  # stops; below it the darker picture is above its noise where the brighter one is not clipped
UNKNOWN = (0.0,) * 5


@dataclass(frozen=True)
class Glance:
    """A frame, averaged over cells.

    Args:
        linear: Mean linear light of each cell, 0..1 = clip level of this frame, (3, h, w).
        clipped: Share of clipped samples in each cell, 0..1, (3, h, w).
    """

    linear: Tensor
    clipped: Tensor

    def well_exposed(self, floor: float) -> Tensor:
        """Select the cells between the noise and the clip level, (3, h, w)."""
        return (self.clipped < CLIPPED_SHARE) & (self.linear < BRIGHTEST) & (self.linear >= floor)


@dataclass(frozen=True)
class Step:
    """The step of brightness from an earlier frame to a later one.

    Args:
        stops: Median of log2 of the ratio, over cells that are well exposed in both; NaN if they are too few.
        spread: Median deviation of single cells from it, in stops; large where the scene changes.
        share: Share of cells that are well exposed in both.
        parts: The same median, less `stops`, for the darkest, middle and brightest third of these cells and for the
            darkest and brightest eighth; all near 0 if the camera response is the one assumed.
        difference: Mean difference of the encoded cells, 0..1; near 0 for the same picture twice.
    """

    stops: float
    spread: float
    share: float
    parts: tuple[float, ...]
    difference: float

    @property
    def measured(self) -> bool:
        """Whether there was enough to compare."""
        return not math.isnan(self.stops)


@dataclass(frozen=True)
class FrameLight:
    """The brightness of a frame, and its steps from the frames before it.

    Args:
        time: Presentation time in seconds.
        mean: Mean linear light, 0..1 = clip level of this frame.
        clipped: Share of clipped samples, 0..1.
        steps: From the frame before, the one before that, and on; empty for the first frame.
    """

    time: Fraction
    mean: float
    clipped: float
    steps: tuple[Step, ...]


def find_blank(frames: Sequence[FrameLight], exposures: Sequence[float]) -> frozenset[int]:
    """Find frames that show nothing: far darker than others of their exposure, as behind a lens cap or in a fade.

    Args:
        frames: The light of all frames, as `LightMeter` measures it.
        exposures: Exposure of each.
    """
    means: dict[float, list[float]] = {}
    for frame, exposure in zip(frames, exposures, strict=True):
        means.setdefault(exposure, []).append(frame.mean)
    usual = {exposure: median(levels) for exposure, levels in means.items()}
    pairs = enumerate(zip(frames, exposures, strict=True))
    return frozenset(index for index, (frame, exposure) in pairs if frame.mean < BLANK * usual[exposure])


def sampled(image: Tensor) -> Tensor:
    """Reduce a picture, (C, H, W), to the samples that a glance needs."""
    stride = max(1, image.shape[-1] // (CELLS_ACROSS * SAMPLES_PER_CELL))
    return image[:, ::stride, ::stride]


def glance(image: Tensor) -> Glance:
    """Average a frame over cells; it is encoded with 1/2.2, 0..1, (3, H, W)."""
    height, width = image.shape[-2:]
    across = min(CELLS_ACROSS, width)
    down = max(1, min(height, round(across * height / width)))
    encoded = sampled(image).float().clamp(0, 1)
    cells = F.adaptive_avg_pool2d(torch.cat((encoded.pow(GAMMA), (encoded >= CLIPPED).float())), (down, across))
    linear, clipped = cells.chunk(2)
    return Glance(linear, clipped)


class LightMeter:
    """Compares each frame with the few before it; memory does not grow with the clip."""

    def __init__(self) -> None:
        self._recent: deque[Glance] = deque(maxlen=LAGS)

    def measure(self, image: Tensor, time: Fraction) -> FrameLight:
        """Measure the next frame; it is encoded with 1/2.2, 0..1, (3, H, W)."""
        small = glance(image)
        steps = tuple(measure_step(earlier, small) for earlier in reversed(self._recent))
        self._recent.append(small)
        return FrameLight(time, float(small.linear.mean()), float(small.clipped.mean()), steps)


def measure_step(first: Glance, second: Glance) -> Step:
    """Measure the step of brightness from `first` to `second`, following a pan."""
    difference = float((first.linear.pow(1 / GAMMA) - second.linear.pow(1 / GAMMA)).abs().mean())
    still = _cell_step(first, second, difference=difference)
    down, across = find_shift(first, second)
    if not (down or across):
        return still
    moved = _cell_step(_cropped(first, down, across), _cropped(second, -down, -across), difference=difference)
    return moved if moved.measured and not moved.spread > still.spread else still


def find_shift(first: Glance, second: Glance) -> tuple[int, int]:
    """Find by how many whole cells the picture moved, down and to the right, as far as a pan explains it.

    Phase correlation of what is brighter and darker than the same quantile in both, which exposure does not
    change (median threshold bitmaps: Ward, "Fast, robust image registration", 2003).
    """
    lumas = torch.stack((first.linear, second.linear)).mean(1)
    clipped = max(float(first.clipped.mean()), float(second.clipped.mean()))
    middle = lumas.flatten(1).quantile(0.5 * (1 - clipped), dim=1).view(2, 1, 1)
    bitmaps = torch.where(lumas > middle, 1.0, -1.0)
    before, after = torch.fft.rfft2(bitmaps - bitmaps.mean((1, 2), keepdim=True))
    product = after * before.conj()
    height, width = lumas.shape[1:]
    peaks = torch.fft.irfft2(product / product.abs().clamp(min=1e-6), s=(height, width))
    down, across = divmod(int(peaks.argmax()), width)
    down, across = (down + height // 2) % height - height // 2, (across + width // 2) % width - width // 2
    return (down, across) if abs(down) <= height // 4 and abs(across) <= width // 4 else (0, 0)


def crop_to_common(image: Tensor, down: int, across: int) -> Tensor:
    """Crop a picture, (C, H, W), to the part that is still in view after it moves by whole pixels."""
    height, width = image.shape[1:]
    rows = slice(max(0, -down), height - max(0, down))
    return image[:, rows, max(0, -across) : width - max(0, across)]


def _cropped(small: Glance, down: int, across: int) -> Glance:
    return Glance(crop_to_common(small.linear, down, across), crop_to_common(small.clipped, down, across))


def _cell_step(first: Glance, second: Glance, *, difference: float) -> Step:
    """Compare cells at the same places."""
    for floor in FLOORS:
        good = first.well_exposed(floor) & second.well_exposed(floor)
        share = float(good.float().mean())
        if share >= ENOUGH_SHARE:
            break
    if share < LEAST_SHARE:
        return _histogram_step(first, second, difference=difference)
    before, after = first.linear.clamp(min=1e-7).log2(), second.linear.clamp(min=1e-7).log2()
    good = _chosen_by_brighter(first, second, good, before=before, after=after)
    share = float(good.float().mean())
    ratios, levels = (after - before)[good], (after + before)[good]
    stops = ratios.median()
    spread = float((ratios - stops).abs().median())
    darkest, dark, bright, brightest = levels.quantile(torch.tensor([1 / 8, 1 / 3, 2 / 3, 7 / 8])).tolist()
    ranges = ((-math.inf, dark), (dark, bright), (bright, math.inf), (-math.inf, darkest), (brightest, math.inf))
    parts = tuple(float(ratios[(levels >= low) & (levels <= high)].median() - stops) for low, high in ranges)
    return Step(float(stops), spread, share, parts, difference)


def _chosen_by_brighter(first: Glance, second: Glance, good: Tensor, *, before: Tensor, after: Tensor) -> Tensor:
    """Choose the cells anew where noise in the darker picture chose them: those that noise raised make it too bright.

    The brighter picture says which cells lie above the floor in the darker one.

    Args:
        good: Cells that are well exposed in both, (3, h, w).
        before: log2 of the linear cells of `first`, as `after` of `second`.
    """
    for _ in range(CHOICES):
        step = float((after - before)[good].median())
        if abs(step) < LEAST_STEP:
            break
        brighter = (second if step > 0 else first).linear
        in_both = first.well_exposed(0.0) & second.well_exposed(0.0)
        choices = [in_both & (brighter >= floor * 2.0 ** abs(step)) for floor in FLOORS]
        good = next((cells for cells in choices if float(cells.float().mean()) >= CHOSEN_SHARE), good)
    return good


def _histogram_step(first: Glance, second: Glance, *, difference: float) -> Step:
    """Compare the n-th brightest cells, which need no registration, where few are well exposed in both.

    Histogram matching needs no registration (Grossberg and Nayar, "What can be known about the radiometric
    response from images?", ECCV 2002).
    """
    before, after = first.linear.flatten().sort().values, second.linear.flatten().sort().values
    both = torch.stack((before, after))
    good = ((both >= FLOORS[-1]) & (both < BRIGHTEST)).all(0)
    share = float(good.float().mean())
    if share < LEAST_SHARE:
        return Step(math.nan, math.inf, share, UNKNOWN, difference)
    ratios = (after[good] / before[good]).log2()
    stops = ratios.median()
    return Step(float(stops), float((ratios - stops).abs().median()), share, UNKNOWN, difference)
