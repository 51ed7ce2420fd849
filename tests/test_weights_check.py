"""Weights are looked at before they are read: sizes, kinds, and whatever a checkpoint would make."""

import io
import json
import pickle
import struct
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from support.converting import save_tiny

from model.errors import WeightsError
from model.network import LanHdr, NetworkConfig
from model.pretrained import PUBLISHED_PREFIXES, load_network, save_network
from model.weights_check import LARGEST_FILE, LARGEST_PICKLE


def published(path: Path, change: Callable[[dict[str, object]], object] = lambda checkpoint: None) -> Path:
    """Save a checkpoint as the authors' program does, changed in some way."""
    torch.manual_seed(0)
    state = {}
    for key, value in LanHdr(NetworkConfig(nexps=2, channels=8, pyramid_channels=4)).state_dict().items():
        for theirs, ours in reversed(PUBLISHED_PREFIXES):
            key = key.replace(ours, theirs)
        state[key] = value
    checkpoint: dict[str, object] = {"iter": 7, "epoch": 1, "g": state}
    change(checkpoint)
    torch.save(checkpoint, path)
    return path


def rezipped(path: Path, change: Callable[[str, bytes], bytes], *, how: int = zipfile.ZIP_STORED) -> Path:
    """Write a checkpoint anew with other entries."""
    with zipfile.ZipFile(path) as archive:
        entries = {name: change(name, archive.read(name)) for name in archive.namelist()}
    with zipfile.ZipFile(path, "w", how) as archive:
        for name, content in entries.items():
            archive.writestr(name, content)
    return path


def test_a_published_checkpoint_passes(tmp_path: Path) -> None:
    loaded = load_network(published(tmp_path / "ckpt.pt"))
    assert loaded.record == {"source": "published checkpoint", "iter": "7", "epoch": "1"}
    torch.manual_seed(0)
    original = LanHdr(NetworkConfig(nexps=2, channels=8, pyramid_channels=4)).state_dict()
    assert all(torch.equal(original[key], value) for key, value in loaded.network.state_dict().items())


def test_a_zip_bomb_is_refused_before_it_is_unpacked(tmp_path: Path) -> None:
    def blown(name: str, content: bytes) -> bytes:
        return bytes(1 << 28) if name.endswith("/data/0") else content

    bomb = rezipped(published(tmp_path / "ckpt.pt"), blown, how=zipfile.ZIP_DEFLATED)
    assert bomb.stat().st_size < 1 << 22
    with pytest.raises(WeightsError, match="is no file of weights, nothing was run"):
        load_network(bomb)


def of_pickle(path: Path, content: bytes) -> Path:
    published(path)
    return rezipped(path, lambda name, data: content if name.endswith("data.pkl") else data)


@pytest.mark.parametrize(
    "content",
    [
        b"\x80\x02c__builtin__\nbytearray\n(J\xff\xff\xff\x7ftR.",  # 2 GiB; `weights_only` would make them
        b"\x80\x02cbuiltins\neval\n(X\x05\0\0\x001+1+1tR.",
        b"\x80\x02cposix\nsystem\n(X\x04\0\0\0truetR.",
        b"\x80\x04\x8c\x05posix\x8c\x06system\x93\x8c\x04true\x85R.",  # the name from the stack
        b"\x80\x02(S'true'\niposix\nsystem\n.",
        b"\x80\x02ctorch\nload\n.",
        b"\x80\x02\x8e" + b"\xff" * 8,  # bytes without end
        b"\x80\x02",
        b"",
    ],
)
def test_a_pickle_of_other_things_is_refused(tmp_path: Path, content: bytes) -> None:
    with pytest.raises(WeightsError, match=r"ckpt\.pt is no file of weights, nothing was run"):
        load_network(of_pickle(tmp_path / "ckpt.pt", content))


