"""What a frame costs: shares of what is done once per frame and once per result, without reading."""

import time

import pytest
import torch

from train.evaluation.cost import PROCESS, Meter, peak_memory_mib, reset_peak_memory

CPU = torch.device("cpu")


def test_shares_add_up_and_reading_is_taken_off() -> None:
    meter = Meter(CPU)
    for _ in range(4):
        with meter.time("prepare"):
            with meter.time("read"):
                time.sleep(0.05)
            time.sleep(0.02)
    with meter.time("combine"):
        time.sleep(0.03)
    # 0.02 per frame and 0.03 per result; sleeping takes longer on a busy machine, reading is four times 0.05
    seconds = meter.cost().seconds
    assert seconds is not None and 0.05 <= seconds < 0.05 + 0.2
    assert (meter.counts["read"], meter.counts["combine"]) == (4, 1)


def test_nothing_computed_costs_nothing_known() -> None:
    assert Meter(CPU).cost().seconds is None


@pytest.mark.skipif(not (PROCESS / "clear_refs").exists(), reason="the system does not tell peaks of memory")
def test_peaks_of_memory_are_those_since_they_were_reset() -> None:
    meter = Meter(CPU)
    with meter.time("combine"):
        block = torch.ones(64 * 2**20)  # 256 MiB
    high = meter.cost().peak_memory_mib
    assert high is not None
    del block
    assert reset_peak_memory(CPU)
    assert peak_memory_mib(CPU) < high - 128
