"""Weights: files of our own, published checkpoints, and those in the box."""

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Literal, get_args

import safetensors.torch
import torch
from safetensors import SafetensorError, safe_open
from torch import Tensor

from model.device import resolve_device
from model.errors import WeightsError
from model.files import atomic_write
from model.guided import GuidedLanHdr, SmallLanHdr
from model.lite import LiteNet
from model.network import LanHdr, NetworkConfig
from model.reconstruct import Reconstructor
from model.weights_check import check_checkpoint, check_safetensors

Network = LanHdr | GuidedLanHdr | LiteNet
DESIGNS: dict[tuple[str, str], type[Network]] = {
    ("lanhdr", "direct"): LanHdr,
    ("lanhdr", "guided"): GuidedLanHdr,
    ("small", "guided"): SmallLanHdr,
    ("lite", "guided"): LiteNet,
}
NUMBER_WORDS = {2: "two", 3: "three"}
NAMES_SHOWN = 4
LONGEST_NAME = 80  # of a tensor in messages
LARGEST_WIDTH = 1024
FARTHEST_STEP = 1 << 62

# From the published state dict to ours, applied in this order to each key: first the box, then what is inside it.
PUBLISHED_PREFIXES = (
    ("align.mov_extractor.", "neighbor_encoder."),
    ("align.ref_extractor.", "reference_encoder."),
    ("align.FE_KQ.", "attention.luminance_encoder."),
    ("align.FE_V.", "attention.color_encoder."),
    ("align.Transformer.embed.", "attention.embedding."),
    ("align.Recon.s3.conv_head.", "aligned_decoder.head."),
    ("align.Recon.s3.RBs.", "aligned_decoder.body."),
    ("align.Recon.s3.conv_tail.", "aligned_decoder.tail."),
    ("align.Recon.up_8_4.", "aligned_decoder.up.0."),
    ("align.Recon.up_4_2.", "aligned_decoder.up.1."),
    ("align.Recon.up_2_1.", "aligned_decoder.up.2."),
    ("align.Recon.conv_final1.", "aligned_decoder.final."),
    ("align.Fuser.RB_head.", "hallucination.head."),
    ("align.Fuser.RBs.", "hallucination.body."),
    ("align.Fuser.conv_tail.", "hallucination.tail."),
    ("align.Fuser.up_8_4.", "hallucination.up_to_quarter."),
    ("align.Fuser.conv_bn.", "hallucination.widen."),
    ("align.Fuser.conv_gate.", "hallucination.gate."),
    ("align.Fuser.fb.", "hallucination.blend."),
    ("align.Fuser.up_4_2.", "hallucination.up_to_half."),
    ("align.Fuser.up_2_1.", "hallucination.up_to_full."),
    ("merge.conv1_head.", "merge.head."),
    ("merge.RB1s.", "merge.body."),
    ("merge.conv1_tail.", "merge.tail."),
    (".conv11.", ".stem."),
    (".conv12.", ".levels.0.conv."),
    (".conv21.", ".levels.1.conv."),
    (".conv31.", ".levels.2.conv."),
    (".conv41.", ".levels.3.conv."),
    (".block1.", ".levels.0.block."),
    (".block2.", ".levels.1.block."),
    (".block3.", ".levels.2.block."),
    (".block4.", ".levels.3.block."),
    (".conv2d.", ".conv."),
    (".main.", ".spatial."),
    (".main_fft.", ".spectral."),
    (".skip_conv.", ".projection."),
    (".out_conv.", ".residual."),
    (".rb.", ".residual."),
    (".downsample.", ".shortcut."),
)

Size = Literal["lite", "small", "base"]
FOLDER = Path(__file__).parent / "weights"


@dataclass(frozen=True, kw_only=True)
class Pretrained:
    """A network in evaluation mode, float32, on the CPU.

    Args:
        name: Name in the record, else that of the file without its suffix.
        record: Origin of the weights: data, steps, scores, licence.
    """

    name: str
    network: Network
    record: dict[str, str]


def build_network(config: NetworkConfig) -> Network:
    """Make a network with fresh weights, laid out for speed.

    Raises:
        WeightsError: If there is no such design with such an output.
    """
    kind = (config.design, config.output)
    if kind not in DESIGNS:
        known = ", ".join(f"{design} {output}" for design, output in DESIGNS)
        raise WeightsError(f"there is no {config.design!r} network with {config.output!r} output: known are {known}")
    # With channels last a CPU takes two thirds of the time for a frame of (64, 16), half for a training step.
    network = DESIGNS[kind](config)
    network.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    return network


