"""Metrics, TensorBoard curves and contact sheets of a run."""

import importlib.util
import logging
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from torch import Tensor

from train.checkpoint import Row, RunFolder, write_atomically
from train.data.loader import Batch
from train.errors import TrainError
from train.montage import contact_sheet, encode_png

if TYPE_CHECKING:
    from torch.utils.tensorboard import SummaryWriter

log = logging.getLogger(__name__)


def tensorboard_found() -> bool:
    """Return whether the `tensorboard` package is installed, without importing it."""
    return importlib.util.find_spec("tensorboard") is not None


@dataclass
class RunLogger:
    """Writes metrics, curves and sheets into the folder of a run.

    Rows of metrics must be written. Curves and sheets are for people to look at: where the disk refuses them, a
    warning says so once and the training goes on without.
    """

    folder: RunFolder
    tensorboard: bool = field(default=False, kw_only=True)  # needs the package
    _writer: "SummaryWriter | None" = field(default=None, init=False)
    _failed: set[str] = field(default_factory=set, init=False)

    @contextmanager
    def open(self, step: int) -> Iterator[None]:
        """Open TensorBoard's file for this context; events after `step` of an earlier session are hidden."""
        if self.tensorboard:
            from torch.utils.tensorboard import SummaryWriter

            with self._optional("TensorBoard's files"):
                self._writer = SummaryWriter(str(self.folder.events), purge_step=step + 1)
        try:
            yield
        finally:
            if self._writer is not None:
                with self._optional("TensorBoard's files"):
                    self._writer.close()
                self._writer = None

    def log(self, row: Row) -> None:
        """Add a row of metrics; raise a TrainError if the disk refuses metrics.jsonl."""
        self.folder.append(row)
        if self._writer is not None:
            with self._optional("TensorBoard's files"):
                for name, value in row.items():
                    group, curve = ("held_out", name[4:]) if name.startswith("val_") else ("train", name)
                    if name != "step":
                        self._writer.add_scalar(f"{group}/{curve}", value, int(row["step"]))
                self._writer.flush()

    def show(self, network: Callable[[Tensor, Tensor, Tensor], Any], batches: Sequence[Batch], *, step: int) -> None:
        """Add a contact sheet of held-out windows, if there are any: batches of two windows of one sample each."""
        if not batches:
            return
        sheet = contact_sheet(network, batches)
        with self._optional("samples"):
            write_atomically(self.folder.samples / f"step_{step:06d}.png", encode_png(sheet))
        if self._writer is not None:
            with self._optional("TensorBoard's files"):
                self._writer.add_image("held_out", sheet, step, dataformats="HWC")

    @contextmanager
    def _optional(self, part: str) -> Iterator[None]:
        """Turn a refusal of the disk into a warning, once per part."""
        try:
            yield
        except (OSError, TrainError) as error:
            if part not in self._failed:
                reason = error.__cause__ or error
                log.warning("%s cannot be written (%s): the training goes on without them", part, reason)
            self._failed.add(part)
