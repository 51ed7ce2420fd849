"""What every test shares: where things lie, and how many threads torch may take."""

import logging
import os
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch

from lanhdr_cli.console import LOGGERS

REPOSITORY = Path(__file__).resolve().parent.parent


def pytest_configure() -> None:
    """Give each parallel worker one thread, and the programs that it runs; more would fight over the same cores."""
    is_parallel = "PYTEST_XDIST_WORKER" in os.environ
    torch.set_num_threads(1 if is_parallel else min(2, os.cpu_count() or 1))
    if is_parallel:
        os.environ["OMP_NUM_THREADS"] = "1"


@pytest.fixture(autouse=True)
def _fresh_loggers() -> Iterator[None]:
    """Undo what a call of the command line sets, or later tests would see records twice or not at all."""
    yield
    for logger in map(logging.getLogger, LOGGERS):
        logger.handlers, logger.propagate = [], True
        logger.setLevel(logging.NOTSET)


@pytest.fixture(scope="session")
def repository() -> Path:
    """The root of the checkout."""
    return REPOSITORY


@pytest.fixture(scope="session")
def shared() -> Path:
    """The folder of reference fixtures beside the checkout; tests that need it are skipped where it is absent."""
    folder = REPOSITORY.parent / "shared"
    if not folder.is_dir():
        pytest.skip(f"no reference fixtures at {folder}")
    return folder


@pytest.fixture(scope="session")
def sample_clip() -> Path:
    """The bundled clip: 48 frames, 640x360, exposures 1 and 8, with sound."""
    return REPOSITORY / "tests" / "data" / "sample_bbb_1x8.mp4"
