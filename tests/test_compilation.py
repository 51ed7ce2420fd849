"""--compile compiles where it can, and says in one line where it cannot."""

import logging
from functools import partial
from pathlib import Path

import pytest
import torch
from together import gradients_of_one_step

from train.acceleration import compile_network, missing_compiler

CPU = torch.device("cpu")


def test_a_missing_compiler_is_one_line_and_the_run_goes_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setenv("CXX", str(tmp_path / "no-compiler"))
    with caplog.at_level(logging.WARNING):
        compiled = gradients_of_one_step(tmp_path / "compiled", compile=True)
    (message,) = [record.getMessage() for record in caplog.records]
    assert message.startswith(f"--compile needs the compiler {tmp_path / 'no-compiler'}, which was not found: ")
    plain = gradients_of_one_step(tmp_path / "plain")
    assert all(torch.equal(compiled[name], plain[name]) for name in plain)


def test_a_gpu_needs_triton(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda _name: None)
    assert missing_compiler(torch.device("cuda")) == "the package triton"


def test_a_network_is_traced_and_keeps_the_names_of_its_weights(monkeypatch: pytest.MonkeyPatch) -> None:
    # Traced, but run without the code generator, which would take a minute.
    monkeypatch.setattr(torch, "compile", partial(torch.compile, backend="eager"))
    monkeypatch.setattr("shutil.which", lambda name: name)
    layers = torch.nn.Sequential(torch.nn.Conv2d(3, 4, 3), torch.nn.ReLU())
    names, picture = list(layers.state_dict()), torch.rand(1, 3, 8, 8)
    expected = layers(picture)
    assert compile_network(layers, CPU)
    torch.compiler.reset()
    assert torch.allclose(layers(picture), expected)
    assert list(layers.state_dict()) == names
    assert layers._compiled_call_impl is not None
