"""The group of commands, what it tells while it works, and `lanhdr weights`."""

import os
import pty
import re
import subprocess
import sys
from pathlib import Path

import pytest
from support.converting import invoke, save_tiny

from lanhdr_cli.__main__ import foreign_siblings
from lanhdr_cli.console import frame_progress, progress_line
from lanhdr_cli.main import COMMANDS


@pytest.fixture(scope="module")
def tiny_weights(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save_tiny(tmp_path_factory.mktemp("weights") / "tiny.safetensors")


def test_progress_in_words() -> None:
    assert progress_line(12, 48, elapsed_s=4.0) == "lanhdr: frame 12 of 48 (25 %), 3.00 fps, 0:00:12 left"
    told = progress_line(10, 50_000, elapsed_s=10.0)
    assert told == "lanhdr: frame 10 of 50000 (0 %), 1.00 fps, 13:53:10 left"
    assert progress_line(47, 48, elapsed_s=47.0) == "lanhdr: frame 47 of 48 (97 %), 1.00 fps, 0:00:01 left"
    assert progress_line(49, 48, elapsed_s=49.0) == "lanhdr: frame 49 of 48 (100 %), 1.00 fps, 0:00:00 left"
    assert progress_line(5, None, elapsed_s=2.0) == "lanhdr: frame 5, 2.50 fps"


@pytest.mark.parametrize(
    ("every_s", "expected"), [(0.0, ["1 of 3 (33 %)", "2 of 3 (66 %)", "3 of 3 (100 %)"]), (60.0, ["3 of 3 (100 %)"])]
)
def test_progress_lines_where_there_is_no_terminal(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], every_s: float, expected: list[str]
) -> None:
    monkeypatch.setattr("lanhdr_cli.console.LINE_EVERY_S", every_s)
    for show in (True, False):
        with frame_progress(3, show=show) as advance:
            for _ in range(3):
                advance()
    captured = capsys.readouterr()
    assert captured.out == ""
    assert [line.split(",")[0] for line in captured.err.splitlines()] == [f"lanhdr: frame {said}" for said in expected]


def test_no_last_line_of_progress_behind_an_error(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(ValueError, match="lost"), frame_progress(3, show=True) as advance:
        advance()
        raise ValueError("lost")
    with frame_progress(3, show=True):
        pass
    with frame_progress(3, show=True, label="looking for exposures: frame") as advance:
        advance()
    assert capsys.readouterr().err == ""


def test_a_bar_on_a_terminal(repository: Path) -> None:
    program = """
import sys, time, click
from lanhdr_cli.console import frame_progress
with frame_progress(3, show=True) as advance:
    for number in range(3):
        advance()
        time.sleep(0.15)
        click.echo(f"told {number}", err=True)
"""
    parent, child = pty.openpty()
    environment = os.environ | {"TERM": "xterm", "COLUMNS": "100"}
    command = [sys.executable, "-c", program]
    done = subprocess.run(command, stdout=subprocess.PIPE, stderr=child, env=environment, cwd=repository, check=True)
    os.close(child)
    told = os.read(parent, 1 << 16).decode()
    os.close(parent)
    assert done.stdout == b""
    assert "1/3" in told
    assert "fps" in told
    assert "told 2\r\n" in told


def test_help_is_quick_and_imports_nothing_heavy(repository: Path) -> None:
    heavy = ("torch", "av", "numpy", "OpenEXR", "rich")
    program = (
        "import sys; from lanhdr_cli.__main__ import main; sys.argv = ['lanhdr', *{arguments!r}]\n"
        "try: main()\n"
        "except SystemExit: print([name for name in {heavy!r} if name in sys.modules])"
    )
    for arguments in (["--help"], ["--version"], ["convert", "--help"]):
        command = [sys.executable, "-c", program.format(arguments=arguments, heavy=heavy)]
        told = subprocess.run(command, capture_output=True, text=True, check=True, cwd=repository).stdout
        assert told.splitlines()[-1] == "[]", told


def test_help_lists_the_commands_in_words() -> None:
    told = invoke("--help").stdout
    for name, (_, summary) in COMMANDS.items():
        assert re.search(rf"^  {name} +{re.escape(summary)}$", told, re.MULTILINE)
    assert re.fullmatch(r"lanhdr (\d+\.\d+\.\d+.*|unknown)\n", invoke("--version").stdout)
    assert invoke("transmogrify").exit_code == 2


@pytest.mark.parametrize("name", COMMANDS)
def test_each_command_can_be_imported_and_has_help(name: str) -> None:
    outcome = invoke(name, "--help")
    assert outcome.exit_code == 0, outcome.output
    assert outcome.stdout.startswith(f"Usage: cli {name}")


def test_a_foreign_model_package_is_named(tmp_path: Path, repository: Path) -> None:
    assert foreign_siblings() == []
    (tmp_path / "model").mkdir()
    (tmp_path / "model" / "__init__.py").touch()
    places = [str(tmp_path), str(repository)]
    program = f"import sys; sys.path[:0] = {places!r}; import lanhdr_cli.__main__ as start; start.main()"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, cwd=tmp_path)
    assert done.returncode == 1
    assert re.fullmatch(rf"Error: Python finds 'model' at {tmp_path}/model/__init__.py, .*own venv\n", done.stderr)


def test_weights_are_imported_verified_and_listed(tmp_path: Path, tiny_weights: Path) -> None:
    outcome = invoke("weights", "verify", tiny_weights)
    assert outcome.exit_code == 0
    assert "config.nexps = 2" in outcome.stdout
    assert "record.name = tiny test" in outcome.stdout
    target = tmp_path / "new" / "copy.safetensors"
    assert invoke("weights", "import", tiny_weights, "-o", target, "--half").exit_code == 0
    assert target.stat().st_size < 0.6 * tiny_weights.stat().st_size
    refused = invoke("weights", "import", tiny_weights, "-o", target)
    assert refused.exit_code == 1
    assert "copy.safetensors exists already: pass -y" in refused.stderr
    assert invoke("weights", "list").exit_code == 0


def test_the_published_checkpoint_form_is_imported(tmp_path: Path, shared: Path) -> None:
    checkpoints = sorted(shared.glob("reference/**/tiny*ckpt.pt"))
    assert checkpoints
    for checkpoint in checkpoints:
        target = tmp_path / f"{checkpoint.stem}.safetensors"
        outcome = invoke("weights", "import", checkpoint, "-o", target)
        assert outcome.exit_code == 0, outcome.output
        verified = invoke("weights", "verify", target)
        assert "record.source = published checkpoint" in verified.stdout
