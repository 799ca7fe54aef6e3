"""Averages of the weights over training steps, which often generalise better than the last weights.

Both are moving averages: after each step the new average is a weighted mean of the old average and the weights of the
network. They differ in the share of the old average, which is a function of the number of averaged steps.
"""

import logging
import math
from collections.abc import Callable, Iterable
from itertools import compress, islice
from typing import Any

import pytorch_lightning as pl
import torch
from torch import nn
from torch.optim.swa_utils import AveragedModel

from amazon_ml.data.batches.dataset import Batch
from amazon_ml.errors import InputError
from amazon_ml.models.layers import batch_norms, trains

log = logging.getLogger(__name__)

#: Number of training batches for a new estimate of batch norms.
NORM_BATCHES = 100


def exponential(decay: float) -> "AveragedWeights":
    """Make an exponential moving average of all steps: `decay` is the share of the old average at each step.

    The share rises to `decay` as ``(1 + n) / (10 + n)``, where n is the number of averaged steps, so that the first
    weights, which are the worst, soon lose their influence (as in TensorFlow's moving average). Running statistics of
    batch norms, which are moving averages themselves, are averaged in the same way.
    """
    return AveragedWeights(lambda n: min(decay, (1 + n) / (10 + n)))


def equal(last: float) -> "AveragedWeights":
    """Make an equal average of the last share of the steps (stochastic weight averaging, Izmailov et al. 2018).

    No former weights had the activations of this average, so the running statistics of batch norms are estimated again
    before each validation and at the end.
    """
    return AveragedWeights(lambda n: n / (n + 1), last, new_norms=True)


class AveragedWeights(pl.callbacks.WeightAveraging):
    """Averages weights: validation uses the average, and training ends with it; checkpoints hold both kinds of weights.

    Parameters
    ----------
    kept
        Share of the old average, in 0..1, by the number of averaged steps.
    last
        Share of the steps, at the end, that are averaged, in 0..1. Before them, validation uses the running weights.
    new_norms
        Whether batch norms are estimated again.
    """

    def __init__(self, kept: Callable[[int], float], last: float = 1.0, *, new_norms: bool = False) -> None:
        super().__init__()
        self._kept, self._last, self._new_norms = kept, last, new_norms
        self._first_step = 0
        self._norms_of = 0  # number of averaged steps at the last estimate of norms
        self._ended = False

    def setup(self, trainer: pl.Trainer, pl_module: pl.LightningModule, stage: str) -> None:
        """Put the average on the training device, where the network goes later, in float32."""
        if str(trainer.precision).endswith("-true") and trainer.precision != "32-true":
            raise InputError(
                f"weights in `trainer.precision` {trainer.precision} cannot be averaged", option="trainer.precision",
                remedy="use 32-true or bf16-mixed, or omit `model.ema` and `model.swa`",
            )  # fmt: skip
        self._device = trainer.strategy.root_device
        super().setup(trainer, pl_module, stage)
        if self._average_model is not None:
            self._average_model.n_averaged = self._average_model.n_averaged.cpu()

    def on_train_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Compute the first averaged step."""
        steps = int(trainer.estimated_stepping_batches)
        self._first_step = min(steps - 1, math.floor(steps * (1 - self._last)))

    def on_train_batch_end(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, outputs: Any, batch: Batch, batch_idx: int
    ) -> None:
        """Add the weights of the step to the average."""
        step = trainer.global_step
        if step > self._latest_update_step and self.should_update(step_idx=step - 1):
            assert self._average_model is not None
            update_average(self._average_model, pl_module, self._kept)
            self._latest_update_step = step

    def should_update(self, step_idx: int | None = None, epoch_idx: int | None = None) -> bool:
        """Average after steps, not after epochs."""
        return step_idx is not None and step_idx >= self._first_step

    def on_validation_epoch_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Replace the running weights by the average."""
        if self._count():
            super().on_validation_epoch_start(trainer, pl_module)
            self._estimate_norms(trainer, pl_module)

    def on_validation_epoch_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Restore the running weights."""
        if self._count():
            super().on_validation_epoch_end(trainer, pl_module)

    def on_train_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Set the network to the average."""
        self._ended = True
        if self._count():
            super().on_train_end(trainer, pl_module)
            self._estimate_norms(trainer, pl_module)
        else:
            log.warning("training ended at step %d, before the first averaged step %d; the weights are those of the "
                        "last step", trainer.global_step, self._first_step)  # fmt: skip

    def on_fit_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Do the same if a resumed run had no step left, since Lightning then skips the end of training."""
        if not self._ended:
            self.on_train_end(trainer, pl_module)

    def state_dict(self) -> dict[str, Any]:
        """Return the state for a checkpoint, beside the average itself."""
        return {**super().state_dict(), "norms_of": self._norms_of}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Restore that state."""
        super().load_state_dict(state_dict)
        self._norms_of = state_dict["norms_of"]

    def _count(self) -> int:
        """Return the number of averaged steps."""
        return 0 if self._average_model is None else int(self._average_model.n_averaged)

    def _estimate_norms(self, trainer: pl.Trainer, module: pl.LightningModule) -> None:
        if not self._new_norms or self._norms_of == self._count():
            return
        loader = trainer.datamodule.train_dataloader()  # type: ignore[attr-defined]
        with trainer.precision_plugin.val_step_context():
            estimate_norms(module, islice(loader, NORM_BATCHES), module.size_now())  # type: ignore[operator]
        self._norms_of = self._count()


