"""What a run would take, found by taking a few of its steps: time, memory, space on the disk."""

import dataclasses
import multiprocessing
import shutil
import time
from collections.abc import Mapping, Sized
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

import torch

from model.network import NetworkConfig
from train.environment import device_name, peak_memory, process_bytes
from train.trainer import Trainer

# Workers prepare this many batches ahead, so the first steps are fed faster than all others.
BATCHES_AHEAD = 2
TIMED_STEPS, TIMED_S = 20, 10.0
LONGEST_S, FEWEST_STEPS = 90.0, 3
# Forward, backward and update take about three times as long as forward alone.
FORWARD_SHARE = 1 / 3
# Weights, their average and two moments in the checkpoint; its successor is whole before it goes; two files of weights.
WEIGHTS_ON_DISK = 4 + 4 + 2
BYTES = 4


@dataclass(frozen=True)
class Plan:
    """A run that has not begun.

    Args:
        network: What is trained.
        parameters: Number of its weights.
        device: Name of what computes.
        first_step: Number of finished steps.
        found: Pictures and clips to make samples of, by kind; empty for procedural scenes alone.
        step_s: Seconds per step, waiting for samples included.
        left_s: Seconds of all steps and validations that are left.
        memory: Peak of this process's memory in bytes; None if the system does not tell.
        worker_memory: What all workers together took besides, not counting what they share with this process, in
            bytes; None if the system does not tell.
        device_memory: Peak of a CUDA device's memory in bytes; None on a CPU.
        disk: Bytes that checkpoint and weights will take, pictures aside.
        disk_free: Bytes that are free where they would go.
    """

    network: NetworkConfig
    parameters: int
    device: str
    first_step: int
    found: dict[str, int]
    step_s: float
    left_s: float
    memory: int | None
    worker_memory: int | None
    device_memory: int | None
    disk: int
    disk_free: int


def make_plan(trainer: Trainer, path: Path) -> Plan:
    """Take steps of a run that will not be saved, until their pace is known: a few seconds, or three slow steps.

    Args:
        trainer: Of the run; of no use afterwards.
        path: The run's folder, which need not exist.

    Raises:
        LanHdrError: If a step fails.
    """
    config, weights = trainer.config, list(trainer.network.parameters())
    device, parameters = weights[0].device, sum(values.numel() for values in weights)
    step_s, worker_memory = _pace(trainer)
    left = config.steps - trainer.step
    validations = config.steps // config.validate_every - trainer.step // config.validate_every
    in_steps = FORWARD_SHARE * validations * config.validation_samples / config.batch
    return Plan(
        network=getattr(trainer.network, "config", config.network_config()),
        parameters=parameters,
        device=device_name(device),
        first_step=trainer.step,
        found=found_in(trainer.source),
        step_s=step_s,
        left_s=(left + in_steps) * step_s,
        memory=peak_memory(),
        worker_memory=worker_memory,
        device_memory=_device_memory(device),
        disk=WEIGHTS_ON_DISK * BYTES * parameters,
        disk_free=shutil.disk_usage(_existing(path)).free,
    )


def found_in(source: object) -> dict[str, int]:
    """Count what samples are made of, by kind; kinds that are missing are left out.

    Args:
        source: A `TrainingSet`, or another source of samples, which has nothing to count.
    """
    sources = getattr(source, "sources", None)
    if not dataclasses.is_dataclass(sources):
        return {}
    kinds = {field.name: getattr(sources, field.name) for field in dataclasses.fields(sources)}
    return {name: len(items) for name, items in kinds.items() if isinstance(items, Sized) and len(items)}


def kinds_in_words(found: Mapping[str, int]) -> str:
    """List what was found, `34 panoramas, 11 HDR photos`."""
    names = {kind: kind.replace("_", " ").replace("hdr", "HDR").replace("ldr", "LDR") for kind in found}
    return ", ".join(f"{count} {names[kind]}" for kind, count in found.items())


def _pace(trainer: Trainer) -> tuple[float, int | None]:
    """Return seconds per step once workers are no longer ahead, and the largest memory of the workers."""
    ahead = 1 + BATCHES_AHEAD * trainer.config.workers
    ends, workers = [time.monotonic()], [_workers_memory()]
    with closing(trainer.rehearse()) as steps:
        for _ in steps:
            ends.append(time.monotonic())
            workers.append(_workers_memory())
            if _known(ends, ahead=ahead):
                break
    first = min(ahead, len(ends) - 2)
    told = [memory for memory in workers if memory is not None]
    return (ends[-1] - ends[first]) / (len(ends) - 1 - first), max(told, default=None)


def _known(ends: list[float], *, ahead: int) -> bool:
    steps = len(ends) - 1
    if steps >= FEWEST_STEPS and ends[-1] - ends[0] > LONGEST_S:
        return True
    timed = steps - ahead
    return timed >= 1 and (timed >= TIMED_STEPS or ends[-1] - ends[ahead] > TIMED_S)


def _workers_memory() -> int | None:
    """Memory that the living workers do not share with anyone, in bytes."""
    workers = [
        [process_bytes(f"{child.pid}/smaps_rollup", name) for name in ("Private_Clean", "Private_Dirty")]
        for child in multiprocessing.active_children()
    ]
    told = [sizes for sizes in workers if None not in sizes]
    return sum(size or 0 for sizes in told for size in sizes) if len(told) == len(workers) else None


def _device_memory(device: torch.device) -> int | None:
    return torch.cuda.max_memory_reserved(device) if device.type == "cuda" else None


def _existing(path: Path) -> Path:
    """Return the nearest folder that exists."""
    path = path.resolve()
    return next(folder for folder in (path, *path.parents) if folder.is_dir())
