"""The training loop: one process, exact resume, averaged weights, held-out validation."""

import math
import time
from collections.abc import Callable, Generator, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from model.color import mu_law
from train.average import WeightAverage
from train.batches import Batch, Sample, SampleSource, batches
from train.checkpoint import Checkpoint
from train.config import TrainConfig, TrainError
from train.interrupt import Interrupt
from train.journal import Journal
from train.losses import loss_weights
from train.metrics import psnr
from train.precision import autocast, computing_type
from train.run_folder import Row, RunFolder
from train.samples import SHEET_ROWS

Export = Callable[[nn.Module, Row, Path], None]
Listener = Callable[[Row], None]


def learning_rate(config: TrainConfig, step: int) -> float:
    """Rise linearly over the warm-up, then fall along half a cosine to 0 at the end of the run, or stay there.

    Args:
        config: Decides the highest value, the warm-up, the schedule and the length.
        step: Number of finished steps.
    """
    if step < config.warmup:
        return config.lr * (step + 1) / config.warmup
    if config.schedule == "constant":
        return config.lr
    progress = (step - config.warmup) / max(1, config.steps - config.warmup)
    return config.lr * 0.5 * (1 + math.cos(math.pi * min(1.0, progress)))


class Trainer:
    """Trains one network into one folder.

    Args:
        network: Called with (ldr (B, N, 3, H, W), exposures (B, N)); its answer has `radiance` (B, 3, H, W).
        config: What the run is told.
        source: Where samples come from.
        validation: Fixed held-out samples.
        folder: Where everything goes.
        export: Writes averaged weights; called with the network, its figures and the file.
        design: Values of the network's config, for the checkpoint.
        journal: Takes rows and pictures; by default one into the folder, without TensorBoard.
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
        journal: Journal | None = None,
    ) -> None:
        self.network = network.train()
        self.config = config
        self.step = 0
        self.source = source
        self._folder, self._export = folder, export
        self._validation = [Batch.of([sample]) for sample in validation]
        self._average = WeightAverage(network, config.ema_decay)
        self._optimizer = torch.optim.AdamW(network.parameters(), lr=config.lr, weight_decay=config.weight_decay)
        self._design = design
        self._journal = journal or Journal(folder)
        self._listener: Listener = _nobody
        self._loss = loss_weights(config.loss)
        self._device = next(network.parameters()).device
        self._dtype = computing_type(config.precision, self._device)
        self._pending: Row = _NOTHING_PENDING.copy()
        self._best = -math.inf
        self._saved_at = self._row_at = time.monotonic()

    def restore(self, checkpoint: Checkpoint) -> None:
        """Take up the state of a checkpoint; the next steps are those of the run that was never stopped."""
        self.step, self._best, self._pending = checkpoint.step, checkpoint.best, dict(checkpoint.pending)
        self.network.load_state_dict(checkpoint.network)
        self._average.network.load_state_dict(checkpoint.average)
        self._optimizer.load_state_dict(checkpoint.optimizer)
        torch.set_rng_state(checkpoint.rng)

    def run(self, listener: Listener) -> bool:
        """Train until the end of the schedule, or until interrupted; save either way.

        Args:
            listener: Told the figures of every step, and of every validation (then `val_psnr_t` is among them).

        Returns:
            Whether the end was reached.

        Raises:
            TrainError: If the loss is not finite (the last checkpoint is left as it was), or the disk refuses.
        """
        self._listener = listener
        self._saved_at = self._row_at = time.monotonic()
        if self.step == 0:
            self.save()  # a folder that cannot be written shows now, and a divergence finds a state to return to
        with self._journal.opened(self.step), Interrupt() as interrupt:
            for batch in batches(self.source, self.config, first_step=self.step):
                self._advance(batch.to(self._device))
                if interrupt.requested:
                    break
        self.save()
        return self.step >= self.config.steps

    def rehearse(self) -> Generator[None, None, None]:
        """Take steps of the run without saving or telling anything, to see what they cost; yields after each.

        The network learns from them all the same, so the trainer is of no use for the run afterwards.
        """
        for batch in batches(self.source, self.config, first_step=self.step):
            self._set_learning_rate()
            self._descend(batch.to(self._device))
            self._average.update(self.network, self.step + 1)
            yield

    def _advance(self, batch: Batch) -> None:
        rate = self._set_learning_rate()
        loss, psnr_t = self._descend(batch)
        self.step += 1
        self._average.update(self.network, self.step)
        self._listener({"step": self.step, "loss": loss, "psnr_t": psnr_t, "lr": rate})
        self._log(loss, psnr_t, rate=rate)
        if self.step % self.config.validate_every == 0 or self.step == self.config.steps:
            self._validate()
        if time.monotonic() - self._saved_at > 60 * self.config.checkpoint_minutes:
            self.save()

    def _set_learning_rate(self) -> float:
        rate = learning_rate(self.config, self.step)
        for group in self._optimizer.param_groups:
            group["lr"] = rate
        return rate

    def _descend(self, batch: Batch) -> tuple[float, float]:
        with autocast(self._device, self._dtype):
            radiance = self.network(batch.ldr, batch.exposures).radiance
        output = mu_law(radiance.float())  # (2B, 3, H, W)
        truth = mu_law(batch.truth)
        first, second = output.chunk(2)
        first_truth, second_truth = truth.chunk(2)
        loss = self._loss.total(first, second, truth=first_truth, next_truth=second_truth)
        self._optimizer.zero_grad(set_to_none=True)
        loss.backward()  # type: ignore[no-untyped-call]
        norm = nn.utils.clip_grad_norm_(self.network.parameters(), self.config.clip_norm)
        self._demand_finite(loss=loss, gradient=norm)
        self._optimizer.step()
        return loss.item(), psnr(output.detach(), truth).mean().item()

    def _demand_finite(self, **values: Tensor) -> None:
        for name, value in values.items():
            if not torch.isfinite(value):
                weights = self._folder.weights("last")
                raise TrainError(
                    f"the {name} is {value.item()} at step {self.step + 1}; {self._folder.checkpoint} keeps the last "
                    f"good state: start again with --init {weights} and a lower --lr than {self.config.lr:g}"
                )

    def _log(self, loss: float, psnr_t: float, *, rate: float) -> None:
        pending = self._pending
        for name, value in {"loss": loss, "psnr_t": psnr_t, "steps": 1.0}.items():
            pending[name] += value
        if self.step % self.config.log_every == 0 or self.step == self.config.steps:
            means = {name: pending[name] / pending["steps"] for name in ("loss", "psnr_t")}
            speed = self.config.batch * pending["steps"] / (time.monotonic() - self._row_at)
            self._journal.append({"step": self.step, **means, "samples_per_s": round(speed, 3), "lr": rate})
            self._pending, self._row_at = _NOTHING_PENDING.copy(), time.monotonic()

    def _validate(self) -> None:
        if not self._validation:
            return
        started = time.monotonic()
        row = {"step": self.step, **self._scores()}
        self._journal.append(row)
        shown = [batch.to(self._device) for batch in self._validation[:SHEET_ROWS]]
        self._journal.show(self._average.network, shown, step=self.step)
        self._listener(row)
        if row["val_psnr_t"] > self._best:
            self._best = row["val_psnr_t"]
            self._export(self._average.network, row, self._folder.weights("best"))
        self._row_at += time.monotonic() - started  # validating is not training: it does not count as slowness

    @torch.no_grad()
    def _scores(self) -> Row:
        """Mean PSNR_T of the averaged weights, and of the start that they correct."""
        sums: Row = {}
        for batch in self._validation:
            batch = batch.to(self._device)
            prediction = self._average.network(batch.ldr, batch.exposures)
            pictures = {"val_psnr_t": prediction.radiance, "val_start_psnr_t": getattr(prediction, "start", None)}
            for name, radiance in pictures.items():
                if radiance is not None:
                    sums[name] = sums.get(name, 0.0) + psnr(mu_law(radiance), mu_law(batch.truth)).mean().item()
        return {name: total / len(self._validation) for name, total in sums.items()}

    def save(self) -> None:
        """Write the state to resume from, and the averaged weights.

        Raises:
            TrainError: If the disk refuses; the former files are left as they were.
        """
        checkpoint = Checkpoint(
            step=self.step,
            config=self.config.as_dict(),
            design=self._design,
            network=self.network.state_dict(),
            average=self._average.network.state_dict(),
            optimizer=self._optimizer.state_dict(),
            rng=torch.get_rng_state(),
            pending=self._pending,
            best=self._best,
        )
        checkpoint.save(self._folder.checkpoint)
        self._export(self._average.network, {"step": self.step}, self._folder.weights("last"))
        self._saved_at = time.monotonic()


def _nobody(_row: Row) -> None:
    pass


_NOTHING_PENDING: Row = {"loss": 0.0, "psnr_t": 0.0, "steps": 0.0}
