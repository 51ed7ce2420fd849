"""Starting and resuming of runs: data, network, trainer and folder."""

import dataclasses
import sys
from functools import partial
from pathlib import Path
from typing import Any

import torch

from model.errors import WeightsError
from model.network import NetworkConfig
from model.pretrained import Network, build_network, load_network
from train.adapt_weights import adapt_weights
from train.checkpoint import Checkpoint, RunFolder
from train.config import TrainConfig
from train.data.folder import find_sources
from train.distributed import SINGLE, DistributedContext, restart_count
from train.dry_run import count_sources
from train.environment import command_line, describe_environment
from train.errors import TrainError
from train.synthesis.dataset import TrainingSet
from train.trainer import Trainer

# Not a seed that anyone trains with, and the same for all runs: their validations compare.
VALIDATION_SEED = 1_846_011_235
# Values that a resumed run may change: they leave the numbers of a step alone, `steps` stretches the schedule.
CHANGEABLE = frozenset(
    {"steps", "workers", "threads", "log_every", "validate_every", "checkpoint_minutes", "accumulate", "checkpointing"}
)


def start(
    config: TrainConfig,
    path: Path,
    *,
    device: torch.device,
    tensorboard: bool = False,
    dry: bool = False,
    context: DistributedContext = SINGLE,
) -> Trainer:
    """Begin a run in a new folder; a process that `torchrun` started in place of one that failed resumes it.

    A dry one leaves the disk alone: its trainer serves for a plan only.

    Raises:
        LanHdrError: If the folder is taken, or data or weights to start from cannot be read.
    """
    folder = RunFolder(path)
    is_restart = restart_count() > 0 and folder.checkpoint.exists()
    if is_restart and TrainConfig.from_dict(Checkpoint.load(folder.checkpoint).config) == config:
        return resume(path, {}, device=device, tensorboard=tensorboard, context=context)
    folder.check_unused()
    return _open_trainer(
        _initial_network(config).to(device), config, folder=folder, tensorboard=tensorboard, dry=dry, context=context
    )


def resume(
    path: Path,
    changes: dict[str, Any],
    *,
    device: torch.device,
    tensorboard: bool = False,
    dry: bool = False,
    context: DistributedContext = SINGLE,
) -> Trainer:
    """Resume a run from its last checkpoint, with `changes` of its config, see `CHANGEABLE`.

    Raises:
        LanHdrError: If there is no checkpoint or one of another network, a change is not possible, or the data is gone.
    """
    folder = RunFolder(path)
    checkpoint = Checkpoint.load(folder.checkpoint)
    config = TrainConfig.from_dict(checkpoint.config)
    refused = [
        f"{name} ({getattr(config, name)}, not {value})"
        for name, value in changes.items()
        if name not in CHANGEABLE and value != getattr(config, name)
    ]
    if refused:
        raise TrainError(f"a resumed run keeps its {', '.join(refused)}: leave it out, or begin with --init instead")
    config = dataclasses.replace(config, **changes)
    try:
        network = build_network(NetworkConfig(**checkpoint.design))
        network.load_state_dict(checkpoint.network)
    except (TypeError, RuntimeError, WeightsError) as error:
        design = ", ".join(f"{name} {value}" for name, value in checkpoint.design.items())
        reason = str(error).splitlines()[-1].strip()
        raise TrainError(
            f"{folder.checkpoint} holds a network ({design}) that this version builds otherwise ({reason}): go on with "
            "the version that began it, or begin anew"
        ) from error
    return _open_trainer(
        network.to(device),
        config,
        folder=folder,
        checkpoint=checkpoint,
        tensorboard=tensorboard,
        dry=dry,
        context=context,
    )


def _initial_network(config: TrainConfig) -> Network:
    torch.manual_seed(config.seed)
    if config.init is None:
        return build_network(config.network_config())
    network = load_network(config.init).network
    if network.config.design != config.network_config().design:
        size = {"lanhdr": "base"}.get(network.config.design, network.config.design)
        raise TrainError(
            f"{config.init} holds a network of size {size}, the run is to train {config.size}: pass --size {size} or "
            "other weights to --init"
        )
    if network.config.output != config.output:
        raise TrainError(
            f"{config.init} holds a network of {network.config.output} output, the recipe is for {config.output}: pass "
            f"--recipe {'lanhdr' if network.config.output == 'direct' else 'guided'}_{config.nexps}e or other weights"
        )
    return network if network.config.nexps == config.nexps else adapt_weights(network, config.nexps)


def _open_trainer(
    network: Network,
    config: TrainConfig,
    *,
    folder: RunFolder,
    checkpoint: Checkpoint | None = None,
    tensorboard: bool,
    dry: bool,
    context: DistributedContext,
) -> Trainer:
    """Make the trainer of a run, new or from a checkpoint, and note in its folder that it goes on."""
    torch.set_num_threads(config.threads)
    sources = find_sources(Path(config.data) if config.data else None)
    held_out = find_sources(Path(config.validation_data), "validation") if config.validation_data else sources
    frames = config.network_config().window_length + 1
    make_set = partial(TrainingSet, samples=config.sample_recipe(), patch=config.patch, frames=frames)
    validation = make_set(held_out, seed=VALIDATION_SEED)
    trainer = Trainer(
        network,
        config,
        source=make_set(sources, seed=config.seed),
        validation=[validation.sample(0, index) for index in context.shard(config.validation_samples)],
        folder=folder,
        tensorboard=tensorboard,
        context=context,
    )
    if checkpoint is not None:
        trainer.restore(checkpoint)
    if context.is_main and not dry:
        if checkpoint is None:
            folder.create(config)
        else:
            folder.reopen(config, checkpoint)
        session = describe_environment(next(network.parameters()).device, config.threads)
        session |= {"command": command_line(sys.argv), "data": count_sources(trainer.source)}
        folder.add_session(session, trainer.step)
    return trainer
