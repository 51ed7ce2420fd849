"""The learning rate follows steps or the clock, and a stretch ends in time; the clock is a fake."""

import math
from dataclasses import dataclass, field, replace
from pathlib import Path

import pytest
from support.tiny_training import new_run, tiny_config, tiny_trainer

from train.checkpoint import Checkpoint, Row, RunFolder
from train.lr_schedule import Schedule, TimeBudget

CONFIG = tiny_config(lr=1.0, warmup=2, steps=10)


@dataclass
class Clock:
    """Goes on by `tick_s` whenever it is asked."""

    time_s: float = 100.0
    tick_s: float = 0.0
    asked: list[float] = field(default_factory=list)

    def __call__(self) -> float:
        """Tell the time."""
        self.time_s += self.tick_s
        return self.time_s

    def budget(self, length_s: float, *, reserve_s: float = 0.0) -> TimeBudget:
        """Make a budget that begins now."""
        return TimeBudget(length_s=length_s, reserve_s=reserve_s, began=self.time_s, now=self)


def test_a_stretch_keeps_its_reserve() -> None:
    clock = Clock()
    budget = clock.budget(60, reserve_s=20)
    assert budget.used_share == 0
    clock.time_s += 39
    assert budget.used_share < 1
    clock.time_s += 2
    assert budget.used_share == 1


def test_three_stretches_of_the_clock_are_one_cosine() -> None:
    clock, before, rates = Clock(), 0.0, []
    for number in range(3):
        schedule = Schedule(config=CONFIG, budget=clock.budget(540, reserve_s=40), total_s=1500, before_s=before)
        while not schedule.should_stop(5):
            rates.append(schedule.rate(5))
            clock.time_s += 10
        assert schedule.is_finished(5) == (number == 2)
        before = schedule.elapsed_s
        clock.time_s += 1000  # whatever lies between two stretches does not count
    assert rates == sorted(rates, reverse=True)
    assert rates[0] == 1
    assert rates[-1] == pytest.approx(0, abs=1e-3)
    assert rates[50] == pytest.approx(0.5 * (1 + math.cos(math.pi * 540 / 1500)))  # the first stretch counts in whole
    assert len(rates) == 50 + 50 + math.ceil(50 * (1500 - 1080) / 540)


def test_the_clock_leaves_the_warm_up_and_constant_rates_alone() -> None:
    clock = Clock()
    schedule = Schedule(config=CONFIG, budget=clock.budget(100), total_s=100)
    clock.time_s += 50
    assert [schedule.rate(step) for step in (0, 1, 2)] == [0.5, 1.0, pytest.approx(0.5)]
    assert replace(schedule, config=tiny_config(schedule="constant", lr=0.3)).rate(50) == 0.3


def test_the_clock_says_how_many_steps_the_run_will_have() -> None:
    clock = Clock()
    schedule = Schedule(config=CONFIG, budget=clock.budget(100), total_s=400)
    clock.time_s += 100
    assert schedule.expected_steps(33) == 132
    assert Schedule(config=CONFIG, budget=clock.budget(1)).expected_steps(33) == CONFIG.steps


def test_steps_end_a_run_and_a_stretch_interrupts_it() -> None:
    clock = Clock()
    schedule = Schedule(config=CONFIG, budget=clock.budget(100))
    assert (schedule.should_stop(9), schedule.should_stop(10), schedule.is_finished(10)) == (False, True, True)
    clock.time_s += 100
    assert (schedule.should_stop(3), schedule.is_finished(3)) == (True, False)
    assert schedule.rate(3) == Schedule(config=CONFIG).rate(3)


def test_a_run_by_the_clock_goes_on_in_a_second_stretch_and_ends(tmp_path: Path) -> None:
    config = tiny_config(steps=1, lr=1e-3, warmup=0, validate_every=1000)
    heard: list[Row] = []
    new_run(tmp_path, config)
    for number in range(2):
        trainer = tiny_trainer(tmp_path, config)
        if number:
            trainer.restore(Checkpoint.load(RunFolder(tmp_path).checkpoint))
        clock = Clock(tick_s=1.0)
        budget = clock.budget(30, reserve_s=5)
        trainer.schedule = Schedule(config=config, budget=budget, total_s=60, before_s=trainer.elapsed_s)
        assert trainer.run(heard.append) == (number == 1)
        assert "val_psnr_t" in heard[-1]  # each stretch ends with a validation
    steps = [row for row in heard if "loss" in row]
    assert [row["step"] for row in steps] == list(range(1, len(steps) + 1))
    assert steps[0]["lr"] == pytest.approx(1e-3, rel=0.01)
    assert 0 <= steps[-1]["lr"] < 1e-5
    state = Checkpoint.load(RunFolder(tmp_path).checkpoint)
    assert (state.elapsed_s, state.config["steps"], state.step) == (60, len(steps), len(steps))
