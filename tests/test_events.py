"""`--json-events`, the account at the end, and what becomes of them where nobody takes them."""

import json
import logging
import pickle
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from support.clips import counting_clip, gray_frame, write_clip
from support.converting import TWO, identity, invoke, job

from lanhdr_cli import events as module
from lanhdr_cli.conversion import run
from lanhdr_cli.events import Events, open_events
from lanhdr_cli.media.errors import MediaError
from lanhdr_cli.summary import Summary

GIVEN = ("--exposures", "1,8", "--no-slips", "--no-deflicker", "--response", "gamma2.2", "--device", "cpu")
FULL = Path("/dev/full")


def told(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text().splitlines()]


@pytest.fixture
def clip(tmp_path: Path) -> Path:
    return counting_clip(tmp_path / "a.mp4", count=5)


def test_a_conversion_is_told_from_start_to_finish(tmp_path: Path, clip: Path) -> None:
    outcome = invoke("convert", clip, "-o", f"{tmp_path}/o/", *GIVEN, "--json-events", tmp_path / "events")
    assert outcome.exit_code == 0, outcome.stderr
    events = told(tmp_path / "events")
    start, *between, finished = events
    assert (start["event"], start["frames"], start["width"], start["height"]) == ("start", 5, 32, 24)
    assert (start["exposures"], start["source"], start["rate"]) == ([1.0, 8.0], str(clip), "24")
    progress = [event for event in between if event["event"] == "progress"]
    assert progress[-1]["frames"] == progress[-1]["total"] == 5
    assert (finished["event"], finished["frames"], finished["exit_code"]) == ("finished", 5, 0)
    assert (finished["decoded"], finished["concealed"], finished["slips"]) == (5, 0, [])
    times = [event["elapsed_s"] for event in events]
    assert times == sorted(times)


def test_warnings_and_their_exit_code_are_told(tmp_path: Path, clip: Path) -> None:
    words = ("convert", clip, "-o", f"{tmp_path}/o/", *GIVEN, "--frames", "0-9", "--strict")
    outcome = invoke(*words, "--json-events", tmp_path / "events")
    assert outcome.exit_code == 3
    events = told(tmp_path / "events")
    warnings = [event["message"] for event in events if event["event"] == "warning"]
    assert "--frames asks for frames up to 9, the clip ends with 4" in warnings
    assert events[-1]["exit_code"] == 3
    assert events[-1]["warnings"] == warnings


def test_an_error_is_told(tmp_path: Path, clip: Path) -> None:
    words = ("convert", clip, "-o", f"{tmp_path}/o/", *GIVEN, "--frames", "7-9")
    outcome = invoke(*words, "--json-events", tmp_path / "events")
    assert outcome.exit_code == 1
    (event,) = told(tmp_path / "events")
    assert (event["event"], event["exit_code"]) == ("error", 1)
    assert event["message"] in outcome.stderr


def test_events_on_standard_output_stand_alone(tmp_path: Path, clip: Path) -> None:
    outcome = invoke("convert", clip, "-o", f"{tmp_path}/o/", *GIVEN, "--json-events", "-")
    assert [json.loads(line)["event"] for line in outcome.stdout.splitlines()][-1] == "finished"
    outcome = invoke("convert", clip, "-o", f"{tmp_path}/p/", *GIVEN, "--json-events", "-", "--json")
    assert outcome.exit_code == 2


def test_a_file_that_cannot_be_made_is_refused(tmp_path: Path, clip: Path) -> None:
    outcome = invoke("convert", clip, "-o", f"{tmp_path}/o/", *GIVEN, "--json-events", tmp_path / "no" / "events")
    assert outcome.exit_code == 1
    assert outcome.stderr.startswith("Error: --json-events ")
    assert not (tmp_path / "o").exists()


@pytest.mark.skipif(not FULL.exists(), reason="no /dev/full here")
def test_events_that_cannot_be_written_end_without_the_conversion(tmp_path: Path, clip: Path) -> None:
    outcome = invoke("convert", clip, "-o", f"{tmp_path}/o/", *GIVEN, "--json-events", FULL)
    assert outcome.exit_code == 0
    assert outcome.stderr.count("no more events are told (No space left on device)") == 1
    assert len(list((tmp_path / "o").iterdir())) == 5


