"""A plan of a training in words."""

from pathlib import Path

from lanhdr_cli.training_console import hours
from train.config import TrainConfig
from train.plan import Plan, kinds_in_words

GIB = 2**30


def plan_lines(plan: Plan, config: TrainConfig, *, path: Path) -> list[str]:
    """Say what a run would do, in lines of a name and its value.

    Args:
        plan: What was measured.
        config: What the run is told.
        path: The run's folder.
    """
    network, left = plan.network, config.steps - plan.first_step
    begun = f", going on after step {plan.first_step}" if plan.first_step else ""
    told = {
        "network": f"{network.design}, {network.output}, {network.nexps} exposures, windows of "
        f"{network.window_length} frames, {plan.parameters / 1e6:.2f} M parameters",
        "data": _data(plan, config),
        "batch": f"{config.batch} samples of two windows of {config.patch}x{config.patch} pixels",
        "steps": f"{left}{begun}: {left * config.batch} samples, {2 * left * config.batch} windows",
        "held out": _validation(config),
        "time": f"{plan.step_s:.2f} s a step on {plan.device}, {hours(plan.left_s)} h in all",
        "memory": _memory(plan, config),
        "disk": f"{path}: about {_mib(plan.disk)} and pictures, {plan.disk_free / GIB:.1f} GiB are free",
    }
    return [f"{name:<9} {value}" for name, value in told.items()]


def _data(plan: Plan, config: TrainConfig) -> str:
    found = kinds_in_words(plan.found)
    return f"{found} in {config.data}" if found else "procedural scenes alone; --data FOLDER brings pictures and clips"


def _validation(config: TrainConfig) -> str:
    if not config.validation_samples:
        return "none"
    origin = config.validation_data or "other draws of the training data"
    return f"{config.validation_samples} samples every {config.validate_every} steps, {origin}"


def _memory(plan: Plan, config: TrainConfig) -> str:
    if plan.memory is None:
        return "not told by this system"
    parts = [f"{plan.memory / GIB:.2f} GiB"]
    if plan.worker_memory is not None and config.workers:
        parts.append(f"{plan.worker_memory / GIB:.2f} GiB more in {config.workers} worker(s)")
    if plan.device_memory is not None:
        parts.append(f"{plan.device_memory / GIB:.2f} GiB of the device's")
    return ", ".join(parts)


def _mib(size: int) -> str:
    return f"{size / 2**20:.0f} MiB"
