"""Files of weights: written whole, read exactly, refused in one line that names the fault."""

import json
import os
import pickle
import struct
from pathlib import Path

import pytest
import safetensors.torch
import torch
from support.reference import DATA
from torch import Tensor

from model import pretrained as bundled
from model.errors import WeightsError
from model.network import NetworkConfig
from model.pretrained import (
    Network,
    build_network,
    bundled_files,
    bundled_path,
    check_size,
    load_network,
    published_to_own,
    save_network,
)

NARROW = NetworkConfig(channels=6, pyramid_channels=4)
RECORD = {"name": "test-2e", "data": "noise", "steps": "0"}


@pytest.fixture(scope="module")
def network() -> Network:
    """A narrow network with random weights."""
    torch.manual_seed(7)
    return build_network(NARROW)


@pytest.fixture
def saved(network: Network, tmp_path: Path) -> Path:
    """Its file, in full precision."""
    save_network(network, tmp_path / "own.safetensors", record=RECORD, half=False)
    return tmp_path / "own.safetensors"


def published() -> dict[str, Tensor]:
    """The state dict of a file in the published form."""
    state: dict[str, Tensor] = torch.load(DATA / "tiny_2exp.ckpt.pt", weights_only=True)["g"]
    return state


def write_published(path: Path, state: dict[str, Tensor]) -> Path:
    """Write a file in the published form."""
    torch.save({"g": state, "optim_g": {}, "iter": 1, "epoch": 2}, path)
    return path


def test_what_is_written_is_read(network: Network, saved: Path) -> None:
    loaded = load_network(saved)
    assert (loaded.name, loaded.record) == ("test-2e", RECORD)
    assert loaded.network.config == NARROW
    assert not loaded.network.training
    expected = network.state_dict()
    assert all(torch.equal(value, expected[name]) for name, value in loaded.network.state_dict().items())


def test_half_precision_is_half_the_size_and_read_as_float32(network: Network, saved: Path, tmp_path: Path) -> None:
    save_network(network, tmp_path / "half.safetensors", record={}, half=True)
    assert (tmp_path / "half.safetensors").stat().st_size == pytest.approx(saved.stat().st_size / 2, rel=0.1)
    loaded = load_network(tmp_path / "half.safetensors")
    assert loaded.name == "half"
    for name, value in loaded.network.state_dict().items():
        assert value.dtype == torch.float32
        assert torch.equal(value, network.state_dict()[name].half().float())


@pytest.mark.parametrize("output", ["direct", "guided"])
def test_every_value_of_the_config_is_kept(output: str, tmp_path: Path) -> None:
    fields = {"nexps": 3, "output": output, "channels": 5, "pyramid_channels": 3}
    config = NetworkConfig(**fields)  # type: ignore[arg-type]
    save_network(build_network(config), tmp_path / "w.safetensors", record={}, half=True)
    assert load_network(tmp_path / "w.safetensors", nexps=3).network.config == config


@pytest.mark.parametrize("nexps", [2, 3])
def test_published_checkpoints_are_read_and_their_config_found(nexps: int) -> None:
    loaded = load_network(DATA / f"tiny_{nexps}exp.ckpt.pt", nexps=nexps)
    assert loaded.network.config == NetworkConfig(nexps, channels=8, pyramid_channels=4)
    assert loaded.record == {"source": "published checkpoint", "iter": "1234", "epoch": "5"}
    assert not loaded.network.training


@pytest.mark.parametrize("nexps", [2, 3])
def test_every_published_key_and_shape_has_its_place(nexps: int, shared: Path) -> None:
    rows = [line.split() for line in (shared / "reference" / f"state_dict_{nexps}exp.tsv").read_text().splitlines()]
    expected = {published_to_own(key): tuple(map(int, shape.split("x"))) for key, shape in rows}
    found = {name: tuple(value.shape) for name, value in build_network(NetworkConfig(nexps)).state_dict().items()}
    assert found == expected
    assert len(expected) == len(rows)


def test_published_weights_survive_import(tmp_path: Path) -> None:
    first = load_network(DATA / "tiny_2exp.ckpt.pt")
    save_network(first.network, tmp_path / "imported.safetensors", record=first.record, half=False)
    second = load_network(tmp_path / "imported.safetensors")
    assert second.record == first.record
    for name, value in first.network.state_dict().items():
        assert torch.equal(value, second.network.state_dict()[name])


