"""What a run tells of itself as it goes: rows of metrics, curves and pictures for TensorBoard, sheets of samples."""

import importlib.util
import logging
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from torch import Tensor

from train.checkpoint import Row, RunFolder
from train.data.loader import Batch
from train.errors import TrainError
from train.montage import contact_sheet, encode_png

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


logger = logging.getLogger(__name__)


class Journal:
    """Writes into the folder of a run.

    Rows of metrics must be written. The rest is for people to look at: where the disk refuses it, a warning says so
    once and the training goes on without.

    Args:
        folder: The run.
        tensorboard: Whether to write curves and pictures for TensorBoard too, which then must be installed.
    """

    def __init__(self, folder: RunFolder, *, tensorboard: bool = False) -> None:
        self.folder = folder
        self._tensorboard = tensorboard
        self._events: EventFile | None = None
        self._given_up: set[str] = set()

    @contextmanager
    def opened(self, step: int) -> Iterator[None]:
        """Be ready to be written to within this context.

        Args:
            step: Number of finished steps; what TensorBoard was told of later ones is not shown any more.
        """
        if self._tensorboard:
            self._try("TensorBoard's files", lambda: self._open(step))
        try:
            yield
        finally:
            if self._events is not None:
                self._events.close()
            self._events = None

    def append(self, row: Row) -> None:
        """Add a row of metrics.

        Raises:
            TrainError: If the disk refuses metrics.jsonl.
        """
        self.folder.append(row)
        curves = {_curve(name): value for name, value in row.items() if name != "step"}
        self._tell(lambda events: events.add_scalars(curves, int(row["step"])))

    def show(self, network: Callable[[Tensor, Tensor, Tensor], Any], batches: Sequence[Batch], *, step: int) -> None:
        """Add a sheet of what a network makes of held-out windows.

        Args:
            network: In evaluation mode.
            batches: Two windows of one sample each, on the network's device; nothing is shown if there are none.
            step: Number of finished steps.
        """
        if not batches:
            return
        sheet = contact_sheet(network, batches)
        png, size = encode_png(sheet), (sheet.shape[0], sheet.shape[1])
        self._try("samples", lambda: self.folder.write_sample(png, step))
        self._tell(lambda events: events.add_picture("held_out", png, size=size, step=step))

    def _open(self, step: int) -> None:
        self._events = EventFile(self.folder.events, step)

    def _tell(self, add: Callable[[EventFile], None]) -> None:
        events = self._events
        if events is not None:
            self._try("TensorBoard's files", lambda: add(events))

    def _try(self, part: str, write: Callable[[], None]) -> None:
        if part in self._given_up:
            return
        try:
            write()
        except (OSError, TrainError) as error:
            self._given_up.add(part)
            reason = error.__cause__ or error
            logger.warning("%s cannot be written (%s): the training goes on without them", part, reason)


def _curve(name: str) -> str:
    """Name of a curve: TensorBoard groups by what stands before the slash."""
    held_out = name.removeprefix("val_")
    return f"held_out/{held_out}" if held_out != name else f"train/{name}"
