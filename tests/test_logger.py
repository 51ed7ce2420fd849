"""What a run tells of itself: curves and pictures that TensorBoard reads back, and a full disk that stops neither."""

import logging
import resource
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
import torch
from support.tiny_training import TinyNetwork, TinySource, tiny_config

from train.checkpoint import RunFolder
from train.data.loader import Batch
from train.logger import RunLogger, tensorboard_found
from train.montage import CAPTION_HEIGHT, contact_sheet

needs_tensorboard = pytest.mark.skipif(not tensorboard_found(), reason="TensorBoard is not installed")


def read_events(folder: Path) -> Any:
    """What TensorBoard itself sees in a folder."""
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    seen = EventAccumulator(str(folder), {"scalars": 0, "images": 0})
    seen.Reload()
    return seen


def held_out(count: int = 2) -> list[Batch]:
    return [Batch.of([TinySource(seed=1).sample(0, index)]) for index in range(count)]


def new_folder(path: Path) -> RunFolder:
    RunFolder(path).create(tiny_config())
    return RunFolder(path)


@needs_tensorboard
def test_tensorboard_reads_curves_and_pictures_back(tmp_path: Path) -> None:
    folder = new_folder(tmp_path / "run")
    logger = RunLogger(folder, tensorboard=True)
    with logger.open(0):
        logger.log({"step": 10, "loss": 0.5, "lr": 1e-4})
        logger.log({"step": 20, "loss": 0.25, "lr": 1e-4})
        logger.log({"step": 20, "val_psnr_t": 31.5})
        logger.show(TinyNetwork().eval(), held_out(), step=20)
    seen = read_events(folder.events)
    assert set(seen.Tags()["scalars"]) == {"train/loss", "train/lr", "held_out/psnr_t"}
    assert [(event.step, event.value) for event in seen.Scalars("train/loss")] == [(10, 0.5), (20, 0.25)]
    (picture,) = seen.Images("held_out")
    assert picture.step == 20
    pixels = cv2.imdecode(np.frombuffer(picture.encoded_image_string, np.uint8), cv2.IMREAD_COLOR)
    np.testing.assert_array_equal(pixels, cv2.imread(str(folder.samples / "step_000020.png")))


@needs_tensorboard
def test_a_resumed_run_hides_curves_after_its_checkpoint(tmp_path: Path) -> None:
    folder = new_folder(tmp_path / "run")
    for first, steps in ((0, (10, 20, 30)), (20, (25, 35))):
        logger = RunLogger(folder, tensorboard=True)
        with logger.open(first):
            for step in steps:
                logger.log({"step": step, "loss": float(first)})
    curve = read_events(folder.events).Scalars("train/loss")
    assert [(event.step, event.value) for event in curve] == [(10, 0.0), (20, 0.0), (25, 20.0), (35, 20.0)]


def test_without_tensorboard_rows_and_sheets_are_written(tmp_path: Path) -> None:
    folder = new_folder(tmp_path / "run")
    logger = RunLogger(folder)
    with logger.open(0):
        logger.log({"step": 1, "loss": 0.5})
        logger.show(TinyNetwork().eval(), held_out(), step=500)
        logger.show(TinyNetwork().eval(), [], step=1000)
    assert folder.rows() == [{"step": 1, "loss": 0.5}]
    assert not folder.events.exists()
    assert [path.name for path in (folder.path / "samples").iterdir()] == ["step_000500.png"]


