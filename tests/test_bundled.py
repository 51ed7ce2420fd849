"""The bundled weights that a conversion takes by itself."""

from pathlib import Path

import pytest

from model import pretrained as bundled
from model.errors import WeightsError
from model.pretrained import bundled_files, bundled_path, check_size, load_network


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
    assert path.stem == f"{'lite' if config.design == 'lite' else 'base'}_{config.nexps}e"
    assert bundled_path(nexps=config.nexps).exists()
