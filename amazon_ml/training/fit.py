"""Fits one fold: trains a network on the other folds, and writes the probabilities of the held-out tiles."""

import logging
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Any, cast

import numpy as np
import numpy.typing as npt
import pandas as pd
import pytorch_lightning as pl
import torch
from pytorch_lightning.utilities.exceptions import MisconfigurationException  # type: ignore[attr-defined]
from pytorch_lightning.utilities.rank_zero import rank_zero_only  # type: ignore[attr-defined]
from rich.console import Console
from torch.utils.data import DataLoader

from amazon_ml.data.batches.dataset import Batch
from amazon_ml.data.datamodule import PlanetDataModule
from amazon_ml.errors import InputError, WorkError
from amazon_ml.models.layers import SyncNorms
from amazon_ml.models.tagger import DIVERGED, TileTagger, make_tagger
from amazon_ml.models.weights import load_weights, save_weights
from amazon_ml.runs import hashes
from amazon_ml.runs.config import RunConfig
from amazon_ml.runs.curves import read_figures
from amazon_ml.runs.folder import FoldFolder, probability_table
from amazon_ml.runs.trainer import TrainerConfig
from amazon_ml.runtime import distributed, preemption, waiting
from amazon_ml.runtime.allocator import keep_freed_memory
from amazon_ml.runtime.files import clear_leftovers, write_table
from amazon_ml.runtime.regular_files import check_regular
from amazon_ml.settings import to_plain
from amazon_ml.training.callbacks import (
    AtomicCheckpointIO,
    EpochLogger,
    PerTagTable,
    TaskMark,
    resume_points,
)
from amazon_ml.training.launch import (
    check_accelerator,
    check_address,
    check_notebook,
    check_tasks,
    check_world,
    cluster_plugins,
    command_of,
    launched,
    quiet_lightning,
)
from amazon_ml.training.length import check_batches, log_step_size, warn_ended, warn_unreached
from amazon_ml.training.loggers import check_loggers, open_loggers
from amazon_ml.training.signals import interruptible
from amazon_ml.training.tiles import on_gpu
from amazon_ml.training.tolerant import TryAgain

log = logging.getLogger(__name__)
_BEGIN_AGAIN = "delete it to begin the fold again"


def fit_fold(folder: FoldFolder, config: RunConfig, data: PlanetDataModule, seed: int) -> None:
    """Train and predict one fold; finished parts are skipped, and unfinished training resumes."""
    tags = data.catalog.tags.names
    held_out = data.catalog.labelled["image_name"].iloc[data.valid_rows]
    parts = [(folder.valid, held_out, data.val_dataloader)]
    if len(test := data.catalog.unlabelled["image_name"]):
        parts.append((folder.test, test, data.predict_dataloader))
    checkpoints = AtomicCheckpointIO()
    reached, there = distributed.on_rank_zero(
        lambda: (_reached(folder, checkpoints), [hashes.is_unchanged(path) for path, _, _ in parts])
    )
    if reached is None and all(there):
        distributed.on_rank_zero(lambda: _remove_checkpoint(folder))  # a kill may have left it
        log.info("%s is finished", folder.path)
        return
    pl.seed_everything(seed, verbose=False)
    first = reached is not None and not reached.step
    source = config.model if first else replace(config.model, pretrained=False, weights=None, weights_from=None)
    model = make_tagger(source, tags, config.data.size, data.stretch, config.data.dtype)
    if reached is None:
        hashes.check_recorded(folder.weights)
        load_weights(folder.weights, model)
    else:
        _check_fits(folder, reached, model)
        for path, _, _ in parts:
            distributed.on_rank_zero(partial(path.unlink, missing_ok=True))  # of a former network
        _fit(folder, config, data, model, reached, checkpoints)
        there = [False] * len(parts)
    for (path, names, loader), done in zip(parts, there, strict=True):
        if not done:
            log.info("predicting %s tiles for %s", f"{len(names):,}", path)
            try:
                table = probability_table(names, tags, predict(model, loader(), config.trainer))
            except InputError as error:  # the files of labelled tiles may not change any more
                raise _resumable(error, folder) if path == folder.test else error from None
            distributed.on_rank_zero(partial(hashes.write_table, path, table, made_of=[folder.weights]))
    # The weights are saved, so no checkpoint is needed.
    distributed.on_rank_zero(lambda: _remove_checkpoint(folder))


