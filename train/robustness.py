"""How much of a score disturbances cost."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace

from train.clip_scene import scene_of
from train.clips import Clip
from train.contenders import Contender
from train.disturbances import Disturbance
from train.measures import BY_KEY, NOTHING
from train.results import FrameScore
from train.scoring import Rules, ScoreStore, evaluate
from train.sheets import Sheet, mean, methods_of

LOST, SHOWN = BY_KEY["psnr_t"], BY_KEY["flicker"]


def evaluate_disturbed(
    contenders: Sequence[Contender],
    clips: Iterable[Clip],
    disturbances: Sequence[Disturbance],
    *,
    nexps: int,
    store: ScoreStore | None = None,
) -> Iterator[tuple[str, FrameScore]]:
    """Score contenders on every disturbed clip, without what they make on the way.

    Args:
        contenders: What to compare.
        clips: Undisturbed clips.
        disturbances: What to do to them.
        nexps: Number of exposures in the cycle.
        store: What is known from earlier runs is not computed again.

    Yields:
        Name of the disturbance and score.
    """
    rules = Rules(nexps, measures=(LOST, SHOWN))  # not all measures: SSIM takes longer than most methods
    wanted = {contender.names[-1] for contender in contenders}
    for clip in clips:
        for disturbance in disturbances:
            scenes = (scene_of(disturbed, nexps) for disturbed in disturbance.apply(clip))
            for found in evaluate(contenders, scenes, rules=rules, store=store):
                yield from ((disturbance.name, score) for score in found.scores if score.method in wanted)


def robustness_sheet(scores: Sequence[tuple[str, FrameScore]]) -> Sheet:
    """PSNR_T per disturbance and method, what was lost against the first disturbance, which is none, and flicker.

    Args:
        scores: Of all disturbances, with their names.
    """
    names = tuple(dict.fromkeys(name for name, _ in scores))
    by_name = {name: [score for other, score in scores if other == name] for name in names}
    methods = methods_of(by_name[names[0]])
    columns = [column for method in methods for column in (method, "lost", SHOWN.title)]
    rows = tuple((name, *_cells(by_name[name], by_name[names[0]], methods=methods)) for name in names)
    return Sheet(f"{LOST.title}, and what disturbances cost of it", ("disturbance", *columns), rows)


def _cells(scores: Sequence[FrameScore], undisturbed: Sequence[FrameScore], *, methods: Sequence[str]) -> Iterator[str]:
    for method in methods:
        value, whole = (mean(chosen, LOST.key, method=method) for chosen in (scores, undisturbed))
        yield LOST.shown(value)
        yield NOTHING if value is None or whole is None or scores is undisturbed else LOST.shown(whole - value)
        yield SHOWN.shown(mean(scores, SHOWN.key, method=method))


def named_rows(scores: Sequence[tuple[str, FrameScore]]) -> tuple[FrameScore, ...]:
    """Scores whose scenes carry the disturbance in their name, for a file of scores."""
    return tuple(replace(score, scene=f"{score.scene}: {name}") for name, score in scores)
