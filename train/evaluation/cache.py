"""Scores of earlier runs in a folder, so that scoring new weights does not run the old methods again."""

import hashlib
import json
import os
from dataclasses import asdict
from pathlib import Path

from torch import Tensor

from train.dataclass_io import read_table
from train.errors import DatasetError, RecipeError
from train.evaluation.benchmarks.scene import Scene
from train.evaluation.methods import Contender
from train.evaluation.scoring import Rules, SceneScores, known_truth, scored_frames


class ScoreCache:
    """One file per contender and scene, named by a digest of all that the scores depend on.

    The digest covers pixels, exposures and truth of the scene, the code of the method and of the measures, and the
    weights. Costs are those of the run that computed the scores.

    Args:
        folder: Made if it does not exist.

    Raises:
        DatasetError: If the folder cannot be made.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._last: tuple[Scene, str] | None = None
        try:
            folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise DatasetError(f"{folder} cannot be made ({error.strerror}): choose another folder") from error

    def recall(self, contender: Contender, scene: Scene, *, rules: Rules) -> SceneScores | None:
        """Find the scores of a contender on a scene, None if they are not there."""
        path = self._path(contender, scene, rules=rules)
        try:
            return read_table(SceneScores, json.loads(path.read_text(encoding="utf-8")), place=str(path))
        except (OSError, ValueError, RecipeError):
            return None  # absent, cut off by a crash, or of another version: computed again

    def keep(self, contender: Contender, scene: Scene, *, rules: Rules, found: SceneScores) -> None:
        """Remember scores.

        Raises:
            DatasetError: If the file cannot be written.
        """
        path = self._path(contender, scene, rules=rules)
        unfinished = path.with_suffix(f".{os.getpid()}.tmp")
        try:
            unfinished.write_text(json.dumps(asdict(found)), encoding="utf-8")
            unfinished.replace(path)
        except OSError as error:
            raise DatasetError(f"{path} cannot be written ({error.strerror}): choose another folder") from error

    def _path(self, contender: Contender, scene: Scene, *, rules: Rules) -> Path:
        if self._last is None or self._last[0] is not scene:  # the same scene comes once for every contender
            self._last = (scene, _content(scene, rules.window_length))
        parts = [*contender.names, contender.fingerprint, rules.key, self._last[1]]
        return self._folder / f"{hashlib.sha256('/'.join(parts).encode()).hexdigest()[:32]}.json"


def _content(scene: Scene, window_length: int) -> str:
    """Digest of all pixels of a scene, read one frame at a time."""
    total = hashlib.sha256(f"{scene.name}/{scene.exposures}/{scene.labels}/{scene.precision}".encode())
    for frame in range(len(scene.exposures)):
        _add(total, scene.read_ldr(frame))
    for frame in scored_frames(scene, window_length):
        truth = known_truth(scene, frame)
        total.update(f"{frame}".encode())
        if truth is not None:
            _add(total, truth)
    return total.hexdigest()


def _add(total: "hashlib._Hash", picture: Tensor) -> None:
    total.update(str(tuple(picture.shape)).encode())
    total.update(picture.contiguous().numpy().data)