def test_a_sheet_shows_inputs_start_output_truth_and_error() -> None:
    batches = held_out(6)
    sheet = contact_sheet(TinyNetwork().eval(), batches)
    assert sheet.shape == (CAPTION_HEIGHT + 4 * 8, 6 * 8, 3)  # four rows at most, of 8x8 pixels
    rows = torch.from_numpy(sheet[CAPTION_HEIGHT:]).reshape(4, 8, 6, 8, 3).permute(0, 2, 4, 1, 3) / 255
    # Exposures are 1, 8, 1, 8, 1, so the middle frame is the short one of first windows and the long one of second.
    torch.testing.assert_close(rows[0, 0], batches[0].ldr[0, 2], atol=0.5 / 255, rtol=0)
    torch.testing.assert_close(rows[0, 1], batches[0].ldr[0, 1], atol=0.5 / 255, rtol=0)
    torch.testing.assert_close(rows[1, 1], batches[1].ldr[1, 2], atol=0.5 / 255, rtol=0)
    error = 10 * (rows[:, 3] - rows[:, 4]).abs()
    # Both codes are rounded, and so is their difference: 10 * (0.5 + 0.5) + 0.5 codes.
    torch.testing.assert_close(rows[:, 5], error.clamp(0, 1), atol=10.5 / 255, rtol=0)
    assert error.max() > 0.1


def test_a_sheet_of_a_network_without_start_has_a_column_less() -> None:
    network = TinyNetwork().eval()

    class Direct:
        def __init__(self, radiance: torch.Tensor) -> None:
            self.radiance = radiance

    def answer(ldr: torch.Tensor, exposures: torch.Tensor, precision: torch.Tensor) -> Direct:
        return Direct(network(ldr, exposures, precision).radiance)

    sheet = contact_sheet(answer, held_out(1))
    assert sheet.shape[1] == 5 * 8


def test_sheets_are_in_color(tmp_path: Path) -> None:
    folder = new_folder(tmp_path / "run")
    batch = held_out(1)[0]
    batch.ldr[:] = torch.tensor([1.0, 0.5, 0.0]).view(3, 1, 1)
    RunLogger(folder).show(TinyNetwork().eval(), [batch], step=1)
    read = cv2.imread(str(folder.samples / "step_000001.png"))
    assert read is not None
    assert read[CAPTION_HEIGHT + 3, 3].tolist() == [0, 128, 255]  # OpenCV's order is blue, green, red


def test_a_folder_that_refuses_samples_is_told_once(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    folder = new_folder(tmp_path / "run")
    (folder.path / "samples").write_text("in the way")
    logger = RunLogger(folder)
    with caplog.at_level(logging.WARNING):
        for step in (1, 2):
            logger.show(TinyNetwork().eval(), held_out(), step=step)
            logger.log({"step": step, "loss": 0.5})
    assert len(caplog.records) == 1
    assert "samples cannot be written" in caplog.text
    assert "the training goes on without them" in caplog.text
    assert [row["step"] for row in folder.rows()] == [1, 2]


FULL_DISK = """
import sys
from pathlib import Path
sys.path.insert(0, {tests!r})
from test_logger import held_out, limit_files, new_folder
from support.tiny_training import TinyNetwork
from train.logger import RunLogger

folder = new_folder(Path({run!r}))
limit_files(3000)
logger = RunLogger(folder, tensorboard=True)
with logger.open(0):
    for step in range(1, 4):
        logger.log({{"step": step, "loss": 0.5}})
        logger.show(TinyNetwork().eval(), held_out(), step=step)
print(len(folder.rows()))
"""


def limit_files(size: int) -> None:
    """Let files of this process grow to `size` bytes and refuse more, as a full disk does."""
    signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, size))


@needs_tensorboard
def test_a_disk_that_fills_up_keeps_rows_and_warns_once_of_each_part(tmp_path: Path, repository: Path) -> None:
    program = FULL_DISK.format(tests=str(repository / "tests"), run=str(tmp_path / "run"))
    done = subprocess.run([sys.executable, "-c", program], cwd=repository, capture_output=True, text=True, timeout=100)
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip() == "3"
    for part in ("TensorBoard's files", "samples"):
        assert done.stderr.count(f"{part} cannot be written") == 1
    assert not [path for path in (tmp_path / "run").rglob("*") if "partial" in path.name]
