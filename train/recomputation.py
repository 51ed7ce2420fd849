"""Activation checkpointing: half the memory for a third more time."""

from functools import partial

from torch import nn
from torch.utils.checkpoint import checkpoint

from model.alignment import AlignedDecoder
from model.blocks import PyramidEncoder, SpectralBlock
from model.hallucination import Hallucination
from model.lite import LiteBlock

# Parts whose inner results are many against what goes in and comes out.
UNITS = (LiteBlock, PyramidEncoder, AlignedDecoder, Hallucination, SpectralBlock)


def recompute_activations(network: nn.Module) -> None:
    """Let a network forget what its parts compute inside, and compute it again for the backward pass.

    Outputs and gradients stay the same. The network is changed in place; its weights keep their names.

    Args:
        network: Any network of `model`; of others, the parts that it has in common with those.
    """
    for part in network.children():
        if isinstance(part, UNITS):
            part.forward = partial(checkpoint, part.forward, use_reentrant=False)  # type: ignore[method-assign]
        else:
            recompute_activations(part)
