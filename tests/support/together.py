"""One step of a small run, alone or with other processes; run as a program it leaves its gradients."""

import sys
from pathlib import Path

import torch
from torch import Tensor, nn

from model.lite import LiteNet
from model.network import NetworkConfig
from support.tiny_training import TinySource, tiny_config
from train.checkpoint import RunFolder
from train.distributed import SINGLE, DistributedContext, init_distributed
from train.trainer import Trainer


def lite() -> LiteNet:
    """A small network whose last layer is not zero, so that all others have gradients."""
    torch.manual_seed(0)
    network = LiteNet(NetworkConfig(nexps=2, design="lite", output="guided", channels=8, pyramid_channels=4))
    nn.init.normal_(network.tail.weight, std=0.05)
    return network


def gradients_of_one_step(path: Path, *, context: DistributedContext = SINGLE, **values: object) -> dict[str, Tensor]:
    """Train one step of a batch of 4 into a folder; return the gradients that it took, by name."""
    fixed = {"batch": 4, "steps": 1, "clip_norm": 1e9, "precision": "float32", "validation_samples": 3}
    config = tiny_config(**(fixed | values))
    folder = RunFolder(path)
    if context.is_main:
        folder.create(config)
    trainer = Trainer(
        lite(),
        config,
        source=TinySource(patch=32),
        validation=[TinySource(seed=1, patch=32).sample(0, index) for index in context.shard(3)],
        folder=folder,
        context=context,
    )
    trainer.run(lambda _row: None)
    return {name: weight.grad for name, weight in trainer.network.named_parameters() if weight.grad is not None}


if __name__ == "__main__":
    torch.set_num_threads(1)
    with init_distributed(torch.device("cpu")) as own_context:
        found = gradients_of_one_step(Path(sys.argv[1]) / "run", context=own_context)
        torch.save(found, Path(sys.argv[1]) / f"gradients{own_context.rank}.pt")