def test_a_pickle_that_is_too_long_is_refused(tmp_path: Path) -> None:
    with pytest.raises(WeightsError, match="is no file of weights"):
        load_network(of_pickle(tmp_path / "ckpt.pt", b"\x80\x02" + b"N0" * (LARGEST_PICKLE // 2) + b"N."))


@pytest.mark.parametrize("levels", [10, 60])
def test_keys_that_grow_when_they_are_written_out_are_refused(tmp_path: Path, levels: int) -> None:
    doubled = b"h\0h\0\x86q\0"  # a pair of the last pair
    nested = b"\x80\x02}X\x01\0\0\0g}" + b"N\x85q\0" + doubled * levels + b"Nss."
    with pytest.raises(WeightsError, match=r"holds no LAN-HDR weights|it holds lists in lists"):
        load_network(of_pickle(tmp_path / "ckpt.pt", nested))


def test_a_step_of_many_digits_is_left_out(tmp_path: Path) -> None:
    path = published(tmp_path / "ckpt.pt", lambda checkpoint: checkpoint.update(iter=10**500))
    assert "iter" not in load_network(path).record


def test_storages_that_claim_more_than_the_file_holds_reach_no_further(tmp_path: Path) -> None:
    intact = load_network(published(tmp_path / "intact.pt")).network.state_dict()
    path = rezipped(
        published(tmp_path / "ckpt.pt"),
        lambda name, content: _claimed(content) if name.endswith("data.pkl") else content,
    )
    claimed = load_network(path).network.state_dict()
    assert all(torch.equal(intact[name], value) for name, value in claimed.items())


def _claimed(content: bytes) -> bytes:
    out, begin = bytearray(content), 0
    while (place := out.find(b"cpu", begin)) >= 0:
        begin = place + 3
        for ahead in range(place + 3, place + 8):
            if out[ahead : ahead + 1] == b"M":  # a number of two bytes, made one of four
                out[ahead : ahead + 3] = b"J" + struct.pack("<i", 2**30)
                break
    assert bytes(out) != content
    return bytes(out)


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
@pytest.mark.parametrize("half", [False, True])
def test_nan_in_weights_is_refused(tmp_path: Path, value: float, half: bool) -> None:
    network = load_network(save_tiny(tmp_path / "tiny.safetensors")).network
    with torch.no_grad():
        next(iter(network.parameters())).fill_(value)
    save_network(network, tmp_path / "bad.safetensors", record={}, half=half)
    with pytest.raises(WeightsError, match=r"bad\.safetensors holds NaN or infinity"):
        load_network(tmp_path / "bad.safetensors")


def safetensors(path: Path, *, config: dict[str, object], length: int | None = None) -> Path:
    header = json.dumps({"__metadata__": {"config": json.dumps(config)}}).encode()
    path.write_bytes(struct.pack("<Q", len(header) if length is None else length) + header)
    return path


@pytest.mark.parametrize("length", [10**6, 1 << 40, (1 << 64) - 1])
def test_a_header_longer_than_its_file_is_refused(tmp_path: Path, length: int) -> None:
    with pytest.raises(WeightsError, match=f"w.safetensors is damaged .*{length} would be its header"):
        load_network(safetensors(tmp_path / "w.safetensors", config={}, length=length))


@pytest.mark.parametrize(
    "config",
    [
        {"nexps": 2, "channels": 1024, "pyramid_channels": 1024},  # gigabytes, if it was made
        {"nexps": 2, "channels": 7, "pyramid_channels": 3},
        {"nexps": 3, "design": "lite", "output": "guided", "channels": 1024, "pyramid_channels": 1024},
        {"nexps": 2, "design": "small", "output": "guided", "channels": 1, "pyramid_channels": 1},
    ],
)
def test_a_configuration_without_its_tensors_takes_no_memory(tmp_path: Path, config: dict[str, object]) -> None:
    import resource

    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    with pytest.raises(WeightsError):
        load_network(safetensors(tmp_path / "w.safetensors", config=config))
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 200 << 10  # KiB


def test_a_file_that_is_too_large_is_refused_unread(tmp_path: Path) -> None:
    for name, start in (("w.safetensors", struct.pack("<Q", 2) + b"{}"), ("ckpt.pt", b"PK\3\4")):
        with (tmp_path / name).open("wb") as file:
            file.write(start)
            file.truncate(LARGEST_FILE + 1)
        with pytest.raises(WeightsError, match=f"{name} has 1024 MiB, weights at most 1024"):
            load_network(tmp_path / name)


def test_complex_tensors_are_refused(tmp_path: Path) -> None:
    def turn(checkpoint: dict[str, object]) -> None:
        state = checkpoint["g"]
        assert isinstance(state, dict)
        name = next(iter(state))
        state[name] = state[name].to(torch.complex64)

    with pytest.raises(WeightsError, match="of another kind"):
        load_network(published(tmp_path / "ckpt.pt", turn))


def test_a_pickle_without_a_zip_is_refused(tmp_path: Path) -> None:
    buffer = io.BytesIO()
    torch.save({"g": {}}, buffer, _use_new_zipfile_serialization=False)
    for content in (buffer.getvalue(), pickle.dumps({"g": {}})):
        (tmp_path / "ckpt.pt").write_bytes(content)
        with pytest.raises(WeightsError, match="is no file of weights"):
            load_network(tmp_path / "ckpt.pt")
