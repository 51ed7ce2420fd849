"""Scores of earlier runs in a folder, so that scoring new weights does not run the old methods again."""

import hashlib
import json
import os
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path

from train.contenders import Contender
from train.errors import DatasetError
from train.scoring import Case, Crop, Score


class ScoreCache:
    """One file per contender and clip, named by a digest of all that the scores depend on.

    The digest covers pixels, exposures and truth of the clip, the code of the method and of the measures, and the
    weights. Times are those of the run that computed the scores.

    Args:
        folder: Made if it does not exist.

    Raises:
        DatasetError: If the folder cannot be made.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._last: tuple[Sequence[Case], str] | None = None
        try:
            folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise DatasetError(f"{folder} cannot be made ({error.strerror}): choose another folder") from error

    def recall(self, contender: Contender, cases: Sequence[Case]) -> list[Score] | None:
        """Find the scores of a contender on the frames of a clip, None if they are not there."""
        try:
            rows = json.loads(self._path(contender, cases).read_text(encoding="utf-8"))
            return [Score(**row | {"crop": Crop(**row["crop"])}) for row in rows]
        except (OSError, ValueError, TypeError, KeyError):
            return None  # absent, or cut off by a crash: computed again

    def keep(self, contender: Contender, cases: Sequence[Case], *, scores: Sequence[Score]) -> None:
        """Remember scores.

        Raises:
            DatasetError: If the file cannot be written.
        """
        path = self._path(contender, cases)
        unfinished = path.with_suffix(f".{os.getpid()}.tmp")
        try:
            unfinished.write_text(json.dumps([asdict(score) for score in scores]), encoding="utf-8")
            unfinished.replace(path)
        except OSError as error:
            raise DatasetError(f"{path} cannot be written ({error.strerror}): choose another folder") from error

    def _path(self, contender: Contender, cases: Sequence[Case]) -> Path:
        if self._last is None or self._last[0] is not cases:  # the same frames come once for every contender
            self._last = (cases, "/".join(_content(case) for case in cases))
        parts = [*contender.names, contender.fingerprint, self._last[1]]
        return self._folder / f"{hashlib.sha256('/'.join(parts).encode()).hexdigest()[:32]}.json"


def _content(case: Case) -> str:
    total = hashlib.sha256(f"{case.clip}/{case.frame}/{case.role}".encode())
    for tensor in (case.ldr, case.exposures, case.truth):
        total.update(str(tuple(tensor.shape)).encode())
        total.update(tensor.contiguous().numpy().data)
    return total.hexdigest()
