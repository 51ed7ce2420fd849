"""How much of a score disturbances cost."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace

from train.clips import Clip
from train.contenders import Contender
from train.disturbances import Disturbance
from train.measures import BY_KEY, NOTHING
from train.scoring import Score, ScoreStore, evaluate
from train.sheets import Sheet, mean, methods_of

LOST, SHOWN = BY_KEY["psnr_t"], BY_KEY["flicker"]


def evaluate_disturbed(
    contenders: Sequence[Contender],
    clips: Iterable[Clip],
    disturbances: Sequence[Disturbance],
    *,
    window_length: int,
    store: ScoreStore | None = None,
) -> Iterator[tuple[str, Score]]:
    """Score contenders on every disturbed clip.

    Args:
        contenders: What to compare.
        clips: Undisturbed clips.
        disturbances: What to do to them.
        window_length: Frames per window.
        store: What is known from earlier runs is not computed again.

    Yields:
        Name of the disturbance and score.
    """
    for clip in clips:
        for disturbance in disturbances:
            disturbed = disturbance.apply(clip)
            wanted = (LOST, SHOWN)  # not all: SSIM takes longer than most methods
            scored = evaluate(contenders, disturbed, window_length=window_length, store=store, measures=wanted)
            yield from ((disturbance.name, score) for found in scored for score in found.scores)


def robustness_sheet(scores: Sequence[tuple[str, Score]]) -> Sheet:
    """PSNR_T per disturbance and method, what was lost against the first disturbance, which is none, and flicker.

    Args:
        scores: Of all disturbances, with their names; methods without a time, made on the way by others, are left out.
    """
    names = tuple(dict.fromkeys(name for name, _ in scores))
    timed = [(name, score) for name, score in scores if score.seconds is not None]
    by_name = {name: [score for other, score in timed if other == name] for name in names}
    methods = methods_of(by_name[names[0]])
    columns = [column for method in methods for column in (method, "lost", SHOWN.title)]
    rows = tuple((name, *_cells(by_name[name], by_name[names[0]], methods=methods)) for name in names)
    return Sheet(f"{LOST.title}, and what disturbances cost of it", ("disturbance", *columns), rows)


def _cells(scores: Sequence[Score], undisturbed: Sequence[Score], *, methods: Sequence[str]) -> Iterator[str]:
    for method in methods:
        value, whole = (mean(chosen, LOST.key, method=method) for chosen in (scores, undisturbed))
        yield LOST.shown(value)
        yield NOTHING if value is None or whole is None or scores is undisturbed else LOST.shown(whole - value)
        yield SHOWN.shown(mean(scores, SHOWN.key, method=method))


def named_rows(scores: Sequence[tuple[str, Score]]) -> list[Score]:
    """Scores whose clips carry the disturbance in their name, for a file of scores."""
    return [replace(score, clip=f"{score.clip}: {name}") for name, score in scores]
