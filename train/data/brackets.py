"""Exposure brackets: reading, response curve by Debevec's method, alignment and merge.

A folder is a bracket if it holds two JPEG or PNG pictures or more whose exposures differ, by their EXIF or by a list,
`image_list.txt` or `exposures.txt`, of lines `NAME EXPOSURE` (linear, any unit; its inverse is noticed).
"""

import itertools
import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property, reduce
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from train.data.exif import read_shot
from train.data.images import Pixels, read_codes, reduced
from train.errors import DatasetError

Codes = NDArray[np.uint8]
Table = NDArray[np.float64]

SUFFIXES = frozenset({".jpg", ".jpeg", ".png"})
LISTS = ("image_list.txt", "exposures.txt")
LONGEST_SIDE = 1024
NOMINAL = 0.07  # how far 1/60 s and the like may lie from the third of a stop that they stand for
LEAST_RATIO = 1.2
SAMPLES, SMOOTHNESS = 150, 40.0  # of Debevec's method
CRUSHED, SHOULDER, FITTED = 4, 240, 200  # codes: below and above nothing can be measured; the slope that goes on
TOE = 24  # codes below it are measured by longer pictures
TOE_STEP, TOE_PIXELS = 0.1, 200  # parts of their light, in its natural logarithm, and pixels that each needs
LEAST_LIGHT, LEAST_CODE = 1e-6, 1.0  # light relative to the clip level; a mean code that is more than black
WELL_EXPOSED = (40, 230)
LARGEST_SHIFT = 1.5  # pixels between pictures that were taken one after the other
LARGEST_DISAGREEMENT = 0.4  # stops
FEWEST_MATCHES, MATCH_RATIO, REPROJECTED = 25, 0.75, 2.0  # Lowe's ratio test (IJCV 2004); pixels
STILL = 0.7  # pixels that corners may move without a picture being resampled
LEAST_SEEN = 0.02  # share of the pixels that two pictures must both expose well to be compared