def load_network(path: Path | str, *, nexps: int | None = None) -> Pretrained:
    """Read a file of weights: ours (safetensors) or a published checkpoint (`ckpt.pt`), recognized by its content.

    Args:
        nexps: Number of exposures that the weights must be for, None for any.

    Raises:
        WeightsError: If the file is missing, damaged, foreign, holds anything but weights, does not fit the network
            exactly, or is for another number of exposures.
    """
    path = Path(path)
    try:
        with path.open("rb") as file:
            start = file.read(9)
    except OSError as error:
        raise WeightsError(f"can't read weights {path}: {error.strerror}") from error
    if start[8:] == b"{":  # of safetensors, 8 bytes hold the header's length, then its JSON begins
        check_safetensors(path, start)
        config, tensors, record = _read_own(path)
    else:
        check_checkpoint(path)
        config, tensors, record = _read_published(path)
    if nexps not in (None, config.nexps):
        raise WeightsError(
            f"these weights are for {exposures_in_words(config.nexps)}, the clip has {exposures_in_words(nexps)}: "
            "pass other --weights or check --exposures"
        )
    _check_fit(config, tensors, path=path)
    network = build_network(config)
    own = network.state_dict()
    network.load_state_dict({name: tensor.to(own[name].dtype) for name, tensor in tensors.items()})
    if not all(bool(tensor.isfinite().all()) for tensor in own.values()):
        raise WeightsError(f"{path} holds NaN or infinity: fetch it again, or export it anew")
    return Pretrained(name=record.get("name", path.stem), network=network.eval(), record=record)


def save_network(network: Network, path: Path | str, *, record: Mapping[str, str], half: bool) -> None:
    """Write weights with their configuration and record; an existing file is replaced when the new one is complete.

    Args:
        record: Origin of the weights; `name` is theirs.
        half: Whether to store half precision, at half the size.

    Raises:
        WeightsError: If the file can't be written.
    """
    path = Path(path)
    tensors = {
        name: tensor.detach().to("cpu", torch.float16 if half and tensor.is_floating_point() else None).contiguous()
        for name, tensor in network.state_dict().items()
    }
    metadata = {"format": "pt", "config": json.dumps(asdict(network.config)), "record": json.dumps(dict(record))}
    try:
        with atomic_write(path) as unfinished:
            unfinished.write_bytes(safetensors.torch.save(tensors, metadata))
    except OSError as error:
        raise WeightsError(f"can't write {path}: {error.strerror}") from error


def published_to_own(key: str) -> str:
    """Translate a key of the published state dict into ours."""
    for theirs, ours in PUBLISHED_PREFIXES:
        key = key.replace(theirs, ours)
    return key


def exposures_in_words(count: int) -> str:
    """Spell a number of exposures, e.g. "two exposures"."""
    return f"{NUMBER_WORDS.get(count, str(count))} exposures"


def _read_own(path: Path) -> tuple[NetworkConfig, dict[str, Tensor], dict[str, str]]:
    try:
        with safe_open(path, framework="pt") as file:
            metadata = file.metadata() or {}
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 (not a dict)
    except (SafetensorError, OSError) as error:
        raise WeightsError(f"{path} is damaged ({error}): fetch it again") from error
    if "config" not in metadata:
        raise WeightsError(f"{path} does not say which network it is for: pass weights written by lanhdr")
    try:
        config = NetworkConfig(**json.loads(metadata["config"]))
        sizes = (config.channels, config.pyramid_channels)
        if not all(isinstance(size, int) and 0 < size <= LARGEST_WIDTH for size in sizes):
            raise ValueError(f"widths {sizes}")
    except (TypeError, ValueError, WeightsError) as error:
        raise WeightsError(f"{path} has a configuration that this version does not know ({error}): update") from error
    try:
        record = {str(key): str(value) for key, value in json.loads(metadata.get("record", "{}")).items()}
    except (AttributeError, ValueError) as error:
        raise WeightsError(f"{path} has a damaged training record ({error}): fetch it again") from error
    return config, tensors, record


def _read_published(path: Path) -> tuple[NetworkConfig, dict[str, Tensor], dict[str, str]]:
    try:
        # Mapped, tensors can't reach beyond the file, whatever size the pickle says they have.
        checkpoint = torch.load(path, map_location="cpu", weights_only=True, mmap=True)
    except Exception as error:  # errors of a damaged or hostile pickle have no common type
        raise WeightsError(f"{path} is no file of weights, nothing was run: pass .safetensors or ckpt.pt") from error
    state = checkpoint.get("g") if isinstance(checkpoint, dict) else None
    if not isinstance(state, dict) or not all(
        isinstance(key, str) and isinstance(value, Tensor) for key, value in state.items()
    ):
        raise WeightsError(f"{path} holds no LAN-HDR weights (no state dict `g`): pass a published ckpt.pt")
    tensors = {published_to_own(key): value for key, value in state.items()}
    steps = {key: checkpoint.get(key) for key in ("iter", "epoch")}
    record = {key: str(step) for key, step in steps.items() if isinstance(step, int) and 0 <= step < FARTHEST_STEP}
    return _infer_config(tensors, path=path), tensors, {"source": "published checkpoint", **record}


