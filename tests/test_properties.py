"""Laws that hold for all clips, exposures, colors and pictures: hypothesis looks for one for which they don't."""

import math
import tempfile
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays
from numpy.typing import NDArray
from support.converting import read_exr

from lanhdr_cli.media.exr import HALF_MAX, ClipRecord, ExrWriter
from lanhdr_cli.media.faults import describe_numbers
from lanhdr_cli.media.paths import FrameNames
from model.analysis.exposure_cycle import follow_list
from model.color import (
    ACES2065_1,
    ACESCG,
    REC709,
    REC2020,
    bt709_oetf,
    bt709_oetf_inverse,
    convert_primaries,
    hlg_oetf,
    hlg_oetf_inverse,
    mu_law,
    mu_law_inverse,
    pq_decode,
    pq_encode,
    roll_off,
    srgb_decode,
    srgb_encode,
)
from model.errors import ExposureError, FrameError
from model.exposure import ExposureCycle, FrameExposures, to_ldr, to_radiance
from model.frames import HdrFrame, exposure_windows, sliding_windows

# No deadline: machines that are busy with other things take their time.
quick = settings(max_examples=25, deadline=None, derandomize=True, suppress_health_check=[HealthCheck.too_slow])
KINDS = st.sampled_from([(2, 5), (3, 7), (3, 5), (4, 7), (2, 3)])  # period, length
RATIOS = st.lists(st.sampled_from([1.0, 2.0, 4.0, 8.0, 16.0]), min_size=2, max_size=4).filter(lambda r: len(set(r)) > 1)


@dataclass(frozen=True)
class Numbered:
    number: int
    exposure: float
    time: Fraction
    blank: bool = False


def numbered(exposures: list[float], blank: list[bool]) -> list[Numbered]:
    pairs = enumerate(zip(exposures, blank, strict=True))
    return [Numbered(number, exposure, Fraction(number, 24), dark) for number, (exposure, dark) in pairs]


@quick
@given(KINDS, st.integers(0, 40))
def test_a_window_stands_around_each_frame_and_reaches_no_farther_than_a_period(
    kind: tuple[int, int], count: int
) -> None:
    period, length = kind
    radius = length // 2
    windows = sliding_windows(range(count), length=length, period=period)
    if count < period:
        with pytest.raises(FrameError):
            list(windows)
        return
    found = list(windows)
    assert [window[radius] for window in found] == list(range(count))
    for center, window in enumerate(found):
        for offset, item in zip(range(-radius, radius + 1), window, strict=True):
            assert (item - center - offset) % period == 0  # the exposure of the place
            assert item == center + offset or not 0 <= center + offset < count  # borrowed only beyond the ends
            assert abs(item - center) < radius + period


@quick
@given(RATIOS, st.data(), st.integers(4, 24))
def test_windows_by_exposure_hold_what_the_cycle_has_wherever_it_is_near(
    ratios: list[float], data: st.DataObject, count: int
) -> None:
    cycle = ExposureCycle.from_ratios(ratios)
    exposures = data.draw(st.lists(st.sampled_from(cycle.ratios), min_size=count, max_size=count))
    blank = data.draw(st.lists(st.booleans(), min_size=count, max_size=count))
    frames = numbered(exposures, blank)
    radius = 2
    found = list(exposure_windows(frames, length=5, cycle=cycle, blank=lambda frame: frame.blank))
    assert [window[radius] for window in found] == frames
    reach = radius + cycle.period
    for center, window in enumerate(found):
        assert all(not item.blank for item in window if item.number != center)
        assert all(center - 2 * reach <= item.number <= center + reach for item in window)
        fits = any(
            all(
                item.exposure == cycle[phase + offset] or item.number == center
                for offset, item in zip(range(-radius, radius + 1), window, strict=True)
            )
            for phase in range(cycle.period)
            if cycle[phase] == frames[center].exposure
        )
        assert fits


@quick
@given(RATIOS, st.integers(0, 30), st.integers(-6, 30), st.integers(1, 20))
def test_a_range_of_exposures_is_what_the_whole_has_there(
    ratios: list[float], shown: int, first: int, count: int
) -> None:
    cycle = ExposureCycle.from_ratios(ratios)
    phases = tuple((number * number) % cycle.period for number in range(shown + 1))
    whole = FrameExposures(cycle, phases)
    part = whole.of_frames(first, count)
    for number in range(max(0, -first), count):
        assert part[number] == whole[first + number]


@quick
@given(st.lists(st.floats(allow_nan=True, allow_infinity=True), min_size=0, max_size=40))
def test_any_list_of_numbers_is_followed_or_refused(exposures: list[float]) -> None:
    try:
        found = follow_list(exposures)
    except ExposureError:
        return
    assert len(found.phases) == len(exposures)
    assert min(found.cycle.ratios) == 1
    assert all(math.isfinite(ratio) for ratio in found.cycle.ratios)


