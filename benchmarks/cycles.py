"""How well exposures are found: a table over synthetic clips whose exposures, slips and responses are known.

`python -m benchmarks.cycles` prints one row per clip and the totals. Wrong without a warning must be none.
"""

import argparse
import random
import time
from dataclasses import dataclass, replace

import torch

from benchmarks.exposure_clips import Case, pictures, shots
from lanhdr_cli.exposures import CLEAR
from model.analysis.camera import CameraEstimate, Shot, estimate_camera, exposures_of_camera, light_of
from model.analysis.exposure_cycle import ExposureEstimate
from model.errors import ExposureError
from model.response import gamma_curve

RIGHT_WITHIN = 0.1  # of a ratio


@dataclass(frozen=True)
class Outcome:
    """What was found in a clip.

    Args:
        right: Whether each frame has the exposure it had, ratios within a tenth.
        found: Slips found within one frame of where they are.
        missed: Slips that were not.
        false_alarms: Slips reported where there are none.
        warned: Whether the clip is refused, or the estimate warns.
        text: The finding in words.
    """

    right: bool
    found: int
    missed: int
    false_alarms: int
    warned: bool
    text: str

    @property
    def wrong_unseen(self) -> bool:
        """Whether something is wrong and nothing says so."""
        return not self.warned and not (self.right and self.missed == 0)


def examine(case: Case) -> Outcome:
    """Make a clip, look for its exposures, and compare."""
    small = [Shot(image, moment) for image, moment in pictures(case)]
    camera = CameraEstimate(gamma_curve()) if case.told else estimate_camera(small, exposures=None)
    light = light_of(small, camera.curve)
    try:
        estimate, usable = exposures_of_camera(light, camera)
    except ExposureError as error:
        alternates = len(set(case.ratios)) > 1
        return Outcome(not alternates, 0, len(case.slips), 0, alternates, str(error))
    told = [slip.index for slip in estimate.slips]
    found = sum(any(abs(slip - index) <= 1 for index in told) for slip in case.slips)
    false_alarms = sum(all(abs(slip - index) > 1 for slip in case.slips) for index in told)
    right = _right(case, estimate)
    together = camera.exposures is not None and estimate.confidence < CLEAR
    warned = not usable or together or bool(estimate.warning)
    words = f"{camera.curve.name} {_words(estimate)}"
    return Outcome(right, found, len(case.slips) - found, false_alarms, warned, words)


def _right(case: Case, estimate: ExposureEstimate) -> bool:
    if estimate.exposures.period != len(case.ratios):
        return False
    least = min(case.ratios)
    wrong = sum(
        abs(estimate.exposures[index] * least / case.ratios[camera % len(case.ratios)] - 1) > RIGHT_WITHIN
        for index, (camera, _) in enumerate(shots(case))
    )
    return wrong == 0


def _words(estimate: ExposureEstimate) -> str:
    ratios = ",".join(f"{ratio:.4g}" for ratio in estimate.exposures.ratios)
    slips = "; ".join(str(slip) for slip in estimate.slips)
    return f"{ratios} ({estimate.confidence:.2f}, {estimate.unevenness:.2f}) {slips}".strip()


def cases() -> list[Case]:
    """All clips of the table; those with slips come last."""
    cycles: list[tuple[float, ...]] = [(1, 2), (1, 4), (8, 1), (1, 8), (16, 1), (1, 32), (1, 64), (64, 1)]
    cycles += [(1, 4, 16), (16, 1, 4), (1, 16, 4), (4, 1, 16), (1, 2, 4), (1, 8, 64), (64, 1, 8), (1, 3, 12)]
    steady = [
        Case(ratios, response, told=response == "film", speed=(0.0, 1.5, 4.0)[number % 3], seed=number)
        for number, (ratios, response) in enumerate(zip(cycles, ("gamma", "srgb", "film", "gamma") * 4, strict=True))
    ]
    harder = [
        Case((1, 8), "film", seed=30),
        Case((1, 4), "film", seed=31),
        Case((1, 4, 16), "film", seed=32),
        Case((1, 8), cuts=(11, 24, 25), seed=33),
        Case((1, 4, 16), "srgb", cuts=(13, 30), seed=34),
        Case((4, 1), cuts=(47,), seed=35),
        Case((1, 8), light="flicker", seed=36),
        Case((1, 2), light="flicker", seed=37),
        Case((1, 4, 16), light="flicker", seed=38),
        Case((1, 8), light="fade", seed=39),
        Case((16, 1, 4), light="fade", seed=40),
        Case((1, 8), light="flash", seed=41),
        Case((1, 4, 16), light="flash", seed=42),
        Case((1, 8), noise=6e-3, seed=43),
        Case((1, 4, 16), noise=6e-3, seed=44),
        Case((1, 2), noise=6e-3, speed=6.0, seed=45),
        Case((1, 1), seed=46),
        Case((1, 1), speed=5.0, light="flicker", cuts=(9, 30), seed=47),
        Case((1, 8), frames=9, seed=48),
        Case((1, 4, 16), frames=11, seed=49),
        Case((1, 8), speed=8.0, seed=50),
        Case((1, 32), "srgb", cuts=(7, 8, 9, 30), speed=3.0, seed=51),
    ]
    return steady + harder + _with_slips()


