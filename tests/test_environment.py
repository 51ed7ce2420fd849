"""What is told of the place of a run: commit and versions as git and the packages say, and no name of the machine."""

import json
import platform
import socket
import subprocess
from pathlib import Path

import pytest
import torch

from train.environment import checkout_state, command_line, describe_environment, device_name


def git(root: Path, *arguments: str) -> str:
    identity = ("-c", "user.name=a", "-c", "user.email=a@b.c")
    done = subprocess.run(["git", "-C", str(root), *identity, *arguments], capture_output=True, text=True, check=True)
    return done.stdout.strip()


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    git(tmp_path, "init", "-q")
    (tmp_path / "file").write_text("one")
    git(tmp_path, "add", "file")
    git(tmp_path, "commit", "-qm", "One")
    return tmp_path


def test_a_checkout_tells_its_commit_and_changes(checkout: Path) -> None:
    commit = git(checkout, "rev-parse", "HEAD")
    (checkout / "untracked").write_text("no change of what is tracked")
    assert checkout_state(checkout) == (commit, False)
    (checkout / "file").write_text("two")
    assert checkout_state(checkout) == (commit, True)


def test_a_folder_inside_somebody_elses_checkout_has_no_commit(checkout: Path) -> None:
    (checkout / "site-packages").mkdir()
    assert checkout_state(checkout / "site-packages") == (None, None)


def test_a_checkout_without_commits_or_git_is_no_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    git(tmp_path, "init", "-q")
    assert checkout_state(tmp_path) == (None, None)
    monkeypatch.setenv("PATH", str(tmp_path))
    assert checkout_state(tmp_path) == (None, None)


def test_variables_of_a_hook_do_not_mislead(
    checkout: Path, tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch
) -> None:
    commit = git(checkout, "rev-parse", "HEAD")
    monkeypatch.setenv("GIT_DIR", str(tmp_path_factory.mktemp("elsewhere")))
    assert checkout_state(checkout) == (commit, False)


def test_the_environment_is_told_without_names_of_host_and_user() -> None:
    told = describe_environment(torch.device("cpu"), 3)
    text = json.dumps(told)
    assert (told["torch"], told["python"]) == (torch.__version__, platform.python_version())
    assert (told["threads"], told["device"]) == (3, device_name(torch.device("cpu")))
    assert socket.gethostname() not in text
    assert str(Path.home()) not in text


def test_a_command_is_kept_without_the_program_and_paths() -> None:
    words = ["/opt/lanhdr_cli/__main__.py", "train", "--data", "/home/someone/my films", "--init=/x/a.safetensors"]
    expected = "lanhdr train --data 'my films' --init=a.safetensors --lr 0.002"
    assert command_line([*words, "--lr", "0.002"]) == expected
