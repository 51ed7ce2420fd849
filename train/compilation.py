"""torch.compile, where there is something to compile with."""

import importlib.util
import logging
import os
import shutil

import torch
from torch import nn

logger = logging.getLogger(__name__)


def compile_network(network: nn.Module, device: torch.device) -> bool:
    """Let torch compile a network when it is first called; without a compiler a warning says so and nothing changes.

    Args:
        network: Changed in place; its weights keep their names.
        device: Where it computes.

    Returns:
        Whether it will be compiled.
    """
    missing = missing_compiler(device)
    if missing is not None:
        logger.warning("--compile needs %s, which was not found: the network runs uncompiled", missing)
        return False
    network.compile()
    return True


def missing_compiler(device: torch.device) -> str | None:
    """Name what torch.compile misses: a C++ compiler for a CPU, Triton for a GPU; None if all is there."""
    if device.type == "cuda":
        return None if importlib.util.find_spec("triton") else "the package triton"
    compiler = os.environ.get("CXX", "g++")
    return None if shutil.which(compiler) else f"the compiler {compiler}"