@dataclass(frozen=True)
class Bracket:
    """Pictures of one still scene."""

    name: str
    pictures: tuple[Codes, ...]  # R, G, B codes, (H, W, 3) each, from the shortest exposure to the longest
    exposures: tuple[float, ...]  # linear, relative to the shortest

    @cached_property
    def light(self) -> Table:
        """Light by code, from the clip level 1.0 down to 0, (256,): the inverse of the camera's curve.

        By the method of Debevec and Malik (SIGGRAPH 1997) as OpenCV has it. One curve stands for all channels, the mean
        of theirs: a picture's tone curve is one for all, and curves of their own shift colors, since they are tied
        together at code 128 only. Its smoothness is wrong for toes, which cameras crush: below code 24 light is what
        longer pictures state. Where nothing can be measured, above code 240, the logarithm goes on straight; below code
        4 light falls to 0 in line.
        """
        usable = [
            n
            for n, picture in enumerate(self.pictures)
            if (picture.max(2) > 20).mean() > 0.01 and (picture.min(2) < 235).mean() > 0.05  # neither black nor white
        ]
        chosen = usable if len(usable) > 1 else range(len(self.pictures))
        times = np.array([self.exposures[n] for n in chosen], np.float32)
        calibration = cv2.createCalibrateDebevec(samples=SAMPLES, lambda_=SMOOTHNESS, random=False)
        pictures = [np.ascontiguousarray(self.pictures[n]) for n in chosen]
        response = calibration.process(pictures, times / times.max())[:, 0].astype(np.float64)  # (256, 3)
        logs = np.log(np.maximum(response, 1e-12)).mean(1, keepdims=True)
        logs = np.maximum.accumulate(cv2.GaussianBlur(logs, (1, 9), 0)[:, 0])
        codes = np.arange(256)
        slope = max(np.polyfit(codes[FITTED:SHOULDER], logs[FITTED:SHOULDER], 1)[0], 1e-3)
        logs[SHOULDER:] = logs[SHOULDER - 1] + slope * (codes[SHOULDER:] - SHOULDER + 1)
        light = np.exp(logs - logs[-1])
        seen, stated = self._toe(light)
        if len(seen):
            least = math.ceil(seen[0])
            measured = np.interp(codes[least : TOE + 1], (*seen, TOE), (*stated, light[TOE]))
            light[:least] *= measured[0] / light[least]
            light[least : TOE + 1] = measured
        light[:CRUSHED] = light[CRUSHED] * codes[:CRUSHED] / CRUSHED
        return np.asarray(np.maximum.accumulate(light), np.float64)

    def _toe(self, light: Table) -> tuple[Table, Table]:
        """Find rising mean codes below `TOE`, and the light that longer pictures, well exposed, state there.

        It is the mean code of some light, for the mean light of some code is too dark: where most of a picture is dark,
        most of what noise has brightened is, too.
        """
        light = light.astype(np.float32)
        count, total = np.zeros((2, math.ceil(-math.log(LEAST_LIGHT) / TOE_STEP)))
        for number, (picture, exposure) in enumerate(zip(self.pictures, self.exposures, strict=True)):
            weight, weighted = np.zeros((2, *picture.shape), np.float32)
            for longer, other in zip(self.pictures[number + 1 :], self.exposures[number + 1 :], strict=True):
                well = (longer > WELL_EXPOSED[0]) & (longer.max(2, keepdims=True) < WELL_EXPOSED[1])
                weight += well * other
                weighted += well * light[longer] * exposure
            shown = weight > 0
            dark = np.log((weighted[shown] / weight[shown]).clip(LEAST_LIGHT, 1)) / -TOE_STEP
            parts = dark.astype(int).clip(max=len(count) - 1)
            count += np.bincount(parts, minlength=len(count))
            total += np.bincount(parts, picture[shown], minlength=len(count))
        enough = np.flatnonzero(count >= TOE_PIXELS)  # from bright to dark
        codes = total[enough] / count[enough]
        falling = (codes < np.minimum.accumulate((np.inf, *codes[:-1]))) & (codes < TOE) & (codes > LEAST_CODE)
        return codes[falling][::-1], np.exp(-(enough[falling][::-1] + 0.5) * TOE_STEP)

    def radiance(self, *, shortest: int = 0) -> Pixels:
        """Merge all pictures, each weighted by its exposure where it is neither clipped nor black.

        Returns:
            Linear radiance, not clipped, 1.0 = clip level of picture `shortest`, (H, W, 3).
        """
        light = self.light.astype(np.float32)
        total: Any = np.zeros((*self.pictures[0].shape[:2], 1), np.float32)
        summed: Any = np.zeros(self.pictures[0].shape, np.float32)
        for picture, exposure in zip(self.pictures, self.exposures, strict=True):
            brightest, darkest = (
                limit(picture, axis=2, keepdims=True).astype(np.float32) for limit in (np.max, np.min)
            )
            weight = np.clip((247 - brightest) / 20, 0, 1) * np.clip((darkest - 3) / 12, 0.002, 1) * exposure
            total, summed = total + weight, summed + weight * light[picture] / exposure
        merged = np.where(total > 1e-6, summed / np.maximum(total, 1e-6), light[self.pictures[0]])
        return np.asarray(merged * self.exposures[shortest], np.float32)

    def compare(self) -> tuple[float, float]:
        """Compare neighboring exposures where both expose well; a scene that moved and wrong exposures show in it.

        Returns:
            The largest shift between two, by phase correlation, in pixels, and the largest median difference in the
            light that they state, in stops; 0 where nothing can be compared.
        """
        shift = disagreement = 0.0
        logs = np.log2(np.maximum(self.light, 1e-6)).astype(np.float32)
        for number in range(len(self.pictures) - 1):
            short, long = self.pictures[number : number + 2]
            well = (short.min(2) > WELL_EXPOSED[0]) & (long.max(2) < WELL_EXPOSED[1])
            if well.mean() < LEAST_SEEN:
                continue
            step = np.float32(math.log2(self.exposures[number + 1] / self.exposures[number]))
            pair = (logs[short[..., 1]] + step, logs[long[..., 1]])  # log2 of green light
            disagreement = max(disagreement, float(np.median(abs(pair[0] - pair[1])[well])))
            smooth = []
            for light in pair:
                filled = np.where(well, light, light[well].mean()).astype(np.float64)
                blurred = cv2.GaussianBlur(filled, (0, 0), 1)
                smooth.append(blurred - blurred.mean())
            window = cv2.createHanningWindow((well.shape[1], well.shape[0]), cv2.CV_64F)
            (x, y), response = cv2.phaseCorrelate(smooth[0], smooth[1], window)
            if response > 0.1:
                shift = max(shift, math.hypot(x, y))
        return shift, disagreement