@quick
@given(RATIOS, st.integers(2, 6), st.floats(1e-3, 1e3))
def test_a_list_that_repeats_is_followed_whatever_its_scale(ratios: list[float], times: int, scale: float) -> None:
    exposures = [ratio * scale for ratio in ratios * (times + 2)]
    found = follow_list(exposures)
    assert [found[number] * min(exposures) for number in range(len(exposures))] == pytest.approx(exposures)


SAMPLES = arrays.arrays(np.float32, 32, elements=st.floats(0, 1, width=32))


@quick
@given(SAMPLES)
@pytest.mark.parametrize(
    ("there", "back", "scale", "tolerance"),
    [
        (srgb_encode, srgb_decode, 1.0, 2e-6),
        (bt709_oetf, bt709_oetf_inverse, 1.0, 2e-6),
        (hlg_oetf, hlg_oetf_inverse, 1.0, 2e-6),
        (mu_law, mu_law_inverse, 1.0, 2e-5),  # the inverse is steep: 5000 times there
        (pq_encode, pq_decode, 10000.0, 4e-3),  # of float32 in a power of 1 / 0.159
    ],
)
def test_what_is_encoded_is_decoded_again(
    there: object, back: object, scale: float, tolerance: float, samples: NDArray[np.float32]
) -> None:
    assert callable(there)
    assert callable(back)
    light = torch.from_numpy(samples) * scale
    codes = there(light)
    assert bool(codes.isfinite().all())
    assert float(codes.min()) >= -1e-6
    assert float(codes.max()) <= 1 + 1e-5
    torch.testing.assert_close(back(codes), light, rtol=tolerance, atol=tolerance * scale)


@quick
@given(arrays.arrays(np.float32, (3, 2, 2), elements=st.floats(-10, 100, width=32)))
@pytest.mark.parametrize("target", [REC2020, ACESCG, ACES2065_1])
def test_primaries_are_converted_there_and_back(target: object, picture: NDArray[np.float32]) -> None:
    from model.color import Primaries

    assert isinstance(target, Primaries)
    there = convert_primaries(torch.from_numpy(picture), REC709, target=target)
    torch.testing.assert_close(
        convert_primaries(there, target, target=REC709), torch.from_numpy(picture), rtol=1e-4, atol=1e-3
    )


@quick
@given(arrays.arrays(np.float32, 64, elements=st.floats(0, 50_000, width=32)), st.sampled_from([203.0, 600.0, 1000.0]))
def test_a_roll_off_rises_and_keeps_the_peak(nits: NDArray[np.float32], peak: float) -> None:
    gray = torch.from_numpy(np.sort(nits)).expand(3, 1, -1)
    rolled = roll_off(gray, source_peak_nits=10_000.0, peak_nits=peak)
    assert bool(rolled.isfinite().all())
    assert float(rolled.max()) <= peak * (1 + 1e-4)
    assert float((rolled[..., 1:] - rolled[..., :-1]).min()) >= -1e-3 * peak


@quick
@given(SAMPLES, st.floats(1, 64))
def test_exposing_undoes_radiance_within_the_range_of_a_code(samples: NDArray[np.float32], exposure: float) -> None:
    codes = torch.from_numpy(samples)
    torch.testing.assert_close(to_ldr(to_radiance(codes, exposure), exposure), codes, rtol=1e-4, atol=1e-4)


@quick
@given(st.sets(st.integers(0, 10**12), max_size=60))
def test_named_ranges_hold_all_numbers(numbers: set[int]) -> None:
    text = describe_numbers(sorted(numbers))
    assert len(text) < 200
    if "more ranges" not in text:
        named = [list(map(int, part.split("-"))) for part in text.split(", ") if part]
        assert {number for part in named for number in (range(part[0], part[-1] + 1))} == numbers


PICTURE = arrays.arrays(np.float32, (3, 5, 4), elements=st.floats(width=32))  # NaN and infinity among them


@settings(quick, max_examples=8)
@given(PICTURE, st.floats(0.01, 100), st.fractions(0, 10**6, max_denominator=10**6), st.integers(-5, 2**40))
def test_a_frame_is_read_as_it_was_written(
    picture: NDArray[np.float32], scale: float, time: Fraction, start: int
) -> None:
    record = ClipRecord(scale=scale, exposures=(1.0, 8.0), weights="w", version="1", rate=Fraction(24))
    with tempfile.TemporaryDirectory() as folder:
        names = FrameNames(folder=Path(folder), prefix="a.", digits=4, suffix=".exr", start=start)
        with ExrWriter(names, record) as writer:
            writer.write(HdrFrame(torch.from_numpy(picture), time), index=3, exposure=8.0)
        pixels, header = read_exr(names.path(3))
    with np.errstate(over="ignore", invalid="ignore"):
        scaled = np.nan_to_num(picture * np.float32(scale), nan=0.0, posinf=HALF_MAX, neginf=-HALF_MAX)
        expected = scaled.clip(-HALF_MAX, HALF_MAX).astype(np.float16).transpose(1, 2, 0)
    assert np.array_equal(pixels, expected)
    assert header["lanhdr/sourceTime"] == str(time)
    assert writer.nan_frames == bool(np.isnan(picture).any())