def _resumable(error: InputError, folder: FoldFolder) -> InputError:
    """Say of a tile that cannot be predicted that nothing is trained again."""
    return error.advise(f"the network is trained, and {folder.weights} keeps it: then the same command resumes")


def _remove_checkpoint(folder: FoldFolder) -> None:
    """Remove the checkpoint, and its folder if that is empty."""
    clear_leftovers(folder.last)
    with suppress(OSError):
        folder.last.unlink(missing_ok=True)
        folder.checkpoints.rmdir()


@dataclass(frozen=True)
class _Reached:
    """Progress of training: its step, the row of the last finished epoch, and the shapes of the weights."""

    step: int
    row: Mapping[str, float]
    shapes: Mapping[str, tuple[int, ...]] = field(default_factory=dict)


def _reached(folder: FoldFolder, checkpoints: AtomicCheckpointIO) -> _Reached | None:
    """Find the point from which training resumes; None if it is done."""
    if folder.weights.exists():
        return None
    return _read_checkpoint(folder, checkpoints) if folder.last.exists() else _Reached(0, {})


def _read_checkpoint(folder: FoldFolder, checkpoints: AtomicCheckpointIO) -> _Reached:
    check_regular(folder.last)
    try:
        content = checkpoints.read(folder.last)
        shapes = {str(key): tuple(value.shape) for key, value in content["state_dict"].items()}
        row = content["callbacks"]["EpochLogger"]["row"]
        reached = _Reached(int(content["global_step"]), row, shapes)
        task = content["callbacks"].get("TaskMark", {}).get("task")
    except Exception as error:  # torch.load raises many types of errors for broken files
        reason = f"it lacks {error}" if isinstance(error, KeyError) and isinstance(error.args[0], str) else error
        problem = f"the checkpoint is broken, or of another program ({reason})"
        raise InputError(problem, file=folder.last, remedy=_BEGIN_AGAIN) from error
    if task != hashes.read_task(folder.path):
        raise InputError("this is a checkpoint of another run", file=folder.last,
                         remedy=f"restore the right one, or {_BEGIN_AGAIN}")  # fmt: skip
    return reached


def _check_fits(folder: FoldFolder, reached: _Reached, model: TileTagger) -> None:
    """Check that a checkpoint fits the network."""
    own = {key: tuple(value.shape) for key, value in model.state_dict().items()}
    if reached.step and (
        odd := sorted(key for key in {*own, *reached.shapes} if own.get(key) != reached.shapes.get(key))
    ):
        problem = f"the checkpoint is of another network than that of the options (it differs in {odd[0]})"
        raise InputError(problem, file=folder.last, remedy=_BEGIN_AGAIN)


def predict(model: TileTagger, loader: DataLoader[Batch], how: TrainerConfig) -> npt.NDArray[np.float32]:
    """Predict the probabilities of all tiles of a loader's dataset, in its order: float32 of shape (tiles, tags).

    Each process predicts the batches of its loader, and all return the whole result. Without a GPU, the CPU predicts,
    so that a run from a GPU can be used anywhere.
    """
    keep_freed_memory()
    quiet_lightning()
    gpu = on_gpu(how)
    model.float()  # as it will be read from its file, whatever the precision of training
    trainer = pl.Trainer(
        accelerator="gpu" if gpu else "cpu",
        devices=[torch.cuda.current_device()] if gpu else 1,  # the device of training, if there was training
        precision=how.precision if gpu else None,
        logger=False,
        enable_checkpointing=False,
        enable_model_summary=False,
        plugins=cluster_plugins(),
        **_progress(how),
    )
    batches: list[Any] = [(torch.empty(0, dtype=torch.long), torch.empty(0, len(model.hparams["tags"])))]
    if len(loader):  # with few tiles, a process may have none
        with interruptible(trainer):
            batches = cast(list[Any], trainer.predict(model, loader))
    index, values = distributed.gather_rows(*(torch.cat(parts) for parts in zip(*batches, strict=True)))
    assert torch.equal(index, torch.arange(len(loader.dataset)))  # type: ignore[arg-type]
    probabilities: npt.NDArray[np.float32] = values.numpy()
    if not np.isfinite(probabilities).all():
        raise WorkError(DIVERGED)
    return probabilities


