"""Length of training: batches of an epoch, tiles in a step, and steps and epochs that it does not reach."""

import logging

import pytorch_lightning as pl

from amazon_ml.data.datamodule import PlanetDataModule
from amazon_ml.errors import InputError
from amazon_ml.runs.config import RunConfig
from amazon_ml.runs.trainer import TrainerConfig
from amazon_ml.runtime import distributed

log = logging.getLogger(__name__)


def check_batches(how: TrainerConfig, data: PlanetDataModule) -> None:
    """Check shares and numbers of batches against the batches of an epoch.

    Raises
    ------
    InputError
        Where a share is less than one batch, or no validation would come within an epoch.
    """
    for option, loader in (("limit_train_batches", data.train_dataloader), ("limit_val_batches", data.val_dataloader)):
        share = getattr(how, option)
        if isinstance(share, float) and share and not int(share * (count := len(loader()))):
            raise InputError(f"`trainer.{option}` {share:g} is less than one of {count} batches",
                             option=f"trainer.{option}", remedy="give a number of batches, such as 1")  # fmt: skip
    every, validates = how.val_check_interval, how.limit_val_batches != 0 and how.check_val_every_n_epoch is not None
    if isinstance(every, int) and validates and every > (most := _trained_batches(how, data)) > 0:
        raise InputError(
            f"`trainer.val_check_interval` {every}: an epoch has {most} batches", option="trainer.val_check_interval",
            remedy="give no more; or set `trainer.check_val_every_n_epoch` to null, so that the batches of all epochs "
            "count",
        )  # fmt: skip


def _trained_batches(how: TrainerConfig, data: PlanetDataModule) -> int:
    count, limit = len(data.train_dataloader()), how.limit_train_batches
    return count if limit is None else int(count * limit) if isinstance(limit, float) else min(count, limit)


def log_step_size(config: RunConfig) -> None:
    """Log the number of tiles of a step: it grows with the processes, and the learning rate does not change."""
    tiles, batches = config.data.batch_size, config.trainer.accumulate_grad_batches
    if distributed.count() > 1:
        log.info("%d processes: a step has %d tiles, %d in each; the learning rate is %g for any number of processes",
                 distributed.count(), distributed.count() * tiles * batches, tiles * batches,
                 config.model.lr)  # fmt: skip


def warn_ended(config: RunConfig, trainer: pl.Trainer, epochs: int) -> None:
    """Warn if training ended before its last step, or in an earlier epoch than the options let expect."""
    done, planned = trainer.global_step, int(trainer.estimated_stepping_batches)
    if done < planned:
        limit = "" if config.trainer.max_time is None else f" (`trainer.max_time` {config.trainer.max_time})"
        falls = "" if config.model.schedule == "constant" else ": the learning rate had not fallen to its end"
        log.warning("training ended at step %d of %d%s%s", done, planned, limit, falls)
    if epochs != config.trainer.epochs:
        warn_unreached(config, epochs)


def warn_unreached(config: RunConfig, epochs: int | None) -> None:
    """Warn of changes in epochs that training does not reach, where their number is known."""
    model = config.model
    if epochs in (None, -1):
        return
    reached = {epoch: edge for epoch, edge in model.progressive_resizing.items() if epoch < epochs}
    if reached and (edge := reached[max(reached)]) != config.data.size:
        log.warning("`model.progressive_resizing`: training ends on tiles of %d px, but predictions use %d px "
                    "(`data.size`)", edge, config.data.size)  # fmt: skip
    if late := [epoch for epoch in model.unfreeze if epoch >= epochs]:
        log.warning("`model.unfreeze`: training ends before epoch %d, so part of the backbone stays frozen", min(late))
