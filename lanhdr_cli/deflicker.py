"""Flicker between exposures: corrected before the network, and what is left of it told."""

import logging
from collections.abc import Generator, Iterable, Sequence

from lanhdr_cli.pipeline import Reconstructed
from model.brightness import FrameLight
from model.cycle import FrameExposures
from model.exposure import ExposureCycle
from model.flicker import FlickerMeter, measure_correction

FRAMES_COMPARED = 96  # from the first on, whatever part is converted, so that parts fit together
WORTH_TELLING = 0.03  # stops

logger = logging.getLogger(__name__)


def deflickered(light: Sequence[FrameLight], exposures: FrameExposures) -> FrameExposures:
    """Correct exposures that were said by the light of the frames, if they are slightly off.

    Cameras don't keep their exposures exactly, and a response that is not quite the one assumed acts alike: the mean
    brightness would jump from each frame to the next. Where exposures are altogether wrong they stay as said.

    Args:
        light: The light of the clip's frames, from the first on.
        exposures: What was said.
    """
    compared = light[:FRAMES_COMPARED]
    correction = measure_correction(compared, [exposures[index] for index in range(len(compared))])
    if not correction.plausible:
        logger.debug("exposures stay as given: the frames do not show clearly what they are")
        return exposures
    cycle = ExposureCycle(tuple(correction.corrected(ratio) for ratio in exposures.cycle.ratios))
    largest = max(abs(stops) for stops in correction.stops.values())
    given, shown = (", ".join(f"{ratio:.3g}" for ratio in ratios) for ratios in (exposures.cycle.ratios, cycle.ratios))
    tell = logger.info if largest >= WORTH_TELLING else logger.debug
    tell("exposures %s look like %s in the frames and are taken so (--no-deflicker: as given)", given, shown)
    return FrameExposures(cycle, exposures.phases)


def flicker_told(results: Iterable[Reconstructed], *, period: int) -> Generator[Reconstructed, None, None]:
    """Measure the flicker of results as they pass, and tell it at their end if all is told.

    Args:
        results: In order.
        period: Number of frames after which the exposures repeat.
    """
    if not logger.isEnabledFor(logging.DEBUG):
        yield from results
        return
    meter = FlickerMeter()
    try:
        for result in results:
            meter.add(result.hdr.radiance, result.ldr.exposure)
            yield result
    finally:  # who asks for a part stops before the end
        logger.debug("brightness jumps by %.5f between exposures (mu-law, 0 to 1)", meter.jump(period))
