"""One fold: train a network on the other folds, then write the probabilities of the tiles it never saw."""

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

from amazon_ml.data.batches.loading import Batch
from amazon_ml.data.catalog.catalog import Catalog
from amazon_ml.data.datamodule import PlanetDataModule
from amazon_ml.errors import InputError, WorkError
from amazon_ml.models.layers import SyncNorms
from amazon_ml.models.tagger import DIVERGED, TileTagger, make_tagger
from amazon_ml.models.weights import load_weights, save_weights
from amazon_ml.runs import hashes
from amazon_ml.runs.config import RunConfig
from amazon_ml.runs.curves import read_figures
from amazon_ml.runs.folder import FoldFolder, Run, probability_table
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
    check_tasks,
    check_world,
    cluster_plugins,
    command_of,
    launched,
    quiet_lightning,
)
from amazon_ml.training.loggers import check_loggers, open_loggers

log = logging.getLogger(__name__)


def open_tiles(run: Run, config: RunConfig) -> PlanetDataModule:
    """Make the data module of a run's tiles; it reads nothing yet, and writes what folds share when it is prepared."""
    return _data(run, config, fold=0)


def prepare_tiles(run: Run, config: RunConfig) -> PlanetDataModule:
    """Read the tiles, and write what all folds share: which tile is held out when, and how tiles are read."""
    data = open_tiles(run, config)
    data.prepare_data()
    return data


def fold_data(run: Run, config: RunConfig, fold: int, catalog: Catalog) -> PlanetDataModule:
    """Make the data module of one fold of a run, of tiles that were prepared."""
    data = _data(run, config, fold)
    data.catalog = catalog
    data.setup()
    return data


def _data(run: Run, config: RunConfig, fold: int) -> PlanetDataModule:
    return PlanetDataModule(
        **to_plain(config.data), fold=fold, folds_file=str(run.folds), bands_file=str(run.bands), seed=config.seed,
        on_gpu=on_gpu(config.trainer),
    )  # fmt: skip


def on_gpu(trainer: TrainerConfig) -> bool:
    """Whether a GPU does the work: where there is one, and the options do not keep to the CPU."""
    return torch.cuda.is_available() and trainer.accelerator != "cpu"


def fit_fold(folder: FoldFolder, config: RunConfig, data: PlanetDataModule, seed: int) -> None:
    """Train and predict one fold; what is finished already is skipped, what was begun goes on."""
    tags = data.catalog.tags.names
    held_out = data.catalog.labelled["image_name"].iloc[data.valid_rows]
    parts = [(folder.valid, held_out, data.val_dataloader)]
    if len(test := data.catalog.unlabelled["image_name"]):
        parts.append((folder.test, test, data.predict_dataloader))
    reached, there = distributed.on_rank_zero(
        lambda: (_reached(folder), [hashes.is_unchanged(path) for path, _, _ in parts])
    )
    if reached is None and all(there):
        log.info("%s is finished", folder.path)
        return
    pl.seed_everything(seed, verbose=False)
    first = reached is not None and not reached.step
    source = config.model if first else replace(config.model, pretrained=False, weights=None)
    model = make_tagger(source, tags, config.data.size, len(data.bands))
    if reached is None:
        hashes.check_recorded(folder.weights)
        load_weights(folder.weights, model)
    else:
        _check_fits(folder, reached, model)
        for path, _, _ in parts:
            distributed.on_rank_zero(partial(path.unlink, missing_ok=True))  # by a network that is gone
        _fit(folder, config, data, model, reached)
        there = [False] * len(parts)
    for (path, names, loader), done in zip(parts, there, strict=True):
        if not done:
            log.info("predicting %s tiles for %s", f"{len(names):,}", path)
            table = probability_table(names, tags, predict(model, loader(), config.trainer))
            distributed.on_rank_zero(partial(hashes.write_table, path, table, made_of=[folder.weights]))
    # The weights are kept; nothing is left to resume.
    distributed.on_rank_zero(lambda: _remove_checkpoint(folder))


def _remove_checkpoint(folder: FoldFolder) -> None:
    """Remove the checkpoint, and its folder where nothing else lies in it."""
    clear_leftovers(folder.last)
    with suppress(OSError):
        folder.last.unlink(missing_ok=True)
        folder.checkpoints.rmdir()


@dataclass(frozen=True)
class _Reached:
    """How far training has come: its step, the row of the last epoch that ended, and the shapes of the weights."""

    step: int
    row: Mapping[str, float]
    shapes: Mapping[str, tuple[int, ...]] = field(default_factory=dict)


def _reached(folder: FoldFolder) -> _Reached | None:
    """Tell what training goes on from; none where it is done."""
    if folder.weights.exists():
        return None
    return _read_checkpoint(folder) if folder.last.exists() else _Reached(0, {})


