"""Puts a run together: sources, network, validation, folder."""

import dataclasses
import json
from pathlib import Path
from typing import Any

import torch

from model.network import NetworkConfig
from model.pretrained import Network, build_network, load_network, save_network
from train.checkpoint import Checkpoint
from train.config import TrainConfig, TrainError
from train.datasets.sources import Sources, find_sources
from train.loop import Export, Trainer
from train.run_folder import Row, RunFolder
from train.synthesis import TrainingSet
from train.transplant import transplant

# Not a seed that anyone trains with, and the same for all runs: their validations compare.
VALIDATION_SEED = 1_846_011_235
CHANGEABLE = frozenset({"steps", "workers", "threads", "log_every", "validate_every", "checkpoint_minutes"})


def start(config: TrainConfig, path: Path, *, device: torch.device) -> Trainer:
    """Begin a run.

    Args:
        config: What the run is told.
        path: Its folder, made here.
        device: Where the network computes.

    Raises:
        LanHdrError: If the folder is taken, or data or weights to start from cannot be read.
    """
    network = _initial_network(config)
    trainer = _trainer(network, config, path=path, device=device)
    RunFolder(path).create(config)
    return trainer


def resume(path: Path, changes: dict[str, Any], *, device: torch.device) -> Trainer:
    """Go on with a run from its last checkpoint.

    Args:
        path: The run's folder.
        changes: Values of the config to replace; only such as leave the numbers of a step alone, and `steps`,
            which stretches the learning rate's schedule.
        device: Where the network computes.

    Raises:
        LanHdrError: If there is no checkpoint, a change is not possible, or the data is gone.
    """
    checkpoint = Checkpoint.load(RunFolder(path).checkpoint)
    config = _changed(checkpoint.train_config(), changes)
    network = build_network(NetworkConfig(**checkpoint.design))
    trainer = _trainer(network, config, path=path, device=device)
    trainer.restore(checkpoint)
    RunFolder(path).reopen(config, checkpoint)
    return trainer


def _changed(config: TrainConfig, changes: dict[str, Any]) -> TrainConfig:
    stored = config.as_dict()
    refused = [
        f"{name} ({stored[name]})" for name in changes if name not in CHANGEABLE and changes[name] != stored[name]
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
    return network if network.config.nexps == config.nexps else transplant(network, config.nexps)


def _trainer(network: Network, config: TrainConfig, *, path: Path, device: torch.device) -> Trainer:
    torch.set_num_threads(config.threads)
    sources = find_sources(Path(config.data) if config.data else None)
    held_out = find_sources(Path(config.validation_data)) if config.validation_data else sources
    validation = _training_set(held_out, config, seed=VALIDATION_SEED)
    layout = torch.channels_last if config.channels_last else torch.preserve_format
    return Trainer(
        network.to(device, memory_format=layout),  # type: ignore[call-overload]
        config,
        source=_training_set(sources, config, seed=config.seed),
        validation=[validation.sample(0, index) for index in range(config.validation_samples)],
        folder=RunFolder(path),
        export=_exporter(config, name=path.resolve().name),
        design=dataclasses.asdict(network.config),
    )


def _training_set(sources: Sources, config: TrainConfig, *, seed: int) -> TrainingSet:
    frames = config.network_config().window_length + 1
    return TrainingSet(sources, config.nexps, patch=config.patch, frames=frames, seed=seed)


def _exporter(config: TrainConfig, *, name: str) -> Export:
    def export(network: Any, figures: Row, path: Path) -> None:
        record = {"name": name, "training": json.dumps(config.as_dict())}
        record |= {key: f"{value:g}" for key, value in figures.items()}
        save_network(network, path, record=record, half=False)

    return export
