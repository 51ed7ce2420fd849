"""What a run tells of itself as it goes: rows of metrics, curves and pictures for TensorBoard, sheets of samples."""

import logging
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from torch import Tensor

from train.batches import Batch
from train.config import TrainError
from train.events import EventFile
from train.montage import encode_png
from train.run_folder import Row, RunFolder
from train.samples import contact_sheet

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