def test_interruptions_are_told(tmp_path: Path) -> None:
    with pytest.raises(KeyboardInterrupt), open_events(str(tmp_path / "events")):
        raise KeyboardInterrupt
    assert [event["event"] for event in told(tmp_path / "events")] == ["interrupted"]
    assert not any(isinstance(handler, module._Warnings) for handler in logging.getLogger("model").handlers)


def test_other_processes_tell_nothing(tmp_path: Path) -> None:
    with open_events(str(tmp_path / "events")) as events:
        copy = pickle.loads(pickle.dumps(events))
        copy.tell("start", {})
        events.counting(lambda: None, 1)()
    assert isinstance(copy, Events)
    assert [event["event"] for event in told(tmp_path / "events")] == ["progress"]


def test_the_account_tells_what_became_of_the_frames(tmp_path: Path) -> None:
    levels = [40, 120, 40, 120, 120, 40, 120, 40, 120, 40, 120, 40]  # the fifth shows the fourth again
    source = write_clip(tmp_path / "a.mkv", [gray_frame(level) for level in levels])
    summary = run(job(source, f"{tmp_path}/o/", TWO, slips=False, deflicker=False), load=identity)
    assert summary.account == (
        "12 frames read, 12 written: 0 concealed, 0 undecodable, 0 repeated, 0 left out, 0 converted alone, "
        "0 breaks in the order of exposures"
    )
    other = Summary(frames=9, seconds=1.0, outcome="", exposures=(1.0, 8.0), response="", weights="",
                    doubled=(4, 7, 9), dropped=1, unmerged=(2,), slips=(5, 6), decoded=12, concealed=3,
                    undecodable=1, verified=9)  # fmt: skip
    assert other.account == (
        "12 frames read, 9 written: 3 concealed, 1 undecodable, 2 repeated, 1 left out, 1 converted alone, "
        "2 breaks in the order of exposures; 9 read again and found as written"
    )


def test_light_is_in_the_summary_of_hdr10(tmp_path: Path) -> None:
    clip = counting_clip(tmp_path / "wide.mp4", count=5, size=(96, 64))
    summary = run(job(clip, f"{tmp_path}/o.mp4", TWO), load=identity)
    assert f"(MaxCLL {summary.max_cll}, MaxFALL {summary.max_fall} cd/m2)" in summary.outcome
    assert summary.max_cll and summary.max_fall and summary.max_fall <= summary.max_cll
    assert run(job(clip, f"{tmp_path}/o/", TWO), load=identity).max_cll is None


@pytest.mark.skipif(not FULL.exists(), reason="no /dev/full here")
@pytest.mark.parametrize("where", ["full", "closed"])
def test_an_outcome_that_cannot_be_printed_is_one_line(tmp_path: Path, clip: Path, where: str) -> None:
    words = [sys.executable, "-m", "lanhdr_cli", "convert", str(clip), "-o", f"{tmp_path}/o/", *GIVEN, "--json"]
    if where == "full":
        with FULL.open("w") as stdout:
            done = subprocess.run(words, stdout=stdout, stderr=subprocess.PIPE, text=True)
    else:
        process = subprocess.Popen(words, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        assert process.stdout
        process.stdout.close()
        process.stdout = None
        _, stderr = process.communicate()
        done = subprocess.CompletedProcess(words, process.returncode, "", stderr)
    assert done.returncode == 1, done.stderr
    errors = [line for line in done.stderr.splitlines() if not line.startswith(("Warning", "lanhdr: frame"))]
    reason = "No space left on device" if where == "full" else "Broken pipe"
    assert errors[-1] == f"Error: can't print to standard output ({reason}): send it to another place"
    assert "Traceback" not in done.stderr and "Exception ignored" not in done.stderr
    assert len(list((tmp_path / "o").iterdir())) == 5


@pytest.mark.skipif(not FULL.exists(), reason="no /dev/full here")
def test_talk_that_cannot_be_printed_does_not_end_the_work(tmp_path: Path, clip: Path) -> None:
    words = [sys.executable, "-m", "lanhdr_cli", "convert", str(clip), "-o", f"{tmp_path}/o/", *GIVEN]
    with FULL.open("w") as stderr:
        done = subprocess.run(words, stdout=subprocess.PIPE, stderr=stderr, text=True)
    assert (done.returncode, done.stdout.startswith("5 frames in ")) == (0, True)


def test_a_file_of_events_is_refused_in_one_line(tmp_path: Path) -> None:
    with pytest.raises(MediaError, match="can't be written"), open_events(str(tmp_path)):
        pass