def find_brackets(folder: Path) -> tuple[Path, ...]:
    """Find the brackets among a folder and those directly in it, by name."""
    children = sorted(child for child in folder.iterdir() if child.is_dir() and not child.name.startswith("."))
    return tuple(child for child in (folder, *children) if is_bracket(child))


def is_bracket(folder: Path) -> bool:
    """Return whether a folder holds nothing but pictures of different exposures; only their headers are read."""
    paths = bracket_files(folder)
    try:
        exposures = stated_exposures(folder, paths)
    except DatasetError:
        return any((folder / name).is_file() for name in LISTS[:1])  # one that is wrong is to be read and refused
    return len(paths) > 1 and exposures is not None and len(set(exposures)) == len(paths)


def bracket_files(folder: Path) -> tuple[Path, ...]:
    """List the pictures directly in a folder, by name."""
    return tuple(
        path for path in sorted(folder.iterdir()) if path.suffix.lower() in SUFFIXES and not path.name.startswith(".")
    )


def read_bracket(folder: Path, *, longest_side: int = LONGEST_SIDE) -> Bracket:
    """Read a bracket; pictures larger than `longest_side` pixels are reduced.

    Raises:
        DatasetError: If pictures differ in size or have moved against each other, or exposures are unknown or equal.
    """
    paths = bracket_files(folder)
    exposures = stated_exposures(folder, paths)
    if exposures is None or len(paths) < 2:
        raise DatasetError(
            f"{folder} is no bracket: put pictures of different exposures into it, with EXIF or {LISTS[0]} "
            "of lines NAME EXPOSURE"
        )
    pictures = [reduced(read_codes(path), longest_side) for path in paths]
    if len({picture.shape for picture in pictures}) > 1:
        raise DatasetError(f"{folder}: pictures differ in size: a bracket is one scene by one camera, standing still")
    if np.corrcoef(np.log(exposures), [picture.mean() for picture in pictures])[0, 1] < 0:
        exposures = [1 / exposure for exposure in exposures]  # some lists state the inverse
    order = np.argsort(exposures)
    relative = tuple(float(f"{exposures[n] / min(exposures):.6g}") for n in order)
    bracket = Bracket(folder.name, tuple(_aligned([pictures[n] for n in order])), relative)
    if np.divide(bracket.exposures[1:], bracket.exposures[:-1]).min() < LEAST_RATIO:
        raise DatasetError(f"{folder} has two pictures of equal exposure: leave one of them")
    shift, disagreement = bracket.compare()
    if shift > LARGEST_SHIFT:
        raise DatasetError(
            f"{folder}: pictures have moved by {shift:.1f} pixels against each other: align them or take them out"
        )
    if disagreement > LARGEST_DISAGREEMENT:
        raise DatasetError(
            f"{folder}: pictures differ by {disagreement:.2f} stops in the median where both are well exposed: "
            "the scene moved or the exposures are wrong, take it out"
        )
    return bracket


def stated_exposures(folder: Path, paths: Sequence[Path]) -> list[float] | None:
    """Read the linear exposure of each picture, in any unit, from a list, else from EXIF; None if nothing states them.

    Raises:
        DatasetError: If a list lacks a picture or holds what is no number.
    """
    for name in LISTS:
        if (folder / name).is_file() and (listed := _listed(folder / name)):
            lacking = [path.name for path in paths if path.name not in listed]
            if lacking:
                raise DatasetError(f"{folder / name} does not list {lacking[0]}: add a line with its exposure")
            return [listed[path.name] for path in paths]
    shots = [read_shot(path) for path in paths]
    if not all(shot.time_s for shot in shots):
        return None
    # Time x ISO / f-number^2 (ISO 2721, reciprocity), of what all pictures state.
    exposures = [nominal(shot.time_s or 1.0) for shot in shots]
    if all(shot.iso for shot in shots):
        exposures = [value * nominal((shot.iso or 100) / 100) for value, shot in zip(exposures, shots, strict=True)]
    if all(shot.f_number for shot in shots):
        exposures = [value / nominal((shot.f_number or 1) ** 2) for value, shot in zip(exposures, shots, strict=True)]
    return exposures


