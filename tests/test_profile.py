"""`--profile`: the slowest stage is the busy one, those before it wait for room and those behind it for input."""

import json
from collections.abc import Iterator
from pathlib import Path
from time import sleep

import pytest
from support.clips import counting_clip
from support.converting import invoke, save_lite

from lanhdr_cli.media.background import Background, StageTimes
from lanhdr_cli.pipeline import Prefetch
from lanhdr_cli.profile import Profile, ProfileClock

FRAMES = 12
QUICK_S, SLOW_S = 0.001, 0.02


def profiled(*, decode_s: float, network_s: float, write_s: float, workers: int = 1) -> Profile:
    """Run three stages that only sleep."""
    clock, decoding = ProfileClock(), StageTimes(depth=2)

    def source() -> Iterator[int]:
        for number in range(FRAMES):
            sleep(decode_s)
            yield number

    with (
        Prefetch(decoding.timed(source(), "read"), depth=2, times=decoding) as frames,
        Background[int](lambda _: sleep(write_s), depth=workers + 1, name="w", workers=workers) as writer,
    ):
        for frame in frames:
            sleep(network_s)
            writer.put(frame)
        clock.last_frame()
    return clock.profile(FRAMES, decoding=decoding, sinks={"write": writer.times})


@pytest.mark.parametrize("slow", ["decode", "network", "write"])
def test_the_slowest_stage_is_busy_and_the_others_wait_for_it(slow: str) -> None:
    decode_s, network_s, write_s = (SLOW_S if name == slow else QUICK_S for name in ("decode", "network", "write"))
    profile = profiled(decode_s=decode_s, network_s=network_s, write_s=write_s)
    decode, network, write = profile.stages
    by_name = {stage.name: stage for stage in profile.stages}
    assert max(by_name, key=lambda name: by_name[name].busy) == slow
    # Sleeps may last longer than asked for, never shorter.
    assert by_name[slow].busy_ms >= 1000 * SLOW_S * 0.99
    assert by_name[slow].busy > 0.5
    assert (decode.blocked > 0.3) == (slow != "decode")
    assert (network.starved > 0.3) == (slow == "decode")
    assert (network.blocked > 0.3) == (slow == "write")
    assert (write.starved > 0.3) == (slow != "write")
    queues = {queue.name: queue for queue in profile.queues}
    assert (queues["network"].empty > 0.5) == (slow == "decode")
    assert (queues["write"].full > 0.5) == (slow == "write")


def test_shares_of_several_threads_are_of_their_time() -> None:
    write = profiled(decode_s=QUICK_S, network_s=SLOW_S, write_s=SLOW_S, workers=2).stages[-1]
    assert write.threads == 2
    assert 0.2 < write.busy < 0.75  # one of two is enough
    assert write.busy + write.starved == pytest.approx(1, abs=0.1)


def test_parts_count_within_the_work_and_from_any_thread() -> None:
    times = StageTimes(depth=1)
    with times.busy(), times.busy("read"):
        sleep(QUICK_S)
    assert list(times.timed(iter([1, 2]), "read")) == [1, 2]
    assert times.busy_s > 0
    assert times.parts["read"] >= QUICK_S


@pytest.mark.parametrize("output", ["o.exr", "o.mkv"])
def test_the_command_prints_a_table_and_puts_it_into_json(tmp_path: Path, output: str) -> None:
    source = counting_clip(tmp_path / "a.mp4", count=6)
    options: list[object] = ["--exposures", "1,8", "--response", "gamma2.2", "--threads", 1, "--device", "cpu"]
    options += ["--weights", save_lite(tmp_path / "w.safetensors"), "--preview", tmp_path / "p.mp4", "--json"]
    options += ["--codec", "ffv1"] if output == "o.mkv" else []
    result = invoke("convert", source, "-o", tmp_path / output, *options, "--profile")
    assert result.exit_code == 0, result.output
    head = result.stderr.splitlines().index("stage       threads  ms/frame    busy  waits for input  waits for room")
    assert [line.split()[0] for line in result.stderr.splitlines()[head + 1 :]][:2] == ["decode", "read"]
    profile = json.loads(result.stdout)["profile"]
    assert [stage["name"] for stage in profile["stages"]] == ["decode", "network", "write", "preview"]
    assert profile["frames"] == 6
    assert list(profile["stages"][2]["parts_ms"]) == ["color", "compress" if output == "o.exr" else "encode"]
    quiet = invoke("convert", source, "-o", tmp_path / output, *options, "-y")
    assert "threads" not in quiet.stderr
    assert json.loads(quiet.stdout)["profile"] is None