def _read_checkpoint(folder: FoldFolder) -> _Reached:
    check_regular(folder.last)
    try:
        content = torch.load(folder.last, map_location="cpu", weights_only=True)
        shapes = {str(key): tuple(value.shape) for key, value in content["state_dict"].items()}
        reached = _Reached(int(content["global_step"]), content["callbacks"].get("EpochLogger", {}), shapes)
        task = content["callbacks"].get("TaskMark", {}).get("task")
    except Exception as error:  # torch.load fails in as many ways as there are broken files
        reason = f"it lacks {error}" if isinstance(error, KeyError) and isinstance(error.args[0], str) else error
        raise InputError(
            f"{folder.last} is broken, or of another program; delete it to begin the fold anew ({reason})"
        ) from error
    if task != hashes.read_task(folder.path):
        raise InputError(f"{folder.last} is a checkpoint of another run; put its own back, or delete it to begin anew")
    return reached


def _check_fits(folder: FoldFolder, reached: _Reached, model: TileTagger) -> None:
    """Refuse a checkpoint of another network."""
    own = {key: tuple(value.shape) for key, value in model.state_dict().items()}
    if reached.step and (
        odd := sorted(key for key in {*own, *reached.shapes} if own.get(key) != reached.shapes.get(key))
    ):
        raise InputError(
            f"{folder.last} is of another network than the options make (it differs in {odd[0]}); delete it to begin "
            "the fold anew"
        )


def predict(model: TileTagger, loader: DataLoader[Batch], how: TrainerConfig) -> npt.NDArray[np.float32]:
    """Probabilities of every tile of a loader's dataset, in its order: float32 of shape (tiles, tags).

    Each process predicts what its loader gives, and all get everything. Without a GPU, the CPU does it,
    so that a run from a GPU can be used anywhere.
    """
    keep_freed_memory()
    quiet_lightning()
    gpu = on_gpu(how)
    model.float()  # as it will be read from its file, whatever precision it was trained in
    trainer = pl.Trainer(
        accelerator="gpu" if gpu else "cpu",
        devices=[torch.cuda.current_device()] if gpu else 1,  # the one that was trained on, where one was
        precision=how.precision if gpu else None,
        logger=False,
        enable_checkpointing=False,
        enable_model_summary=False,
        plugins=cluster_plugins(),
        **_progress(how),
    )
    batches: list[Any] = [(torch.empty(0, dtype=torch.long), torch.empty(0, len(model.hparams["tags"])))]
    if len(loader):  # of few tiles, a process may have none
        with interruptible(trainer):
            batches = cast(list[Any], trainer.predict(model, loader))
    index, values = distributed.gather_rows(*(torch.cat(parts) for parts in zip(*batches, strict=True)))
    assert torch.equal(index, torch.arange(len(loader.dataset)))  # type: ignore[arg-type]
    probabilities: npt.NDArray[np.float32] = values.numpy()
    if not np.isfinite(probabilities).all():
        raise WorkError(DIVERGED)
    return probabilities


@contextmanager
def joined(config: RunConfig) -> Iterator[None]:
    """Start the processes that the options name, and end them together; see `amazon_ml.runtime.distributed.together`.

    Parameters
    ----------
    config
        The configuration. Further processes are started with it, unless torchrun or srun has started them.
    """
    check_loggers(config.loggers)
    check_accelerator(config.trainer)
    check_tasks(config.trainer)
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
        raise InputError(f"trainer: {error}") from None
    check_address(environment.main_address)
    with ExitStack() as stack:
        stack.enter_context(waiting.watched())
        if not environment.creates_processes_externally:
            meet = {"MASTER_ADDR": environment.main_address, "MASTER_PORT": str(environment.main_port)}
            stack.enter_context(distributed.started(here, stack.enter_context(command_of(config)), meet))
        with waiting.wait():
            strategy.setup_environment()
        stack.enter_context(distributed.together())
        yield


def _check_distributed(config: RunConfig, strategy: pl.strategies.ParallelStrategy) -> None:
    """Refuse options that would fail in the middle of an epoch, or train something else, in several processes."""
    own, ddp = config.trainer, pl.strategies.DDPStrategy
    starts = pl.strategies.launchers._SubprocessScriptLauncher
    if not isinstance(strategy, ddp) or not isinstance(strategy.launcher, starts):
        raise InputError(f"trainer.strategy: {own.strategy} cannot run here; use ddp")
    if config.model.unfreeze and not strategy._ddp_kwargs.get("find_unused_parameters"):
        raise InputError(
            "model.unfreeze: processes that train together wait for the gradients of frozen weights, too; "
            "set trainer.strategy to ddp_find_unused_parameters_true"
        )
    if own.sync_batchnorm and strategy.root_device.type == "cpu":
        raise InputError("trainer.sync_batchnorm: PyTorch's needs GPUs; leave it out, or use a larger data.batch_size")


@contextmanager
def interruptible(trainer: pl.Trainer) -> Iterator[None]:
    """Let Ctrl-C be Ctrl-C again: Lightning makes it an exit with status 1."""
    try:
        yield
    except SystemExit as ended:
        if trainer.interrupted and ended.code == 1:
            raise KeyboardInterrupt from None
        raise


def _progress(how: TrainerConfig) -> dict[str, Any]:
    """Bars need a terminal, and the first process draws them; elsewhere the lines of `EpochLogger` tell the same."""
    shown = distributed.rank() == 0 and Console().is_terminal and how.enable_progress_bar is not False
    return {"enable_progress_bar": shown, "callbacks": [pl.callbacks.RichProgressBar()] if shown else []}