def _with_slips() -> list[Case]:
    return [
        Case((1, 8), dropped=(20,), seed=60),
        Case((8, 1), "srgb", doubled=(20,), seed=61),
        Case((1, 8), speed=0.0, dropped=(31,), seed=62),
        Case((1, 8), speed=0.0, doubled=(31,), seed=63),
        Case((1, 2), dropped=(15,), doubled=(33,), seed=64),
        Case((1, 64), dropped=(25,), seed=65),
        Case((1, 16), "srgb", dropped=(5, 40), seed=66),
        Case((1, 4, 16), dropped=(22,), seed=67),
        Case((16, 1, 4), doubled=(22,), seed=68),
        Case((1, 16, 4), "srgb", dropped=(10,), doubled=(30,), seed=69),
        Case((1, 8), dropped=(20,), gaps=True, seed=70),
        Case((1, 4, 16), dropped=(20, 34), gaps=True, seed=71),
        Case((1, 8), cuts=(20,), dropped=(20,), seed=72),
        Case((1, 8), dropped=(46,), seed=73),
        Case((1, 4), doubled=(2,), speed=4.0, seed=74),
        Case((1, 8), "film", told=True, dropped=(12,), doubled=(28,), seed=75),
        Case((1, 32), doubled=(17,), light="flicker", seed=76),
        Case((1, 2, 4), dropped=(27,), noise=4e-3, seed=77),
    ]


def _row(case: Case, outcome: Outcome) -> str:
    ratios = ",".join(f"{ratio:g}" for ratio in case.ratios)
    response = case.response + (" told" if case.told else "")
    slips = f"{outcome.found}/{len(case.slips)}" if case.slips else "-"
    words = ("WRONG" if outcome.wrong_unseen else "yes" if outcome.right else "no", "warned" if outcome.warned else "")
    return (
        f"{ratios:<9}{response:<11}{case.light:<8}{len(case.cuts):>4}  {words[0]:<6}{slips:<6}"
        f"{outcome.false_alarms:>3}  {words[1]:<8}{outcome.text}"
    )


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--only", type=int, metavar="N", help="a random choice of N clips")
    parser.add_argument("--seed", type=int, default=0, help="other scenes and other noise")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    chosen = [replace(case, seed=case.seed + arguments.seed) for case in cases()]
    if arguments.only:
        chosen = random.Random(0).sample(chosen, arguments.only)
    print(f"{'exposures':<9}{'response':<11}{'light':<8}{'cuts':>4}  {'right':<6}{'slips':<6}{'false':>3} warned")
    begin = time.monotonic()
    outcomes = []
    for case in chosen:
        outcomes.append(examine(case))
        print(_row(case, outcomes[-1]), flush=True)
    slips = sum(len(case.slips) for case in chosen)
    print(
        f"{len(chosen)} clips in {time.monotonic() - begin:.0f} s: {sum(o.right for o in outcomes)} right, "
        f"{sum(o.found for o in outcomes)} of {slips} slips found, {sum(o.false_alarms for o in outcomes)} false "
        f"alarms, {sum(o.warned for o in outcomes)} warned, {sum(o.wrong_unseen for o in outcomes)} wrong unseen"
    )


if __name__ == "__main__":
    main()
