"""Adaptation of a network's weights to another number of exposures."""

import dataclasses
from collections import Counter
from collections.abc import Sequence

import torch

from model.correction import Channel, correction_channels, guide_channels
from model.errors import WeightsError
from model.guided import GuidedLanHdr, SmallLanHdr
from model.lite import LiteNet
from model.network import NetworkConfig
from model.pretrained import Network, build_network

# The meaning of a channel: what it holds, before (-1) or after (1) the reference or at it (0), whether its
# frame has the reference's exposure, and which of the frame's several channels of the kind it is.
Role = tuple[str, int, bool, int]


def adapt_weights(network: Network, nexps: int) -> Network:
    """Make a network for another number of exposures from a trained one.

    Weights that see all frames alike are copied. A weight of one frame goes to the frames of the same role: on the
    same side of the reference, and exposed as it is or not. Where one frame's role falls to two it is shared between
    them, and where two fall to one they are added, so that the network answers as before if the two show the same.

    Returns:
        A network in evaluation mode on the CPU; from two exposures to three and back is the identity.
    """
    adapted = build_network(dataclasses.replace(network.config, nexps=nexps))
    state = {name: tensor.detach().cpu() for name, tensor in network.state_dict().items()}
    for (name, dim, channels), (_, _, targets) in zip(_channels(network), _channels(adapted), strict=True):
        roles, target_roles = _roles(channels, network.config), _roles(targets, adapted.config)
        missing = set(target_roles) - set(roles)
        if missing:
            raise WeightsError(f"nothing to start {sorted(missing)[0][0]!r} from: train from random weights instead")
        counts = Counter(target_roles)
        table = torch.tensor([[(role == other) / counts[role] for other in roles] for role in target_roles])
        state[name] = torch.tensordot(table, state[name], dims=([1], [dim])).movedim(0, dim)
    adapted.load_state_dict(state)
    return adapted.eval()


def _channels(network: Network) -> list[tuple[str, int, Sequence[Channel]]]:
    """List the weights that know frames: the name, the dimension that counts channels, and each channel's meaning."""
    config = network.config
    guide, tail = guide_channels(config.nexps), correction_channels(config.nexps)
    if isinstance(network, LiteNet):
        return [("stem.weight", 1, guide), ("tail.weight", 0, tail), ("tail.bias", 0, tail)]
    prefix = "network." if isinstance(network, GuidedLanHdr) else ""
    frames = (*config.neighbors[: config.nexps], 0, *config.neighbors[config.nexps :])
    features = [("features", frame) for frame in frames for _ in range(config.channels)]
    head = f"{prefix}merge.head.weight"
    if isinstance(network, SmallLanHdr):
        tails = [(f"{prefix}merge.tail.{name}", 0, tail) for name in ("weight", "bias")]
        return [(head, 1, [*features, *guide]), *tails]
    guides = network.get_parameter(head).shape[1] - len(features)
    return [(head, 1, [*features, *[("guide", 0)] * guides])]


def _roles(channels: Sequence[Channel], config: NetworkConfig) -> list[Role]:
    counts: Counter[Channel] = Counter()
    roles = []
    for channel in channels:
        kind, frame = channel
        side = (frame > 0) - (frame < 0)
        roles.append((kind, side, frame % config.nexps == 0, counts[channel]))
        counts[channel] += 1
    return roles
