"""The training loop: exact resume, averaged weights, held-out validation; alone or with other processes."""

import copy
import dataclasses
import math
import signal
import threading
import time
from collections.abc import Callable, Generator, Sequence
from contextlib import AbstractContextManager
from pathlib import Path
from types import FrameType, TracebackType
from typing import Any

import numpy as np
import torch
from numpy.random import SeedSequence
from torch import Tensor, nn

from model.color import mu_law
from train.acceleration import autocast, checkpoint_activations, compute_dtype
from train.checkpoint import Checkpoint, Row, RunFolder
from train.config import TrainConfig
from train.data.loader import Batch, Sample, SampleSource, Share, Waited, batches, on_device
from train.diagnostics import NotFiniteError, first_not_finite, gradient_not_finite, memory_advised
from train.distributed import ALONE, Team, keeping_gradients
from train.errors import TrainError
from train.evaluation.metrics import psnr
from train.logger import RunLogger
from train.losses import loss_weights
from train.lr_schedule import Course, StepCourse
from train.montage import SHEET_ROWS


class Descent:
    """Moves a network down the gradient of its loss.

    Args:
        network: What is trained, on its device.
        config: Decides loss, optimizer and arithmetic.
        team: The processes that train it together; gradients are means over all of them.
    """

    def __init__(self, network: nn.Module, config: TrainConfig, team: Team) -> None:
        self._network = network
        self._clip_norm = config.clip_norm
        self._loss = loss_weights(config.loss)
        self.optimizer = torch.optim.AdamW(network.parameters(), lr=config.lr, weight_decay=config.weight_decay)
        self.device = next(network.parameters()).device
        self._dtype = compute_dtype(config.precision, self.device)
        if config.checkpointing:
            checkpoint_activations(network)
        # Nothing else may be called in training: what wraps the network is what averages its gradients.
        self._called = team.wrap(network)

    def step(self, parts: Sequence[Batch], rate: float) -> tuple[float, float]:
        """Take one step.

        Args:
            parts: This process's share of the batch, all of one size.
            rate: Learning rate.

        Returns:
            Mean loss and PSNR_T of this process's share, before the step.

        Raises:
            NotFiniteError: If the loss or the gradient is not finite; the weights are left as they were.
        """
        self.optimizer.zero_grad(set_to_none=True)
        figures = torch.zeros(2, device=self.device)
        for part in parts[:-1]:
            with keeping_gradients(self._called):
                figures += self._add_gradient(part, 1 / len(parts))
        figures += self._add_gradient(parts[-1], 1 / len(parts))
        loss, psnr_t = figures.tolist()
        self._clip(parts, loss)
        for group in self.optimizer.param_groups:
            group["lr"] = rate
        self.optimizer.step()
        return loss, psnr_t

    def _add_gradient(self, batch: Batch, share: float) -> Tensor:
        """Add a part's gradient to those before it; return its share of the mean loss and PSNR_T, (2,)."""
        output, truth = self._values(self._called, batch), mu_law(batch.truth)
        first, second = output.chunk(2)
        first_truth, second_truth = truth.chunk(2)
        loss = self._loss.total(first, second, truth=first_truth, next_truth=second_truth)
        (loss * share).backward()  # type: ignore[no-untyped-call]
        return share * torch.stack((loss.detach(), psnr(output.detach(), truth).mean()))

    def _values(self, network: nn.Module, batch: Batch) -> Tensor:
        """Let a network answer, in mu-law values, (2B, 3, H, W)."""
        with autocast(self.device, self._dtype):
            radiance: Tensor = network(batch.ldr, batch.exposures, batch.precision).radiance
        return mu_law(radiance.float())

    def _clip(self, parts: Sequence[Batch], loss: float) -> None:
        """Limit the gradient's length, unless it or the loss that it belongs to is not finite."""
        if not math.isfinite(loss):
            places = (first_not_finite(self._network, part, answer=self._values) for part in parts)
            raise NotFiniteError("loss", loss, next((place for place in places if place), "the loss itself"))
        weights = list(self._network.parameters())
        try:
            nn.utils.clip_grad_norm_(weights, self._clip_norm, error_if_nonfinite=True)
        except RuntimeError as error:
            if (place := gradient_not_finite(self._network)) is None:
                raise
            raise NotFiniteError("gradient", math.nan, place) from error


class WeightAverage:
    """A copy of a network whose weights follow it slowly.

    Args:
        network: The network that is trained.
        decay: Share of the old average kept per step, in [0, 1), reached gradually.
    """

    def __init__(self, network: nn.Module, decay: float) -> None:
        self.network = copy.deepcopy(network).eval().requires_grad_(False)
        self._decay = decay

    @torch.no_grad()
    def update(self, network: nn.Module, step: int) -> None:
        """Move the average towards `network`; early steps move it more: decay = min(decay, (1 + n) / (10 + n)).

        Args:
            network: The network after its step.
            step: Number n of finished steps.
        """
        decay = min(self._decay, (1 + step) / (10 + step))
        averages: list[Tensor] = list(self.network.parameters())
        torch._foreach_lerp_(averages, list(network.parameters()), 1 - decay)
        for average, current in zip(self.network.buffers(), network.buffers(), strict=True):
            average.copy_(current)