@contextmanager
def started_processes(config: RunConfig) -> Iterator[None]:
    """Start the other processes of the options, and end all together; see `amazon_ml.runtime.distributed.together`.

    Parameters
    ----------
    config
        The configuration. The other processes are started with it, unless torchrun or srun has started them.
    """
    check_loggers(config.loggers)
    check_accelerator(config.trainer)
    check_tasks(config.trainer)
    check_notebook(config.trainer)
    trainer = make_trainer(config.trainer, [], logger=False, enable_checkpointing=False)
    check_world(config.trainer, trainer.world_size)
    strategy = trainer.strategy
    if not isinstance(strategy, pl.strategies.ParallelStrategy) or strategy.cluster_environment is None:
        yield
        return
    _check_distributed(config, strategy)
    environment, here, hosts = strategy.cluster_environment, trainer.num_devices, trainer.num_nodes
    try:
        environment.validate_settings(num_devices=here, num_nodes=hosts)
    except ValueError as error:
        raise InputError(f"`trainer`: {error}", option="trainer") from None
    check_address(environment.main_address)
    with ExitStack() as stack:
        stack.enter_context(waiting.watched())
        distributed.end_without_first()
        if not environment.creates_processes_externally:
            meet = {"MASTER_ADDR": environment.main_address, "MASTER_PORT": str(environment.main_port)}
            stack.enter_context(distributed.started(here, stack.enter_context(command_of(config)), meet))
        with waiting.wait():
            strategy.setup_environment()
        stack.enter_context(distributed.together())
        yield


def _check_distributed(config: RunConfig, strategy: pl.strategies.ParallelStrategy) -> None:
    """Check for options that would fail in the middle of an epoch, or train differently, in several processes."""
    own, ddp = config.trainer, pl.strategies.DDPStrategy
    starts = pl.strategies.launchers._SubprocessScriptLauncher
    if not isinstance(strategy, ddp) or not isinstance(strategy.launcher, starts):
        problem = f"`trainer.strategy` {own.strategy} cannot run here"
        raise InputError(problem, option="trainer.strategy", remedy="use ddp")
    if config.model.unfreeze and not strategy._ddp_kwargs.get("find_unused_parameters"):
        raise InputError(
            "`model.unfreeze`: processes that train together also wait for the gradients of frozen weights",
            option="trainer.strategy", remedy="set `trainer.strategy` to ddp_find_unused_parameters_true",
        )  # fmt: skip
    if own.sync_batchnorm and strategy.root_device.type == "cpu":
        raise InputError("`trainer.sync_batchnorm` of PyTorch needs GPUs", option="trainer.sync_batchnorm",
                         remedy="omit it, or use a larger `data.batch_size`")  # fmt: skip


def _progress(how: TrainerConfig) -> dict[str, Any]:
    """Return the options of progress bars: the first process draws them, and only on a terminal."""
    shown = distributed.rank() == 0 and Console().is_terminal and how.enable_progress_bar is not False
    return {"enable_progress_bar": shown, "callbacks": [pl.callbacks.RichProgressBar()] if shown else []}


def make_trainer(
    how: TrainerConfig, callbacks: list[pl.Callback], plugins: Sequence[Any] = (), **own: Any
) -> pl.Trainer:
    """Make a trainer with the settings of a run; arguments in `own` override them."""
    keep_freed_memory()
    quiet_lightning()
    progress = _progress(how)
    norms = [SyncNorms()] if how.sync_batchnorm else []
    settings = {
        **to_plain(how),
        "max_epochs": how.epochs,
        **launched(how),
        **progress,
        "callbacks": [*callbacks, *progress["callbacks"]],
        "plugins": [*plugins, *norms, *cluster_plugins()],
        "enable_model_summary": bool(how.enable_model_summary),
        "num_sanity_val_steps": 0,
        "use_distributed_sampler": False,  # the sampler of the data module splits the tiles, and resumes
        **own,
    }
    try:
        trainer = pl.Trainer(**settings)
    except (MisconfigurationException, ModuleNotFoundError, TypeError, ValueError) as error:
        raise InputError(f"`trainer`: {error}", option="trainer") from None
    if not isinstance(trainer.strategy, pl.strategies.ParallelStrategy):
        # Lightning reads the rank from variables of Slurm, and loggers write only at rank 0.
        rank_zero_only.rank = 0  # type: ignore[attr-defined]
    return trainer


