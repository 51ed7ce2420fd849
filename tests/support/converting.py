"""What tests of the conversion share: small weights, a network that is none, and EXR files read back."""

from pathlib import Path
from typing import Any

import numpy as np
import OpenEXR
import torch
from click.testing import CliRunner, Result
from numpy.typing import NDArray

from lanhdr_cli.conversion import ConvertJob, ReadyNetwork
from lanhdr_cli.main import cli
from lanhdr_cli.options import ExposureOptions
from model.exposure import ExposureCycle, FrameExposures
from model.network import LanHdr, NetworkConfig
from model.pretrained import build_network, save_network
from support.identity import Identity

TWO = ExposureCycle((1.0, 8.0))
THREE = ExposureCycle((1.0, 4.0, 16.0))


def job(
    source: Path,
    output: str,
    cycle: ExposureCycle | None = None,
    *,
    slips: bool = True,
    deflicker: bool = True,
    **options: Any,
) -> ConvertJob:
    """Make a job with exposures that are given."""
    exposures = ExposureOptions(cycle=cycle, slips=slips, deflicker=deflicker)
    return ConvertJob(source=source, output=output, exposures=exposures, **options)


def identity(job: ConvertJob, exposures: FrameExposures) -> ReadyNetwork:
    """Load a reconstructor that linearises each frame."""
    cycle = exposures.cycle
    network = Identity(2 * len(set(cycle.ratios)) + 1)
    return ReadyNetwork(reconstructor=network, name="identity", margin=2 * cycle.period)


def save_tiny(path: Path, *, nexps: int = 2) -> Path:
    """Save a narrow published network with random weights."""
    torch.manual_seed(0)
    network = LanHdr(NetworkConfig(nexps=nexps, channels=8, pyramid_channels=4))
    save_network(network, path, record={"name": f"{path.stem} test"}, half=False)
    return path


def save_lite(path: Path) -> Path:
    """Save an untrained lite network, which returns its start."""
    torch.manual_seed(0)
    config = NetworkConfig(design="lite", output="guided", channels=16, pyramid_channels=16)
    save_network(build_network(config), path, record={"name": "lite test"}, half=False)
    return path


def read_exr(path: Path) -> tuple[NDArray[np.float16], dict[str, object]]:
    """Pixels and header of a file."""
    with OpenEXR.File(str(path)) as file:
        return file.channels()["RGB"].pixels.copy(), dict(file.header())


def invoke(*arguments: object) -> Result:
    """Call the command line."""
    return CliRunner().invoke(cli, [str(argument) for argument in arguments])
