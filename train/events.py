"""TensorBoard's files of events, in the encoding of the `tensorboard` package.

Its own writers put the name of the host into the file's name and write from a thread that prints a traceback when the
disk is full; here a record is written at once, and a refusal is an `OSError` where it happens.
"""

import importlib.util
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

FORMAT = "brain.Event:2"


def tensorboard_found() -> bool:
    """Say whether the `tensorboard` package is installed, without importing it."""
    return importlib.util.find_spec("tensorboard") is not None


class EventFile:
    """A file of scalars and pictures over the steps of a run.

    Args:
        folder: Where the file goes, made if need be; earlier files of the run may lie there.
        first_step: Number of finished steps; what earlier files say of later steps is not shown any more.

    Raises:
        OSError: If the disk refuses.
    """

    def __init__(self, folder: Path, first_step: int) -> None:
        from tensorboard.compat.proto import event_pb2, summary_pb2
        from tensorboard.summary.writer.record_writer import RecordWriter

        self._events: Any = event_pb2
        self._summaries: Any = summary_pb2
        folder.mkdir(parents=True, exist_ok=True)
        # The viewer reads the files of a folder in the order of their names.
        self._file = (folder / f"events.out.tfevents.{time.time_ns():020d}.lanhdr").open("xb", buffering=0)
        self._writer: Any = RecordWriter(self._file)
        self._write(file_version=FORMAT)
        self._write(step=first_step + 1, session_log=event_pb2.SessionLog(status=event_pb2.SessionLog.START))

    def add_scalars(self, values: Mapping[str, float], step: int) -> None:
        """Add one value to each of the curves, by their names."""
        self._add([{"tag": name, "simple_value": value} for name, value in values.items()], step)

    def add_picture(self, name: str, png: bytes, *, size: tuple[int, int], step: int) -> None:
        """Add a PNG file's content of height and width `size`."""
        height, width = size
        image = self._summaries.Summary.Image(height=height, width=width, colorspace=3, encoded_image_string=png)
        self._add([{"tag": name, "image": image}], step)

    def close(self) -> None:
        """Close the file."""
        self._file.close()

    def _add(self, values: list[dict[str, Any]], step: int) -> None:
        summary = self._summaries.Summary
        self._write(step=step, summary=summary(value=[summary.Value(**value) for value in values]))

    def _write(self, **content: Any) -> None:
        self._writer.write(self._events.Event(wall_time=time.time(), **content).SerializeToString())
