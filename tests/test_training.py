"""What is told on stderr while a run goes on."""

import io
import re
import sys

import pytest

from lanhdr_cli.training import TrainingConsole


def take_steps(console: TrainingConsole, *, first: int, last: int) -> None:
    with console:
        for step in range(first, last + 1):
            console({"step": step, "loss": 0.5, "psnr_t": 30.0, "lr": 1e-4})
            if step == 2:
                console({"step": step, "val_psnr_t": 31.234, "val_start_psnr_t": 30.5})


def test_lines_tell_figures_and_the_time_left(capsys: pytest.CaptureFixture[str]) -> None:
    take_steps(TrainingConsole(2, 0, steps=3), first=1, last=3)
    output = capsys.readouterr()
    assert output.out == ""
    first, validation, last = output.err.splitlines()
    assert re.fullmatch(r"step 1/3  loss 0\.5  PSNR_T 30\.00 dB  [\d.]+ samples/s  \d+:\d\d h left", first)
    assert validation == "step 2/3  held out 31.23 (start 30.50) dB"
    assert "held out 31.23" in last


def test_a_resumed_run_counts_speed_from_where_it_began(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    clock = iter([0.0, 0.0, *[float(second) for second in range(1, 100)]])
    monkeypatch.setattr("lanhdr_cli.training.time.monotonic", lambda: next(clock))
    take_steps(TrainingConsole(4, 100, steps=1100), first=101, last=101)
    line = capsys.readouterr().err
    speed = re.search(r"([\d.]+) samples/s", line)
    assert speed is not None
    assert 0.5 < float(speed[1]) <= 4  # one step of four samples in a few of these seconds, not 101 steps


def test_a_terminal_gets_a_bar(monkeypatch: pytest.MonkeyPatch) -> None:
    class Terminal(io.StringIO):
        def isatty(self) -> bool:
            return True

    terminal = Terminal()
    monkeypatch.setattr(sys, "stderr", terminal)
    monkeypatch.setenv("COLUMNS", "160")
    take_steps(TrainingConsole(2, 0, steps=3), first=1, last=3)
    shown = terminal.getvalue()
    assert "3/3" in shown
    assert "PSNR_T 30.00 dB" in shown
    assert "held out 31.23" in shown


def test_the_share_of_waiting_is_told_where_it_is_known(capsys: pytest.CaptureFixture[str]) -> None:
    with TrainingConsole(2, 0, steps=1) as console:
        console({"step": 1, "loss": 0.5, "psnr_t": 30.0, "lr": 1e-4, "waiting": 0.123})
    assert "samples/s (12% waiting)  0:00 h left" in capsys.readouterr().err