def _infer_config(tensors: Mapping[str, Tensor], *, path: Path) -> NetworkConfig:
    try:
        width = tensors["attention.luminance_encoder.stem.bias"].shape[0]
        channels, stacked = tensors["merge.head.weight"].shape[:2]
    except (KeyError, IndexError, ValueError) as error:
        raise WeightsError(f"{path} holds other weights than LAN-HDR's: pass a published ckpt.pt") from error
    frames_to_nexps = {NetworkConfig(nexps).window_length: nexps for nexps in NUMBER_WORDS}
    frames = stacked // channels
    if frames not in frames_to_nexps:
        raise WeightsError(f"{path} merges windows of {frames} frames, known are 5 and 7: pass a published ckpt.pt")
    return NetworkConfig(frames_to_nexps[frames], channels=channels, pyramid_channels=width)


def _check_fit(config: NetworkConfig, tensors: Mapping[str, Tensor], *, path: Path) -> None:
    """Compare names, shapes and kinds with those of the network, before memory is taken for it."""
    try:
        with torch.device("meta"):
            own = build_network(config).state_dict()
    except (TypeError, ValueError, RuntimeError) as error:
        raise WeightsError(f"{path} has a configuration of which no network can be made: fetch it again") from error
    differences = {
        "missing": [name for name in own if name not in tensors],
        "unexpected": [name for name in tensors if name not in own],
        "of another shape": [name for name in own if name in tensors and own[name].shape != tensors[name].shape],
        "of another kind": [name for name in own if name in tensors and tensors[name].is_complex()],
    }
    listed = []
    for kind, names in differences.items():
        more = f" and {len(names) - NAMES_SHOWN} more" if len(names) > NAMES_SHOWN else ""
        listed += [f"{kind}: {', '.join(name[:LONGEST_NAME] for name in names[:NAMES_SHOWN])}{more}"] if names else []
    if listed:
        raise WeightsError(f"{path} does not fit its network ({'; '.join(listed)}): pass weights of this version")


def bundled_files() -> list[Path]:
    """List the bundled weights by name."""
    return sorted(FOLDER.glob("*.safetensors"))


def bundled_path(*, nexps: int, size: Size | None = None, on_gpu: bool = False) -> Path:
    """Find bundled weights.

    Args:
        size: Network; None is `base` on a GPU where its weights are bundled, else `lite`.

    Raises:
        WeightsError: If there are none for this number of exposures and size.
    """
    path = _path(nexps, size or ("base" if on_gpu and _path(nexps, "base").is_file() else "lite"))
    if not path.is_file():
        others = [name for name in get_args(Size) if _path(nexps, name).is_file()]
        instead = f"pass --size {others[0]}, --weights FILE" if others else "pass --weights FILE"
        raise WeightsError(
            f"no weights for {exposures_in_words(nexps)} are bundled yet in size {path.stem.split('_')[0]}: "
            f"{instead} or train with `lanhdr train --nexps {nexps}`"
        )
    return path


def load_reconstructor(
    *,
    exposures: int = 2,
    weights: Path | str | None = None,
    size: Size | None = None,
    device: torch.device | str = "auto",
    precision: torch.dtype = torch.float32,
) -> Reconstructor:
    """Load weights, the bundled ones by default, ready to reconstruct.

    >>> from model import load_reconstructor
    >>> reconstructor = load_reconstructor(exposures=2)
    >>> radiance = reconstructor.reconstruct_array(images, exposures=[1, 8])  # (T, 3, H, W) in and out

    Args:
        exposures: Number of exposures in the cycle, 2 or 3.
        weights: A file of weights; None for the bundled ones.
        size: Size of the bundled weights; None for the one that suits the device.
        device: `auto` is the first GPU if there is one, else the CPU.
        precision: `torch.float32`, or half precision for the convolutions.

    Raises:
        WeightsError: If there are no such weights, or they are made for another number of exposures.
        DeviceError: If the device is not there.
    """
    place = resolve_device(str(device))
    path = weights or bundled_path(nexps=exposures, size=size, on_gpu=place.type != "cpu")
    return Reconstructor(load_network(path, nexps=exposures).network, device=place, precision=precision)


def check_size(size: Size) -> None:
    """Make sure that weights of a size are bundled for some number of exposures, before a clip's is known.

    Raises:
        WeightsError: If there are none at all.
    """
    if not any(path.name.startswith(f"{size}_") for path in bundled_files()):
        raise WeightsError(f"no weights of size {size} are bundled yet: pass another --size, or --weights FILE")


def _path(nexps: int, size: str) -> Path:
    return FOLDER / f"{size}_{nexps}e.safetensors"