def nominal(value: float) -> float:
    """Take a camera's rounded setting for the third of a stop that it stands for: 1/60 is 1/64, 5.6^2 is 32."""
    third = 2.0 ** (round(3 * math.log2(value)) / 3)
    return third if abs(value / third - 1) < NOMINAL else value


def _listed(path: Path) -> dict[str, float]:
    """Read exposures by name of picture; empty if it is a list of another kind, as of stops."""
    try:
        rows = [line.split("#")[0].split() for line in path.read_text(encoding="utf-8-sig").splitlines()]
    except (OSError, UnicodeDecodeError) as error:
        raise DatasetError(f"{path} cannot be read ({error}): it should hold lines NAME EXPOSURE") from error
    named = [row for row in rows if len(row) > 1 and Path(row[0]).suffix.lower() in SUFFIXES]
    try:
        parts = [(name, *number.partition("/")) for name, number, *_ in named]
        exposures = {name: float(numerator) / float(denominator or 1) for name, numerator, _, denominator in parts}
    except (ValueError, ZeroDivisionError) as error:
        raise DatasetError(f"{path} can't be understood ({error}): it should hold lines NAME EXPOSURE") from error
    wrong = [name for name, value in exposures.items() if not 0 < value < math.inf]
    if wrong:
        raise DatasetError(f"{path} gives {wrong[0]} an exposure that is not above 0: correct it")
    return exposures


def _aligned(pictures: Sequence[Codes]) -> list[Codes]:
    """Undo what a hand moved between pictures, by homographies to the middle one, and cut off what not all show."""
    middle = len(pictures) // 2
    steps = [_homography(first, second) for first, second in itertools.pairwise(pictures)]
    back: list[Table] = [np.asarray(np.linalg.inv(step), np.float64) for step in steps]
    to_middle = []
    for index in range(len(pictures)):
        chain = steps[index:middle] if index < middle else back[middle:index][::-1]
        to_middle.append(reduce(lambda total, step: step @ total, chain, np.eye(3)))
    height, width = pictures[0].shape[:2]
    corners: Pixels = np.array([[[0, 0], [width, 0], [0, height], [width, height]]], np.float32)
    moved = max(float(abs(cv2.perspectiveTransform(corners, matrix) - corners).max()) for matrix in to_middle)
    if moved < STILL:
        return list(pictures)
    margin = math.ceil(moved)
    warped = [
        cv2.warpPerspective(picture, matrix, (width, height))
        for picture, matrix in zip(pictures, to_middle, strict=True)
    ]
    inner = (slice(margin, height - margin), slice(margin, width - margin))
    return [np.ascontiguousarray(picture[inner], np.uint8) for picture in warped]


def _homography(picture: Codes, other: Codes) -> Table:
    """Find where points of a picture lie in another exposure; nothing moved if too little can be matched."""
    detector, contrast = cv2.SIFT.create(4000), cv2.createCLAHE(4.0, (8, 8))
    gray = [contrast.apply(cv2.cvtColor(np.ascontiguousarray(codes), cv2.COLOR_RGB2GRAY)) for codes in (picture, other)]
    (points, features), (other_points, other_features) = (detector.detectAndCompute(codes, None) for codes in gray)
    if features is None or other_features is None or len(other_points) < 2:
        return np.eye(3)
    pairs = cv2.BFMatcher().knnMatch(features, other_features, k=2)
    good = [best for best, second in pairs if best.distance < MATCH_RATIO * second.distance]
    if len(good) < FEWEST_MATCHES:
        return np.eye(3)
    source = np.array([points[match.queryIdx].pt for match in good], np.float32)
    target = np.array([other_points[match.trainIdx].pt for match in good], np.float32)
    matrix, inliers = cv2.findHomography(source, target, cv2.RANSAC, REPROJECTED)
    sure = matrix is not None and int(inliers.sum()) >= FEWEST_MATCHES
    return np.asarray(matrix, np.float64) if sure else np.eye(3)
