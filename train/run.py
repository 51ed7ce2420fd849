"""Puts a run together: sources, network, validation, folder."""

import dataclasses
import json
import sys
from pathlib import Path
from typing import Any

import torch

from model.errors import WeightsError
from model.network import NetworkConfig
from model.pretrained import Network, build_network, load_network, save_network
from train.adapt_weights import transplant
from train.checkpoint import Checkpoint, Row, RunFolder
from train.config import TrainConfig
from train.data.folder import Sources, find_sources
from train.distributed import ALONE, Team, restarted
from train.dry_run import count_sources
from train.environment import Environment, command_line, describe_environment
from train.errors import TrainError
from train.logger import RunLogger
from train.synthesis.dataset import TrainingSet
from train.trainer import Export, Trainer

# Not a seed that anyone trains with, and the same for all runs: their validations compare.
VALIDATION_SEED = 1_846_011_235
CHANGEABLE = frozenset(
    {
        *("steps", "workers", "threads", "log_every", "validate_every", "checkpoint_minutes"),
        *("accumulate", "checkpointing"),
    }
)


def start(
    config: TrainConfig,
    path: Path,
    *,
    device: torch.device,
    tensorboard: bool = False,
    dry: bool = False,
    team: Team = ALONE,
) -> Trainer:
    """Begin a run; a process that `torchrun` started in place of one that failed goes on with it.

    Args:
        config: What the run is told.
        path: Its folder, made here.
        device: Where the network computes.
        tensorboard: Whether to write for TensorBoard, which then must be installed.
        dry: Whether to leave the disk alone: the trainer serves for a plan only.
        team: The processes that train together.

    Raises:
        LanHdrError: If the folder is taken, or data or weights to start from cannot be read.
    """
    folder = RunFolder(path)
    if restarted() and _holds(folder, config):
        return resume(path, {}, device=device, tensorboard=tensorboard, team=team)
    folder.demand_free()
    network = _initial_network(config)
    trainer = _trainer(network, config, journal=_journal(folder, tensorboard, team=team), device=device, team=team)
    if team.leads and not dry:
        folder.create(config)
        folder.note_session(_circumstances(trainer, device), trainer.step)
    return trainer


def resume(
    path: Path,
    changes: dict[str, Any],
    *,
    device: torch.device,
    tensorboard: bool = False,
    dry: bool = False,
    team: Team = ALONE,
) -> Trainer:
    """Go on with a run from its last checkpoint.

    Args:
        path: The run's folder.
        changes: Values of the config to replace; only such as leave the numbers of a step alone, and `steps`,
            which stretches the learning rate's schedule.
        device: Where the network computes.
        tensorboard: Whether to write for TensorBoard, which then must be installed.
        dry: Whether to leave the disk alone: the trainer serves for a plan only.
        team: The processes that train together.

    Raises:
        LanHdrError: If there is no checkpoint or one of another network, a change is not possible, or the data is gone.
    """
    folder = RunFolder(path)
    checkpoint = Checkpoint.load(folder.checkpoint)
    config = _changed(checkpoint.train_config(), changes)
    network = _stored_network(checkpoint, folder.checkpoint)
    trainer = _trainer(network, config, journal=_journal(folder, tensorboard, team=team), device=device, team=team)
    trainer.restore(checkpoint)
    if team.leads and not dry:
        folder.reopen(config, checkpoint)
        folder.note_session(_circumstances(trainer, device), trainer.step)
    return trainer


def _holds(folder: RunFolder, config: TrainConfig) -> bool:
    """Say whether the folder holds a run of just this config: one that the process before this one began."""
    return folder.checkpoint.exists() and Checkpoint.load(folder.checkpoint).train_config() == config


def _journal(folder: RunFolder, tensorboard: bool, *, team: Team) -> RunLogger:
    return RunLogger(folder, tensorboard=tensorboard and team.leads)


def _circumstances(trainer: Trainer, device: torch.device) -> Environment:
    """Tell with what and on what a session trains."""
    session = {"command": command_line(sys.argv), "data": count_sources(trainer.source)}
    return describe_environment(device, trainer.config.threads) | session


def _stored_network(checkpoint: Checkpoint, path: Path) -> Network:
    """Build the network of a checkpoint, with its weights."""
    try:
        network = build_network(NetworkConfig(**checkpoint.design))
        network.load_state_dict(checkpoint.network)
    except (TypeError, RuntimeError, WeightsError) as error:
        design = ", ".join(f"{name} {value}" for name, value in checkpoint.design.items())
        reason = str(error).splitlines()[-1].strip()
        raise TrainError(
            f"{path} holds a network ({design}) that this version builds otherwise ({reason}): go on with the version "
            "that began it, or begin anew"
        ) from error
    return network


def _changed(config: TrainConfig, changes: dict[str, Any]) -> TrainConfig:
    stored = config.as_dict()
    refused = [
        f"{name} ({stored[name]}, not {value})"
        for name, value in changes.items()
        if name not in CHANGEABLE and value != stored[name]
    ]
    if refused:
        raise TrainError(f"a resumed run keeps its {', '.join(refused)}: leave it out, or begin with --init instead")
    return dataclasses.replace(config, **changes)


def _initial_network(config: TrainConfig) -> Network:
    torch.manual_seed(config.seed)
    if config.init is None:
        return build_network(config.network_config())
    network = load_network(config.init).network
    wanted = config.network_config().design
    if network.config.design != wanted:
        sizes = {"lite": "lite", "lanhdr": "base"}
        raise TrainError(
            f"{config.init} holds a network of size {sizes[network.config.design]}, the run is to train {config.size}: "
            f"pass --size {sizes[network.config.design]} or other weights to --init"
        )
    if network.config.output != config.output:
        raise TrainError(
            f"{config.init} holds a network of {network.config.output} output, the recipe is for {config.output}: pass "
            f"--recipe {'lanhdr' if network.config.output == 'direct' else 'guided'}_{config.nexps}e or other weights"
        )
    return network if network.config.nexps == config.nexps else transplant(network, config.nexps)


def _trainer(network: Network, config: TrainConfig, *, journal: RunLogger, device: torch.device, team: Team) -> Trainer:
    torch.set_num_threads(config.threads)
    sources = find_sources(Path(config.data) if config.data else None)
    held_out = find_sources(Path(config.validation_data), "validation") if config.validation_data else sources
    validation = _training_set(held_out, config, seed=VALIDATION_SEED)
    return Trainer(
        network.to(device),
        config,
        source=_training_set(sources, config, seed=config.seed),
        validation=[validation.sample(0, index) for index in team.own(config.validation_samples)],
        folder=journal.folder,
        export=_exporter(journal.folder.path.resolve().name),
        design=dataclasses.asdict(network.config),
        journal=journal,
        team=team,
    )


def _training_set(sources: Sources, config: TrainConfig, *, seed: int) -> TrainingSet:
    frames = config.network_config().window_length + 1
    return TrainingSet(sources, config.sample_recipe(), patch=config.patch, frames=frames, seed=seed)


def _exporter(name: str) -> Export:
    def export(network: Any, config: TrainConfig, figures: Row, path: Path) -> None:
        record = {"name": name, "training": json.dumps(config.as_dict())}
        record |= {key: f"{value:.10g}" for key, value in figures.items()}
        save_network(network, path, record=record, half=False)

    return export