_SIGNALS = (signal.SIGINT, signal.SIGTERM)


class Interrupt:
    """A context in which the first SIGINT or SIGTERM sets `requested`; the second acts as ever."""

    def __init__(self) -> None:
        self.requested = False
        self._former: dict[signal.Signals, Any] = {}

    def __enter__(self) -> "Interrupt":
        # Python lets only the main thread set handlers; elsewhere nobody asks.
        if threading.current_thread() is threading.main_thread():
            self._former = {number: signal.signal(number, self._request) for number in _SIGNALS}
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._restore()

    def _request(self, _number: int, _frame: FrameType | None) -> None:
        self.requested = True
        self._restore()

    def _restore(self) -> None:
        for number, handler in self._former.items():
            signal.signal(number, handler)
        self._former = {}


Export = Callable[[nn.Module, TrainConfig, Row, Path], None]
Listener = Callable[[Row], None]


class Trainer:
    """Trains one network into one folder.

    Args:
        network: Called with (ldr (B, N, 3, H, W), exposures (B, N)); its answer has `radiance` (B, 3, H, W).
        config: What the run is told.
        source: Where samples come from.
        validation: Fixed held-out samples, those of them that fall to this process.
        folder: Where everything goes.
        export: Writes averaged weights; called with the network, the config, its figures and the file.
        design: Values of the network's config, for the checkpoint.
        journal: Takes rows and pictures; by default one into the folder, without TensorBoard.
        team: The processes that train together; the first of them alone writes anything.

    Raises:
        TrainError: If the batch does not divide among the processes.
    """

    def __init__(
        self,
        network: nn.Module,
        config: TrainConfig,
        *,
        source: SampleSource,
        validation: Sequence[Sample],
        folder: RunFolder,
        export: Export,
        design: dict[str, Any],
        journal: RunLogger | None = None,
        team: Team = ALONE,
    ) -> None:
        self.network = network.train()
        self.config = config
        self.step, self.seconds = 0, 0.0
        self._course: Course = StepCourse(config)
        self.source = source
        self._folder, self._export = folder, export
        self._validation = [Batch.of([sample]) for sample in validation]
        self._average = WeightAverage(network, config.ema_decay)
        self._team, self._share = team, Share.of(config, team)
        self._descent = Descent(network, config, team)
        self._design = design
        self._journal = journal or RunLogger(folder)
        self._listener: Listener = _nobody
        self._device = self._descent.device
        self._pending: Row = _NOTHING_PENDING.copy()
        self._waited_s = 0.0
        self._best = -math.inf
        self._saved_at = self._row_at = time.monotonic()

    def restore(self, checkpoint: Checkpoint) -> None:
        """Take up the state of a checkpoint; the next steps are those of the run that was never stopped."""
        self.step, self.seconds = checkpoint.step, checkpoint.seconds
        self._best, self._pending = checkpoint.best, dict(checkpoint.pending)
        self.network.load_state_dict(checkpoint.network)
        self._average.network.load_state_dict(checkpoint.average)
        self._descent.optimizer.load_state_dict(checkpoint.optimizer)

    def follow(self, course: Course) -> None:
        """Take another course than the config's number of steps; of several processes all must see it alike."""
        self._course = course

    def run(self, listener: Listener) -> bool:
        """Train until the course is over, or until interrupted; save either way.

        Args:
            listener: Told the figures of every step, and of every validation (then `val_psnr_t` is among them).

        Returns:
            Whether the end of the run was reached.

        Raises:
            TrainError: If the loss is not finite (the last checkpoint is left as it was), or the disk refuses.
        """
        self._listener = listener if self._team.leads else _nobody
        self._saved_at = self._row_at = time.monotonic()
        if self.step == 0:
            self.save()  # a folder that cannot be written shows now, and a divergence finds a state to return to
        with self._journal.open(self.step), Interrupt() as interrupt, self._memory_advised():
            steps = self._steps()
            for parts in steps:
                if self._advance(parts, waited_s=steps.seconds, interrupt=interrupt):
                    break
        self.config = self._course.settled(self.config, self.step)
        self.save()
        return self._course.finished(self.step)

    def rehearse(self) -> Generator[None, None, None]:
        """Take steps of the run without saving or telling anything, to see what they cost; yields after each.

        The network learns from them all the same, so the trainer is of no use for the run afterwards.
        """
        with self._memory_advised():
            for parts in self._steps():
                self._descend(parts, self._course.rate(self.step))
                self._average.update(self.network, self.step + 1)
                yield

    def _memory_advised(self) -> AbstractContextManager[None]:
        return memory_advised(self.config, processes=self._team.size)

    def _steps(self) -> Waited[list[Batch]]:
        pinned = self._device.type == "cuda"
        endless = dataclasses.replace(self.config, steps=self._course.most_steps)
        steps = batches(self.source, endless, share=self._share, first_step=self.step, pinned=pinned)
        return Waited(on_device(steps, self._device))

    def _advance(self, parts: Sequence[Batch], *, waited_s: float, interrupt: Interrupt) -> bool:
        """Take a step and do what is due after it; return whether to stop, which all processes answer alike."""
        rate, began = self._course.rate(self.step), time.monotonic()
        figures = [*self._descend(parts, rate), waited_s, float(interrupt.requested)]
        loss, psnr_t, waited_s, requests = (total / self._team.size for total in self._team.sums(figures))
        self.step += 1
        self._average.update(self.network, self.step)
        waiting = waited_s / (waited_s + time.monotonic() - began)
        self._listener({"step": self.step, "loss": loss, "psnr_t": psnr_t, "lr": rate, "waiting": waiting})
        self._waited_s += waited_s
        self._log(loss, psnr_t, rate=rate)
        over = self._course.over(self.step)
        if self.step % self.config.validate_every == 0 or over:
            self._validate()
        if time.monotonic() - self._saved_at > 60 * self.config.checkpoint_minutes:
            self.save()
        return over or (requests > 0 if self._team.size > 1 else interrupt.requested)

    def _descend(self, parts: Sequence[Batch], rate: float) -> tuple[float, float]:
        # What a network draws at random depends on seed, step and process alone, so nothing of it need be kept.
        seeds = SeedSequence([self.config.seed, self.step, self._team.rank])
        torch.manual_seed(int(seeds.generate_state(1, np.uint64)[0]))
        try:
            return self._descent.step(parts, rate)
        except NotFiniteError as error:
            raise TrainError(
                f"the {error.name} is {error.value} at step {self.step + 1}, it began in {error.place}; "
                f"{self._folder.checkpoint} keeps the last good state: start again with --init "
                f"{self._folder.weights('last')} and a lower --lr than {self.config.lr:g}"
            ) from error

    def _log(self, loss: float, psnr_t: float, *, rate: float) -> None:
        pending = self._pending
        for name, value in {"loss": loss, "psnr_t": psnr_t, "steps": 1.0}.items():
            pending[name] += value
        if self.step % self.config.log_every == 0 or self._course.finished(self.step):
            means = {name: pending[name] / pending["steps"] for name in ("loss", "psnr_t")}
            seconds = time.monotonic() - self._row_at
            pace = {
                "samples_per_s": self.config.batch * pending["steps"] / seconds,
                "waiting": self._waited_s / seconds,
            }
            self._append({"step": self.step, **means, **{name: round(pace[name], 3) for name in pace}, "lr": rate})
            self._pending, self._row_at, self._waited_s = _NOTHING_PENDING.copy(), time.monotonic(), 0.0

    def _append(self, row: Row) -> None:
        if self._team.leads:
            self._journal.log(row)

    def _validate(self) -> None:
        if self.config.validation_samples == 0:
            return
        started = time.monotonic()
        row = {"step": self.step, **self._scores()}
        self._append(row)
        self._listener(row)
        if self._team.leads:
            shown = [batch.to(self._device) for batch in self._validation[:SHEET_ROWS]]
            self._journal.show(self._average.network, shown, step=self.step)
        if row["val_psnr_t"] > self._best:
            self._best = row["val_psnr_t"]
            self._write_weights("best", row)
        self._row_at += time.monotonic() - started  # validating is not training: it does not count as slowness

    @torch.no_grad()
    def _scores(self) -> Row:
        """Mean PSNR_T of the averaged weights, and of the start that they correct."""
        sums = [0.0, 0.0, 0.0, 0.0]  # of each: the sum and the number of windows
        for batch in self._validation:
            batch = batch.to(self._device)
            prediction = self._average.network(batch.ldr, batch.exposures, batch.precision)
            for place, radiance in enumerate((prediction.radiance, getattr(prediction, "start", None))):
                if radiance is not None:
                    sums[place] += psnr(mu_law(radiance), mu_law(batch.truth)).sum().item()
                    sums[place + 2] += len(batch.truth)
        output, start, outputs, starts = self._team.sums(sums)
        return {"val_psnr_t": output / outputs} | ({"val_start_psnr_t": start / starts} if starts else {})

    def save(self) -> None:
        """Write the state to resume from, and the averaged weights; the leading process does, the others have none to.

        Raises:
            TrainError: If the disk refuses; the former files are left as they were.
        """
        self._saved_at, self.seconds = time.monotonic(), self._course.seconds
        if not self._team.leads:
            return
        checkpoint = Checkpoint(
            step=self.step,
            config=self.config.as_dict(),
            design=self._design,
            network=self.network.state_dict(),
            average=self._average.network.state_dict(),
            optimizer=self._descent.optimizer.state_dict(),
            pending=self._pending,
            best=self._best,
            seconds=self.seconds,
        )
        checkpoint.save(self._folder.checkpoint)
        self._write_weights("last", {"step": self.step})

    def _write_weights(self, name: str, figures: Row) -> None:
        if self._team.leads:
            self._export(self._average.network, self.config, figures, self._folder.weights(name))


def _nobody(_row: Row) -> None:
    pass


_NOTHING_PENDING: Row = {"loss": 0.0, "psnr_t": 0.0, "steps": 0.0}