def make_trainer(
    how: TrainerConfig, callbacks: list[pl.Callback], plugins: Sequence[Any] = (), **own: Any
) -> pl.Trainer:
    """Make a trainer with the settings of a run; `own` ones take their place."""
    keep_freed_memory()
    quiet_lightning()
    progress = _progress(how)
    norms = [SyncNorms()] if how.sync_batchnorm else []
    settings = {
        **to_plain(how),
        **launched(how),
        **progress,
        "callbacks": [*callbacks, *progress["callbacks"]],
        "plugins": [*plugins, *norms, *cluster_plugins()],
        "enable_model_summary": bool(how.enable_model_summary),
        "num_sanity_val_steps": 0,
        "use_distributed_sampler": False,  # the data module's sampler knows the ranks, and resumes
        **own,
    }
    try:
        trainer = pl.Trainer(**settings)
    except (MisconfigurationException, ModuleNotFoundError, TypeError, ValueError) as error:
        raise InputError(f"trainer: {error}") from None
    if not isinstance(trainer.strategy, pl.strategies.ParallelStrategy):
        # Lightning has it from variables of Slurm, and has no logger write elsewhere.
        rank_zero_only.rank = 0  # type: ignore[attr-defined]
    return trainer


def _fit(folder: FoldFolder, config: RunConfig, data: PlanetDataModule, model: TileTagger, start: _Reached) -> None:
    if min(len(data.train_rows), len(data.valid_rows)) < distributed.count():
        raise InputError(f"fold {folder.number} has fewer tiles than there are processes ({distributed.count()})")
    if start.step:
        log.info("resuming %s at step %d", folder.path, start.step)
    _tell_batch(config)
    _tell_unreached(config)
    distributed.on_rank_zero(lambda: _set_former_metrics_aside(folder, start))
    line = EpochLogger()
    mark = TaskMark(hashes.read_task(folder.path))
    callbacks = [*resume_points(folder.last), line, PerTagTable(folder.per_tag), mark]
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
            plugins=[AtomicCheckpointIO()],
        )
        with interruptible(trainer), preemption.held():
            trainer.fit(model, datamodule=data, ckpt_path=str(folder.last) if start.step else None, weights_only=True)
    if trainer.global_step == 0:
        raise InputError(
            "nothing was trained: trainer.max_epochs, max_steps, max_time or limit_train_batches left no step; raise it"
        )
    distributed.broadcast(model.state_dict().values())  # of running statistics, each process has its own
    speed = f" at {np.median(line.speeds):.0f} images/s" if line.speeds else ""
    log.info("trained %s in %.0f s%s", folder.path, time.perf_counter() - began, speed)
    distributed.on_rank_zero(lambda: _keep(folder, model))


def _keep(folder: FoldFolder, model: TileTagger) -> None:
    _join_metrics(folder)
    with hashes.recorded(folder.weights) as temporary:
        save_weights(temporary, model)


def _tell_batch(config: RunConfig) -> None:
    """Say what a step is of: more processes make it one of more tiles, and no learning rate is changed for that."""
    tiles, batches = config.data.batch_size, config.trainer.accumulate_grad_batches
    if distributed.count() > 1:
        log.info("%d processes: a step is of %d tiles, %d in each; the learning rate is %g as it is set, whatever "
                 "their number", distributed.count(), distributed.count() * tiles * batches, tiles * batches,
                 config.model.lr)  # fmt: skip


def _tell_unreached(config: RunConfig) -> None:
    """Warn of what is to change in epochs that training does not come to."""
    model, epochs = config.model, config.trainer.max_epochs
    if epochs in (None, -1):
        return
    reached = {epoch: edge for epoch, edge in model.progressive_resizing.items() if epoch < epochs}
    if reached and (edge := reached[max(reached)]) != config.data.size:
        log.warning("model.progressive_resizing: training ends on tiles of %d px, and predictions are made at %d px "
                    "(data.size)", edge, config.data.size)  # fmt: skip
    if late := [epoch for epoch in model.unfreeze if epoch >= epochs]:
        log.warning("model.unfreeze: training ends before epoch %d, so part of the backbone stays frozen", min(late))


def _set_former_metrics_aside(folder: FoldFolder, start: _Reached) -> None:
    """Keep the curves from before an interruption: Lightning's CSV logger deletes what it finds."""
    (folder.path / "hparams.yaml").unlink(missing_ok=True)  # Lightning writes into a file that is there
    tables = [read_figures(path) for path in (_aside(folder), folder.metrics)]
    if parts := [table for table in tables if table is not None]:
        former = pd.concat(parts).drop_duplicates()  # a kill may have left rows in both
        former = former[former["step"] < start.step]
        told = former.dropna(subset=["train_loss_epoch"]) if "train_loss_epoch" in former else former[:0]
        if start.row and start.row["epoch"] not in told["epoch"].tolist():
            former = pd.concat([former, pd.DataFrame([start.row])])  # killed before the loggers were told of it
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