class MakeFile:
    """Unpickling this would create a file."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[object, ...]:
        return os.mkdir, (str(self.path),)


@pytest.mark.parametrize("form", ["zip", "legacy", "bare"])
def test_a_malicious_pickle_is_refused_and_nothing_runs(form: str, tmp_path: Path) -> None:
    trap, path = tmp_path / "executed", tmp_path / "ckpt.pt"
    content = {"g": {"weight": MakeFile(trap)}}
    if form == "bare":
        path.write_bytes(pickle.dumps(content))
    else:
        torch.save(content, path, _use_new_zipfile_serialization=form == "zip")
    with pytest.raises(WeightsError, match=r"ckpt\.pt is no file of weights, nothing was run") as refusal:
        load_network(path)
    assert "\n" not in str(refusal.value)
    assert not trap.exists()
    with path.open("rb") as file:  # the trap itself works
        torch.load(file, weights_only=False) if form != "bare" else pickle.load(file)
    assert trap.exists()


@pytest.mark.parametrize("content", [b"", b"PK", b"a text file that is not weights", b"\x80\x02.", bytes(64)])
def test_foreign_files_are_refused(content: bytes, tmp_path: Path) -> None:
    (tmp_path / "w.pt").write_bytes(content)
    with pytest.raises(WeightsError, match=r"w\.pt is no file of weights"):
        load_network(tmp_path / "w.pt")


@pytest.mark.parametrize("content", [{"model": {}}, {"g": [1]}, {"g": {"a": "b"}}, [1, 2], {"g": {}}])
def test_checkpoints_of_other_networks_are_refused(content: object, tmp_path: Path) -> None:
    torch.save(content, tmp_path / "w.pt")
    with pytest.raises(WeightsError, match=r"LAN-HDR.*: pass a published ckpt\.pt"):
        load_network(tmp_path / "w.pt")


def test_missing_and_unexpected_keys_and_shapes_are_listed(tmp_path: Path) -> None:
    state = published()
    del state["align.Recon.conv_final1.bias"]
    state["align.extra.weight"] = torch.zeros(1)
    state["align.Fuser.conv_gate.bias"] = torch.zeros(2)
    with pytest.raises(WeightsError) as refusal:
        load_network(write_published(tmp_path / "w.pt", state))
    assert "missing: aligned_decoder.final.bias; unexpected: align.extra.weight" in str(refusal.value)
    assert "of another shape: hallucination.gate.bias" in str(refusal.value)


def test_long_lists_of_keys_are_cut(tmp_path: Path) -> None:
    state = {key: value for key, value in published().items() if ".RBs." not in key}
    with pytest.raises(WeightsError, match=r"missing: ([\w.]+, ){3}[\w.]+ and 24 more\)"):
        load_network(write_published(tmp_path / "w.pt", state))


def test_windows_of_an_unknown_length_are_refused(tmp_path: Path) -> None:
    state = published()
    state["merge.conv1_head.weight"] = torch.zeros(8, 9 * 8, 3, 3)
    with pytest.raises(WeightsError, match="windows of 9 frames"):
        load_network(write_published(tmp_path / "w.pt", state))


def test_damaged_own_files_are_refused(saved: Path) -> None:
    content = saved.read_bytes()
    for size in (9, len(content) // 2, len(content) - 1):
        saved.write_bytes(content[:size])
        with pytest.raises(WeightsError, match=r"own\.safetensors is damaged"):
            load_network(saved)


def test_safetensors_of_others_are_refused(tmp_path: Path) -> None:
    safetensors.torch.save_file({"a": torch.zeros(1)}, tmp_path / "w.safetensors")
    with pytest.raises(WeightsError, match="does not say which network"):
        load_network(tmp_path / "w.safetensors")


@pytest.mark.parametrize(
    "config",
    [
        "no json",
        "[2]",
        json.dumps({"nexps": 5}),
        json.dumps({"colour": 1}),
        json.dumps({"channels": "64"}),
        json.dumps({"channels": 10**9}),
        json.dumps({"pyramid_channels": 0}),
    ],
)
def test_unknown_configurations_are_refused(config: str, tmp_path: Path) -> None:
    metadata = {"config": config, "record": "{}"}
    safetensors.torch.save_file({"a": torch.zeros(1)}, tmp_path / "w.safetensors", metadata)
    with pytest.raises(WeightsError, match=r"w\.safetensors has a configuration that this version does not know"):
        load_network(tmp_path / "w.safetensors")


def test_an_unknown_design_is_refused() -> None:
    with pytest.raises(WeightsError, match="no 'huge' network with 'direct' output: known are lanhdr direct"):
        build_network(NetworkConfig(design="huge"))  # type: ignore[arg-type]


def test_a_damaged_record_is_refused(tmp_path: Path) -> None:
    metadata = {"config": json.dumps({"nexps": 2}), "record": "[]"}
    safetensors.torch.save_file({"a": torch.zeros(1)}, tmp_path / "w.safetensors", metadata)
    with pytest.raises(WeightsError, match="damaged training record"):
        load_network(tmp_path / "w.safetensors")


def test_a_missing_file_and_a_folder_are_named(tmp_path: Path) -> None:
    with pytest.raises(WeightsError, match=r"can't read weights .*none\.safetensors: No such file"):
        load_network(tmp_path / "none.safetensors")
    with pytest.raises(WeightsError, match="Is a directory"):
        load_network(tmp_path)


def test_an_enormous_header_is_refused(tmp_path: Path) -> None:
    (tmp_path / "w.safetensors").write_bytes(struct.pack("<Q", 1 << 60) + b"{}")
    with pytest.raises(WeightsError, match="is damaged"):
        load_network(tmp_path / "w.safetensors")


def test_a_failed_write_leaves_what_was_there(network: Network, saved: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    before = saved.read_bytes()

    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "replace", full)
    with pytest.raises(WeightsError, match=r"can't write .*own\.safetensors: No space left"):
        save_network(network, saved, record={}, half=True)
    assert saved.read_bytes() == before
    assert [path.name for path in saved.parent.iterdir()] == ["own.safetensors"]


def test_an_unwritable_place_is_named(network: Network, tmp_path: Path) -> None:
    with pytest.raises(WeightsError, match=r"can't write .*: No such file or directory"):
        save_network(network, tmp_path / "nowhere" / "w.safetensors", record={}, half=True)


def test_weights_of_the_other_exposure_count_are_refused(saved: Path) -> None:
    with pytest.raises(WeightsError, match="these weights are for two exposures, the clip has three exposures: pass"):
        load_network(saved, nexps=3)
    assert load_network(saved, nexps=2).network.config == NARROW


def test_networks_are_built_with_channels_last() -> None:
    weight = build_network(NARROW).state_dict()["merge.tail.weight"]
    assert weight.is_contiguous(memory_format=torch.channels_last)


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(bundled, "FOLDER", tmp_path)
    for name in ("base_2e", "lite_2e", "lite_3e"):
        (tmp_path / f"{name}.safetensors").touch()
    return tmp_path


def test_a_gpu_gets_base_and_a_cpu_lite(folder: Path) -> None:
    assert bundled_path(nexps=2, on_gpu=True) == folder / "base_2e.safetensors"
    assert bundled_path(nexps=2, on_gpu=False) == folder / "lite_2e.safetensors"


def test_a_gpu_gets_lite_where_there_is_no_base(folder: Path) -> None:
    assert bundled_path(nexps=3, on_gpu=True) == folder / "lite_3e.safetensors"


def test_a_size_that_is_asked_for_is_taken(folder: Path) -> None:
    assert bundled_path(nexps=2, size="lite", on_gpu=True) == folder / "lite_2e.safetensors"
    assert bundled_path(nexps=2, size="base") == folder / "base_2e.safetensors"


def test_weights_that_do_not_exist_say_what_to_do(folder: Path) -> None:
    with pytest.raises(
        WeightsError,
        match="no weights for three exposures are bundled yet in size base: pass --size lite, --weights FILE or train",
    ):
        bundled_path(nexps=3, size="base")


def test_a_size_without_any_weights_is_refused(folder: Path) -> None:
    check_size("base")
    (folder / "base_2e.safetensors").unlink()
    with pytest.raises(WeightsError, match="no weights of size base are bundled yet"):
        check_size("base")


@pytest.mark.parametrize("path", bundled_files(), ids=lambda path: path.stem)
def test_bundled_weights_are_what_their_name_says(path: Path) -> None:
    config = load_network(path).network.config
    assert path.stem == f"{'base' if config.design == 'lanhdr' else config.design}_{config.nexps}e"
    assert bundled_path(nexps=config.nexps).exists()