@torch.no_grad()
def update_average(average: AveragedModel, network: nn.Module, kept: Callable[[int], float]) -> None:
    """Add the weights of a network to an average.

    This is ``AveragedModel.update_parameters`` with its count on the host, since reading it from a GPU would delay
    every step.

    Parameters
    ----------
    average
        The average, with ``n_averaged`` on the host.
    network
        The network, on the device of the average.
    kept
        Share of the old average, in 0..1, by the number of averaged steps.
    """
    count = int(average.n_averaged)
    own, new = ([*module.parameters(), *module.buffers()] for module in (average.module, network))
    moved = [count > 0 and value.is_floating_point() for value in own]
    copied = [not one for one in moved]  # the first weights, and integer counters of batches
    if any(moved):
        torch._foreach_lerp_([*compress(own, moved)], [*compress(new, moved)], 1 - kept(count))
    if any(copied):
        torch._foreach_copy_([*compress(own, copied)], [*compress(new, copied)])
    average.n_averaged += 1


@torch.no_grad()
def estimate_norms(network: pl.LightningModule, batches: Iterable[Batch], size: int | None = None) -> None:
    """Set the running statistics of the trained batch norms to their means over batches.

    Like ``torch.optim.swa_utils.update_bn``, except that all other layers are in evaluation mode: then statistics
    belong to the activations of prediction, and no random number is drawn.

    Parameters
    ----------
    network
        The tagger.
    batches
        Training batches, augmented as in training.
    size
        Edge to scale their tiles to, pixels; by default they are not scaled.
    """
    norms = {norm: norm.momentum for norm in batch_norms(network) if trains(norm)}
    compiled = {module: module._compiled_call_impl for module in network.modules() if module._compiled_call_impl}
    was_training = network.training
    network.eval()
    for module in compiled:
        module._compiled_call_impl = None  # each norm reads a count from the device, which compiled code cannot do
    for norm in norms:
        norm.reset_running_stats()
        norm.momentum = None  # the mean of all batches instead of a moving average
        norm.train()
    for batch in batches:
        network(batch["image"].to(network.device), size)
    for norm, momentum in norms.items():
        norm.momentum = momentum
    for module, call in compiled.items():
        module._compiled_call_impl = call
    network.train(was_training)
