"""From a network for one number of exposures to one for another, with what it has learned."""

import dataclasses
from collections import Counter
from collections.abc import Sequence

import torch
from torch import Tensor

from model.errors import WeightsError
from model.guided import GuidedLanHdr
from model.lite import Channel, LiteNet, stem_channels, tail_channels
from model.network import NetworkConfig
from model.pretrained import Network, build_network

# What a channel means to the network: what it holds, before (-1) or after (1) the reference or at it (0), whether its
# frame has the reference's exposure, and which of the frame's several channels of the kind it is.
Role = tuple[str, int, bool, int]


def adapt_weights(network: Network, nexps: int) -> Network:
    """Make a network for another number of exposures from a trained one.

    Weights that see all frames alike are copied. A weight of one frame goes to the frames of the same role: on the
    same side of the reference, and exposed as it is or not. Where one frame's role falls to two it is shared between
    them, and where two fall to one they are added, so that the network answers as before if the two show the same.

    Args:
        network: The trained network.
        nexps: Number of exposures that the new one is for, 2 or 3.

    Returns:
        A network in evaluation mode on the CPU; from two exposures to three and back is the identity.
    """
    grown = build_network(dataclasses.replace(network.config, nexps=nexps))
    state = {name: tensor.detach().cpu() for name, tensor in network.state_dict().items()}
    shapes = zip(_channels(network), _channels(grown), strict=True)
    for (name, dim, channels), (_, _, wanted) in shapes:
        table = _shares(_roles(channels, network.config), _roles(wanted, grown.config))
        state[name] = torch.tensordot(table, state[name], dims=([1], [dim])).movedim(0, dim)
    grown.load_state_dict(state)
    return grown.eval()


def _channels(network: Network) -> list[tuple[str, int, Sequence[Channel]]]:
    """List the weights that know frames: the name, the dimension that counts channels, and what each channel is."""
    config = network.config
    if isinstance(network, LiteNet):
        tail = tail_channels(config)
        return [("stem.weight", 1, stem_channels(config)), ("tail.weight", 0, tail), ("tail.bias", 0, tail)]
    own = "network." if isinstance(network, GuidedLanHdr) else ""
    frames = [
        ("features", frame) for frame in (*config.neighbors[: config.nexps], 0, *config.neighbors[config.nexps :])
    ]
    stacked = [channel for channel in frames for _ in range(config.channels)]
    head = f"{own}merge.head.weight"
    guide = network.get_parameter(head).shape[1] - len(stacked)
    return [(head, 1, [*stacked, *[("guide", 0)] * guide])]


def _roles(channels: Sequence[Channel], config: NetworkConfig) -> list[Role]:
    seen: Counter[Channel] = Counter()
    roles = []
    for channel in channels:
        what, frame = channel
        side = (frame > 0) - (frame < 0)
        roles.append((what, side, frame % config.nexps == 0, seen[channel]))
        seen[channel] += 1
    return roles


def _shares(given: Sequence[Role], wanted: Sequence[Role]) -> Tensor:
    """Tell how much of each given channel each wanted one gets, (wanted, given)."""
    missing = set(wanted) - set(given)
    if missing:
        raise WeightsError(f"nothing to start {sorted(missing)[0][0]!r} from: train from random weights instead")
    takers = Counter(wanted)
    return torch.tensor([[(role == other) / takers[role] for other in given] for role in wanted])
