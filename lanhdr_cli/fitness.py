"""A self-check: whether a clip is within what the bundled weights were trained on."""

from lanhdr_cli.inspection import Inspection

# What the bundled weights were trained on, see train/synthesis.py and train/augment.py.
TRAINED_RATIOS = {2: (2, 64), 3: (4, 64)}
RATIO_TOLERANCE = 1.15
NOISIEST = 6.0
MOST_CLIPPED_SHORT, MOST_CLIPPED_LONG, MOST_BLACK_LONG = 0.15, 0.8, 0.5


def self_check(found: Inspection) -> list[str]:
    """Say in words where a clip lies outside of what the bundled weights were trained on; empty if nowhere."""
    if found.known.trouble:
        return [found.known.trouble]
    if not found.exposures or len(found.groups) < 2:
        return ["all frames have one exposure: there is nothing to merge"]
    return [*_doubts(found), *_range_warnings(found), *_light_warnings(found)]


def _doubts(found: Inspection) -> list[str]:
    estimate = found.known.estimate
    if estimate is None:
        return []
    if found.known.origin != "brightness" and not estimate.sure:
        return [f"brightness does not follow these exposures ({estimate.explained:.0%} of its steps agree)"]
    if not estimate.sure:
        return [
            f"the exposures are uncertain (confidence {estimate.confidence:.2f}): pass --exposures if you know them"
        ]
    # A curve that was found explains the steps as well as the frames allow, and says how well.
    found_curve = found.camera.estimate is not None and found.camera.estimate.response is not None
    return [estimate.warning] if estimate.warning and not found_curve else []


def _range_warnings(found: Inspection) -> list[str]:
    count = len(found.groups)
    if count not in TRAINED_RATIOS:
        return [f"there are {count} exposures; weights are for two or three"]
    low, high = TRAINED_RATIOS[count]
    if low / RATIO_TOLERANCE <= found.ratio <= high * RATIO_TOLERANCE:
        return []
    return [f"the exposures' ratio is {found.ratio:.3g}; weights were trained on {low} to {high}"]


def _light_warnings(found: Inspection) -> list[str]:
    shortest, longest = found.groups[0], found.groups[-1]
    # Texture looks like noise, the more so the brighter it is: only the least of the estimates says something.
    noise = min((group.noise for group in found.groups if group.noise is not None), default=0.0)
    checks = (
        (noise > NOISIEST, f"noise is {noise:.1f} times the nominal; weights were trained up to {NOISIEST:g}"),
        (
            shortest.clipped > MOST_CLIPPED_SHORT,
            f"{shortest.clipped:.0%} is clipped in the shortest frames too: no frame has seen it, it is guessed",
        ),
        (longest.clipped > MOST_CLIPPED_LONG, f"{longest.clipped:.0%} is clipped in the longest frames: expose less"),
        (
            longest.black > MOST_BLACK_LONG,
            f"{longest.black:.0%} is black in the longest frames: shadows are lost in every frame",
        ),
        (
            found.stops_used < 0.5 and longest.clipped < 0.001,
            "nothing is brighter than the longest exposure can hold: there is little to gain",
        ),
    )
    return [text for applies, text in checks if applies]
