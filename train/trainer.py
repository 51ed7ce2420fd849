"""The training loop: steps, averaged weights, validation and exact resume; in one process or in several."""

import dataclasses
import json
import math
import signal
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from types import FrameType
from typing import Any, cast

import numpy as np
import torch
from numpy.random import SeedSequence
from torch import Tensor, nn
from torch.optim.swa_utils import AveragedModel

from model.color import mu_law
from model.pretrained import Network, save_network
from train.acceleration import autocast, checkpoint_activations, compute_dtype
from train.checkpoint import Checkpoint, Row, RunFolder
from train.config import TrainConfig
from train.data.loader import Batch, BatchShard, Sample, SampleSource, batches, prefetch_to_device
from train.diagnostics import find_non_finite, find_non_finite_gradient, memory_advice
from train.distributed import SINGLE, DistributedContext, local_gradients
from train.errors import TrainError
from train.evaluation.metrics import psnr
from train.logger import RunLogger
from train.losses import LOSSES
from train.lr_schedule import Schedule
from train.montage import SHEET_ROWS

ENDLESS = 10**9  # a run by the clock ends when its time is over, however many steps that makes
Listener = Callable[[Row], None]


@dataclass
class Mean:
    """A running mean, kept as sum and count."""

    total: float = 0.0
    count: float = 0.0

    def add(self, values: Tensor | float) -> None:
        """Add a value, or all values of a tensor."""
        values = values if isinstance(values, Tensor) else torch.tensor(values, dtype=torch.float64)
        self.total += values.sum().item()
        self.count += values.numel()


def average_weights(network: nn.Module, decay: float) -> AveragedModel:
    """Copy a network into an exponential moving average of its weights; early steps move it more.

    Of the old average a share of min(decay, (1 + n) / (10 + n)) is kept at step n.
    """

    @torch.no_grad()
    def update(averages: list[Tensor], weights: list[Tensor], count: Tensor | int) -> None:
        step = int(count)
        torch._foreach_lerp_(averages, weights, 1 - min(decay, (1 + step) / (10 + step)))

    average = AveragedModel(network, multi_avg_fn=cast(Any, update))
    average.n_averaged.fill_(1)  # the initial weights count, else the first step would replace them
    return average.eval().requires_grad_(False)


@contextmanager
def catch_interrupt() -> Iterator[threading.Event]:
    """Let the first SIGINT or SIGTERM set the event that this yields; the second acts as ever."""
    interrupted = threading.Event()
    handlers: dict[signal.Signals, Any] = {}

    def request(_number: int, _frame: FrameType | None) -> None:
        interrupted.set()
        for number, handler in handlers.items():
            signal.signal(number, handler)

    # Python lets only the main thread set handlers.
    if threading.current_thread() is threading.main_thread():
        handlers.update({number: signal.signal(number, request) for number in (signal.SIGINT, signal.SIGTERM)})
    try:
        yield interrupted
    finally:
        for number, handler in handlers.items():
            signal.signal(number, handler)


