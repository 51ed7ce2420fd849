"""One step of a training run: passes forward and backward over the parts of a batch, then the optimizer."""

import math
from collections.abc import Sequence

import torch
from torch import Tensor, nn

from model.color import mu_law
from train.batches import Batch
from train.compilation import compile_network
from train.config import TrainConfig
from train.distributed import Team, keeping_gradients
from train.faults import NotFiniteError, first_not_finite, gradient_not_finite
from train.losses import loss_weights
from train.metrics import psnr
from train.precision import autocast, computing_type
from train.recomputation import recompute_activations
from train.vgg import load_vgg


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
        self._perceptual = load_vgg().to(self.device) if self._loss.perceptual else None
        self._dtype = computing_type(config.precision, self.device)
        if config.checkpointing:
            recompute_activations(network)
        if config.compile:
            compile_network(network, self.device)
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
        loss = self._loss.total(first, second, truth=first_truth, next_truth=second_truth, perceptual=self._perceptual)
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
