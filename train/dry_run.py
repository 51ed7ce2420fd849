"""Time, memory and disk space that a run would take, measured on a few of its steps."""

import dataclasses
import shutil
import time
from collections.abc import Mapping, Sized
from dataclasses import dataclass
from pathlib import Path

import torch

from model.network import NetworkConfig
from train.diagnostics import memory_advice
from train.environment import device_name, peak_memory
from train.trainer import Trainer

BATCHES_AHEAD = 2  # workers prepare so many batches, so the first steps are fed faster than all others
TIMED_STEPS, TIMED_S = 20, 10.0
LONGEST_S, FEWEST_STEPS = 90.0, 3
FORWARD_SHARE = 1 / 3  # forward, backward and update take about three times as long as forward alone
# Weights, their average and two moments in the checkpoint; its successor is whole before it goes; two files of weights.
WEIGHTS_ON_DISK = 4 + 4 + 2
BYTES = 4


@dataclass(frozen=True, kw_only=True)
class Plan:
    """A run that has not begun."""

    network: NetworkConfig
    parameters: int
    device: str
    first_step: int
    sources: dict[str, int]  # number of pictures and clips by kind; empty for procedural scenes alone
    step_s: float  # seconds per step, waiting for samples included
    left_s: float  # seconds of all steps and validations that are left
    memory: int | None  # peak of this process's memory in bytes; None if the system does not tell
    device_memory: int | None  # peak of a CUDA device's memory in bytes; None on a CPU
    disk: int  # bytes of checkpoint and weights, pictures aside
    disk_free: int  # free bytes where they would go


def make_plan(trainer: Trainer, path: Path) -> Plan:
    """Take steps of a run without saving until their pace is known: a few seconds, or three slow steps.

    The network learns from them, so the trainer is of no use for the run afterwards.

    Raises:
        LanHdrError: If a step fails.
    """
    config, weights = trainer.config, list(trainer.network.parameters())
    device, parameters = weights[0].device, sum(values.numel() for values in weights)
    first_step = trainer.step
    step_s = _step_seconds(trainer)
    validations = config.steps // config.validate_every - first_step // config.validate_every
    validation_steps = FORWARD_SHARE * validations * config.validation_samples / config.batch
    path = path.resolve()
    return Plan(
        network=getattr(trainer.network, "config", config.network_config()),
        parameters=parameters,
        device=device_name(device),
        first_step=first_step,
        sources=count_sources(trainer.source),
        step_s=step_s,
        left_s=(config.steps - first_step + validation_steps) * step_s,
        memory=peak_memory(),
        device_memory=torch.cuda.max_memory_reserved(device) if device.type == "cuda" else None,
        disk=WEIGHTS_ON_DISK * BYTES * parameters,
        disk_free=shutil.disk_usage(next(folder for folder in (path, *path.parents) if folder.is_dir())).free,
    )


def count_sources(source: object) -> dict[str, int]:
    """Count the pictures and clips of a `TrainingSet` by kind; other sources of samples have none."""
    sources = getattr(source, "sources", None)
    if not dataclasses.is_dataclass(sources):
        return {}
    kinds = {field.name: getattr(sources, field.name) for field in dataclasses.fields(sources)}
    return {name: len(items) for name, items in kinds.items() if isinstance(items, Sized) and len(items)}


def format_sources(counts: Mapping[str, int]) -> str:
    """List counts by kind, `34 panoramas, 11 HDR photos`."""
    names = {kind: kind.replace("_", " ").replace("hdr", "HDR").replace("ldr", "LDR") for kind in counts}
    return ", ".join(f"{count} {names[kind]}" for kind, count in counts.items())


def _step_seconds(trainer: Trainer) -> float:
    """Time steps once the workers are no longer ahead."""
    ahead = 1 + BATCHES_AHEAD * trainer.config.workers
    times = [time.monotonic()]
    with memory_advice(trainer.config, processes=1):
        for parts, _ in trainer.batches():
            trainer.train_step(parts)
            times.append(time.monotonic())
            count = len(times) - 1
            if count >= FEWEST_STEPS and times[-1] - times[0] > LONGEST_S:
                break
            if count > ahead and (count - ahead >= TIMED_STEPS or times[-1] - times[ahead] > TIMED_S):
                break
    first = min(ahead, len(times) - 2)
    return (times[-1] - times[first]) / (len(times) - 1 - first)