def _fit(
    folder: FoldFolder, config: RunConfig, data: PlanetDataModule, model: TileTagger, start: _Reached,
    checkpoints: AtomicCheckpointIO,
) -> None:  # fmt: skip
    if min(len(data.train_rows), len(data.valid_rows)) < distributed.count():
        problem = f"fold {folder.number} has fewer tiles than there are processes ({distributed.count()})"
        raise InputError(problem, option="trainer.devices")
    check_batches(config.trainer, data)
    if start.step:
        log.info("resuming %s at step %d", folder.path, start.step)
    log_step_size(config)
    warn_unreached(config, config.trainer.epochs)
    distributed.on_rank_zero(lambda: _set_former_metrics_aside(folder, start))
    line = EpochLogger()
    mark = TaskMark(hashes.read_task(folder.path))
    callbacks = [TryAgain(), *resume_points(folder.last), line, PerTagTable(folder.per_tag), mark]
    began = time.perf_counter()
    with open_loggers(folder, {} if distributed.rank() else config.loggers) as services:
        trainer = make_trainer(
            config.trainer,
            callbacks,
            logger=[
                pl.loggers.CSVLogger(folder.path, "", ""),
                pl.loggers.TensorBoardLogger(folder.path, "", ""),
                *services,
            ],
            default_root_dir=folder.path,
            plugins=[checkpoints],
        )
        with interruptible(trainer), preemption.held():
            trainer.fit(model, datamodule=data, ckpt_path=str(folder.last) if start.step else None, weights_only=True)
        # While the services are open: to close them may take long, or be interrupted.
        if trainer.global_step == 0:
            raise InputError(
                "no step was trained: `trainer.max_epochs`, `trainer.max_steps`, `trainer.max_time` or "
                "`trainer.limit_train_batches` allow none", option="trainer.max_steps", remedy="raise it",
            )  # fmt: skip
        warn_ended(config, trainer, int(line.row.get("epoch", 0)) + 1)
        distributed.broadcast(model.state_dict().values())  # each process has its own running statistics
        speed = f" at {np.median(line.speeds):.0f} images/s" if line.speeds else ""
        log.info("trained %s in %.0f s%s", folder.path, time.perf_counter() - began, speed)
        distributed.on_rank_zero(lambda: _save(folder, model))


def _save(folder: FoldFolder, model: TileTagger) -> None:
    _join_metrics(folder)
    with hashes.recorded(folder.weights) as temporary:
        save_weights(temporary, model)


def _set_former_metrics_aside(folder: FoldFolder, start: _Reached) -> None:
    """Save the curves from before an interruption: the CSV logger of Lightning deletes existing files."""
    (folder.path / "hparams.yaml").unlink(missing_ok=True)  # Lightning would write into an existing file
    tables = [read_figures(path) for path in (_aside(folder), folder.metrics)]
    parts = [table for table in tables if table is not None]
    if not parts and not start.row:
        return
    # A kill may have left rows in both tables, or none, since Lightning writes the file anew for new columns.
    former = pd.concat(parts).drop_duplicates() if parts else pd.DataFrame({"epoch": [], "step": []})
    former = former[former["step"] < start.step]
    ended = former.dropna(subset=["train_loss_epoch"]) if "train_loss_epoch" in former else former[:0]
    if start.row and start.row["epoch"] not in ended["epoch"].tolist():
        former = pd.concat([former, pd.DataFrame([start.row])])  # killed before the loggers got it
    if former.empty:  # killed before the first checkpoint
        _aside(folder).unlink(missing_ok=True)
    else:
        write_table(_aside(folder), former)
    folder.metrics.unlink(missing_ok=True)


def _join_metrics(folder: FoldFolder) -> None:
    if _aside(folder).exists():
        tables = [read_figures(path) for path in (_aside(folder), folder.metrics)]
        if parts := [table for table in tables if table is not None]:
            write_table(folder.metrics, pd.concat(parts).drop_duplicates())
        _aside(folder).unlink(missing_ok=True)


def _aside(folder: FoldFolder) -> Path:
    return folder.path / "metrics.before.csv"
