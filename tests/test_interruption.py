"""The first Ctrl-C or SIGTERM lets the frame in hand be finished, a second one stops at once."""

import signal
from collections.abc import Iterator

import pytest

from lanhdr_cli.console import Terminated
from lanhdr_cli.interruption import Interruption, resume_command
from lanhdr_cli.ranks import Ranks


@pytest.fixture
def on_termination() -> Iterator[None]:
    """Handle SIGTERM as the program does, until the test is over."""

    def leave(number: int, frame: object) -> None:
        raise Terminated

    before = signal.signal(signal.SIGTERM, leave)
    yield
    signal.signal(signal.SIGTERM, before)


@pytest.mark.parametrize(("number", "kind"), [(signal.SIGINT, KeyboardInterrupt), (signal.SIGTERM, Terminated)])
def test_the_first_waits_and_the_second_does_not(
    on_termination: None, number: signal.Signals, kind: type[KeyboardInterrupt]
) -> None:
    settled: list[str] = []
    interruption, before = Interruption(Ranks()), signal.getsignal(number)
    interruption_of_work = pytest.raises(KeyboardInterrupt)
    with interruption_of_work as caught, interruption.between_frames():
        interruption.check(settle=lambda: settled.append("too early"))
        signal.raise_signal(number)
        with pytest.raises(kind):
            signal.raise_signal(number)
        interruption.check(settle=lambda: settled.append("frame"))
    assert type(caught.value) is kind
    assert settled == ["frame"]
    assert signal.getsignal(number) is before


def test_termination_after_an_interrupt_is_not_the_second_one(on_termination: None) -> None:
    """As launchers send it."""
    interruption = Interruption(Ranks())
    with pytest.raises(Terminated), interruption.between_frames():
        signal.raise_signal(signal.SIGINT)
        signal.raise_signal(signal.SIGTERM)
        interruption.check(settle=lambda: None)


def test_signals_that_nobody_handles_stay_as_they_are() -> None:
    """A program that calls `convert` may let SIGTERM end it at once."""
    before = signal.signal(signal.SIGTERM, signal.SIG_DFL)
    try:
        with Interruption(Ranks()).between_frames():
            assert signal.getsignal(signal.SIGTERM) is signal.SIG_DFL
    finally:
        signal.signal(signal.SIGTERM, before)


@pytest.mark.parametrize(
    ("words", "command"),
    [
        (["convert", "a b.mp4", "-o", "o/"], "convert 'a b.mp4' -o o/ --resume"),
        (["convert", "--resume", "a.mp4", "-o", "$x/"], "convert --resume a.mp4 -o '$x/'"),
        (["convert", "-o", "o/", "--", "--resume"], "convert -o o/ --resume -- --resume"),
        (["convert", "caf\udce9\n.mp4"], r"convert $'caf\xe9\n.mp4' --resume"),
    ],
)
def test_the_command_that_goes_on(words: list[str], command: str) -> None:
    assert resume_command(words) == f"go on with: lanhdr {command}"