class Trainer:
    """Trains one network into one folder.

    Args:
        network: On its device; called with ldr (B, N, 3, H, W), exposures (B, N) and precision (B, 6).
        validation: Held-out samples, this process's shard of them.
        context: The processes that train together; the main one alone writes files.

    Raises:
        TrainError: If the batch does not divide among the processes.
    """

    def __init__(
        self,
        network: Network,
        config: TrainConfig,
        *,
        source: SampleSource,
        validation: Sequence[Sample],
        folder: RunFolder,
        tensorboard: bool = False,
        context: DistributedContext = SINGLE,
    ) -> None:
        self.network = network.train()
        self.config = config
        self.source = source
        self.schedule = Schedule(config=config)  # of several processes all must follow the same
        self.step = 0
        self.elapsed_s = 0.0
        self._context = context
        self._shard = BatchShard.of(config, context)
        self._validation = [Batch.of([sample]) for sample in validation]
        self._folder = folder
        self._logger = RunLogger(folder, tensorboard=tensorboard and context.is_main)
        self._listener: Listener = lambda _row: None
        self._device = next(network.parameters()).device
        self._dtype = compute_dtype(config.precision, self._device)
        self._loss = LOSSES[config.loss]
        self._optimizer = torch.optim.AdamW(network.parameters(), lr=config.lr, weight_decay=config.weight_decay)
        self._average = average_weights(network, config.ema_decay)
        if config.checkpointing:
            checkpoint_activations(network)
        # Nothing else may be called in training: the wrapper averages the gradients over the processes.
        self._wrapped = context.wrap(network)
        self._means = {"loss": Mean(), "psnr_t": Mean()}  # since the last row of metrics
        self._waited_s = 0.0
        self._best = -math.inf
        self._saved_at = self._row_at = time.monotonic()

    def restore(self, checkpoint: Checkpoint) -> None:
        """Load the state of a checkpoint; the next steps are those of the run that was never stopped."""
        self.step, self.elapsed_s, self._best = checkpoint.step, checkpoint.elapsed_s, checkpoint.best
        self._means = {name: Mean(*sums) for name, sums in checkpoint.means.items()}
        self.network.load_state_dict(checkpoint.network)
        self._average.load_state_dict(checkpoint.average)
        self._optimizer.load_state_dict(checkpoint.optimizer)

    def run(self, listener: Listener) -> bool:
        """Train until the schedule ends or an interruption, and save either way; return whether the run is finished.

        Args:
            listener: Called with the figures of every step, and of every validation (with `val_psnr_t` among them).

        Raises:
            TrainError: If the loss is not finite (the last checkpoint is left as it was), or the disk refuses.
        """
        if self._context.is_main:
            self._listener = listener
        self._saved_at = self._row_at = time.monotonic()
        if self.step == 0:
            self.save()  # a folder that cannot be written shows now, and a divergence finds a state to return to
        memory = memory_advice(self.config, processes=self._context.size)
        with self._logger.open(self.step), catch_interrupt() as interrupted, memory:
            for parts, waited_here_s in self.batches():
                began = time.monotonic()
                figures = [*self.train_step(parts), waited_here_s, float(interrupted.is_set())]
                loss, psnr_t, waited_s, requests = (
                    total / self._context.size for total in self._context.all_reduce_sum(figures)
                )
                waiting = waited_s / (waited_s + time.monotonic() - began)
                self._log_step(loss, psnr_t, waited_s=waited_s, waiting=waiting)
                is_over = self.schedule.should_stop(self.step)
                if self.config.validation_samples and (is_over or self.step % self.config.validate_every == 0):
                    self._validate()
                if time.monotonic() - self._saved_at > 60 * self.config.checkpoint_minutes:
                    self.save()
                # All processes must stop at the same step, so what they agreed on above counts.
                if is_over or (requests > 0 if self._context.size > 1 else interrupted.is_set()):
                    break
        self.config = dataclasses.replace(self.config, steps=self.schedule.expected_steps(self.step))
        self.save()
        return self.schedule.is_finished(self.step)

    def batches(self) -> Iterator[tuple[list[Batch], float]]:
        """Yield the parts of each step's batch that fall to this process, and the seconds that it waited for them."""
        by_steps = self.schedule.total_s is None
        config = self.config if by_steps else dataclasses.replace(self.config, steps=ENDLESS)
        is_cuda = self._device.type == "cuda"
        loader = batches(self.source, config, shard=self._shard, first_step=self.step, pinned=is_cuda)
        steps = prefetch_to_device(loader, self._device)
        began = time.monotonic()
        for parts in steps:
            yield parts, time.monotonic() - began
            began = time.monotonic()

    def train_step(self, parts: Sequence[Batch]) -> tuple[float, float]:
        """Take one optimizer step and move the averaged weights; return mean loss and PSNR_T before the step.

        Args:
            parts: This process's shard of the batch, in parts of one size.

        Raises:
            TrainError: If loss or gradient is not finite; the weights are left as they were.
        """
        # What a network draws at random depends on seed, step and process alone, so no generator need be saved.
        seeds = SeedSequence([self.config.seed, self.step, self._context.rank])
        torch.manual_seed(int(seeds.generate_state(1, np.uint64)[0]))
        rate = self.schedule.rate(self.step)

        self._optimizer.zero_grad(set_to_none=True)
        figures = torch.zeros(2, device=self._device)
        for index, batch in enumerate(parts):
            with local_gradients(self._wrapped, enabled=index < len(parts) - 1):
                output, truth = self._predict(self._wrapped, batch), mu_law(batch.truth)
                first, second = output.chunk(2)
                first_truth, second_truth = truth.chunk(2)
                loss = self._loss.total(first, second, truth=first_truth, next_truth=second_truth)
                (loss / len(parts)).backward()  # type: ignore[no-untyped-call]
            figures += torch.stack((loss.detach(), psnr(output.detach(), truth).mean())) / len(parts)

        mean_loss, mean_psnr_t = figures.tolist()
        self._clip_gradients(parts, mean_loss)
        for group in self._optimizer.param_groups:
            group["lr"] = rate
        self._optimizer.step()
        self._average.update_parameters(self.network)
        self.step += 1
        return mean_loss, mean_psnr_t

    def save(self) -> None:
        """Write the state to resume from, and the averaged weights, in the main process.

        Where the disk refuses, a TrainError is raised and the former files are left as they were.
        """
        self._saved_at, self.elapsed_s = time.monotonic(), self.schedule.elapsed_s
        if not self._context.is_main:
            return
        checkpoint = Checkpoint(
            step=self.step,
            config=dataclasses.asdict(self.config),
            design=dataclasses.asdict(self.network.config),
            network=self.network.state_dict(),
            average=self._average.state_dict(),
            optimizer=self._optimizer.state_dict(),
            means={name: (mean.total, mean.count) for name, mean in self._means.items()},
            best=self._best,
            elapsed_s=self.elapsed_s,
        )
        checkpoint.save(self._folder.checkpoint)
        self._write_weights("last", {"step": self.step})

    def _predict(self, network: nn.Module, batch: Batch) -> Tensor:
        """Return a network's radiance in mu-law values, (2B, 3, H, W)."""
        with autocast(self._device, self._dtype):
            radiance: Tensor = network(batch.ldr, batch.exposures, batch.precision).radiance
        return mu_law(radiance.float())

    def _clip_gradients(self, parts: Sequence[Batch], loss: float) -> None:
        """Limit the norm of the gradient, unless it or the loss is not finite."""
        origin: str | None
        if not math.isfinite(loss):
            origins = (find_non_finite(self.network, part, predict=self._predict) for part in parts)
            name, value, origin = "loss", loss, next((origin for origin in origins if origin), "the loss itself")
        else:
            try:
                nn.utils.clip_grad_norm_(self.network.parameters(), self.config.clip_norm, error_if_nonfinite=True)
                return
            except RuntimeError:
                name, value, origin = "gradient", math.nan, find_non_finite_gradient(self.network)
                if origin is None:
                    raise
        raise TrainError(
            f"the {name} is {value} at step {self.step + 1}, it began in {origin}; {self._folder.checkpoint} keeps the "
            f"last good state: start again with --init {self._folder.weights('last')} and a lower --lr than "
            f"{self.config.lr:g}"
        )

    def _log_step(self, loss: float, psnr_t: float, *, waited_s: float, waiting: float) -> None:
        """Report a step to the listener, and the mean of several to the log."""
        rate = self._optimizer.param_groups[0]["lr"]
        self._listener({"step": self.step, "loss": loss, "psnr_t": psnr_t, "lr": rate, "waiting": waiting})
        self._means["loss"].add(loss)
        self._means["psnr_t"].add(psnr_t)
        self._waited_s += waited_s
        if self.step % self.config.log_every and not self.schedule.is_finished(self.step):
            return
        seconds = time.monotonic() - self._row_at
        pace = self.config.batch * self._means["loss"].count / seconds
        row = {"step": self.step, **{name: mean.total / mean.count for name, mean in self._means.items()}}
        row |= {"samples_per_s": round(pace, 3), "waiting": round(self._waited_s / seconds, 3), "lr": rate}
        if self._context.is_main:
            self._logger.log(row)
        self._means = {name: Mean() for name in self._means}
        self._row_at, self._waited_s = time.monotonic(), 0.0

    @torch.no_grad()
    def _validate(self) -> None:
        """Score the averaged weights and the start that they correct, and keep the weights if they are the best."""
        began = time.monotonic()
        means = {"val_psnr_t": Mean(), "val_start_psnr_t": Mean()}
        for batch in self._validation:
            batch = batch.to(self._device)
            prediction, truth = self._average(batch.ldr, batch.exposures, batch.precision), mu_law(batch.truth)
            means["val_psnr_t"].add(psnr(mu_law(prediction.radiance), truth))
            if getattr(prediction, "start", None) is not None:
                means["val_start_psnr_t"].add(psnr(mu_law(prediction.start), truth))
        row: Row = {"step": self.step}
        for name, mean in means.items():
            total, count = self._context.all_reduce_sum((mean.total, mean.count))
            if count:
                row[name] = total / count
        self._listener(row)
        if self._context.is_main:
            self._logger.log(row)
            examples = [batch.to(self._device) for batch in self._validation[:SHEET_ROWS]]
            self._logger.show(self._average, examples, step=self.step)
        if row["val_psnr_t"] > self._best:
            self._best = row["val_psnr_t"]
            self._write_weights("best", row)
        self._row_at += time.monotonic() - began  # validating is not training: it does not count as slowness

    def _write_weights(self, name: str, figures: Row) -> None:
        if self._context.is_main:
            record = {"name": self._folder.path.resolve().name, "training": json.dumps(dataclasses.asdict(self.config))}
            record |= {key: f"{value:.10g}" for key, value in figures.items()}
            average = cast(Network, self._average.module)
            save_network(average, self._folder.weights(name), record=record, half=False)
