"""One fold: train a network on the other folds, then write the probabilities of the tiles it never saw."""

import logging
import shutil
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd
import torch
from rich.console import Console
from torch.utils.data import DataLoader

from amazon_ml import stop
from amazon_ml.data.catalog import Catalog
from amazon_ml.data.datamodule import PlanetDataModule
from amazon_ml.data.loading import Batch
from amazon_ml.errors import InputError, WorkError
from amazon_ml.files import write_table
from amazon_ml.lightning import MisconfigurationException, pl
from amazon_ml.models.callbacks import EpochLine, PerTagTable, StepSeed, WholeCheckpoints, resume_points
from amazon_ml.models.tagger import TileTagger
from amazon_ml.models.weights import load_weights, save_weights
from amazon_ml.runs.folder import FoldFolder, Options, Run, probability_table
from amazon_ml.runs.loggers import open_loggers

log = logging.getLogger(__name__)


def prepare_tiles(run: Run, options: Options) -> Catalog:
    """Read the tiles, and write what all folds share: which tile is held out when, and how tiles are read."""
    data = _data(run, options, fold=0)
    data.prepare_data()
    return data.catalog


def fold_data(run: Run, options: Options, fold: int, catalog: Catalog) -> PlanetDataModule:
    """Make the data module of one fold of a run, of tiles that were prepared."""
    data = _data(run, options, fold)
    data.catalog = catalog
    data.setup()
    return data


def _data(run: Run, options: Options, fold: int) -> PlanetDataModule:
    return PlanetDataModule(
        **options["data"], fold=fold, folds_file=str(run.folds), bands_file=str(run.bands), seed=options["seed"]
    )


def fit_fold(folder: FoldFolder, options: Options, data: PlanetDataModule, seed: int) -> None:
    """Train and predict one fold; what is finished already is skipped, what was begun goes on."""
    tags = data.catalog.tags.names
    test = data.catalog.unlabelled["image_name"]
    wanted = [folder.valid] + ([folder.test] if len(test) else [])
    if folder.weights.exists() and all(path.exists() for path in wanted):
        log.info("%s is finished", folder.path)
        return
    pl.seed_everything(seed, verbose=False)
    own = {**_start(folder, options), "in_chans": len(data.bands), "size": options["data"]["size"]}
    model = TileTagger(**{**options["model"], **own}, tags=list(tags))
    if folder.weights.exists():
        load_weights(folder.weights, model)
    else:
        _fit(folder, options, data, model, seed)
    held_out = data.catalog.labelled["image_name"].iloc[data.valid_rows]
    for path, names, loader in (
        (folder.valid, held_out, data.val_dataloader),
        (folder.test, test, data.test_dataloader),
    ):
        if path in wanted and not path.exists():
            log.info("predicting %s tiles for %s", f"{len(names):,}", path)
            write_table(path, probability_table(names, tags, predict(model, loader(), options)))
    shutil.rmtree(folder.checkpoints, ignore_errors=True)  # the weights are kept; nothing is left to resume


def predict(model: TileTagger, loader: DataLoader[Batch], options: Options) -> npt.NDArray[np.float32]:
    """Probabilities of every tile of a loader, in its order: float32 of shape (tiles, tags).

    Runs on a GPU where there is one and the options do not keep to the CPU, and otherwise without, so
    that a run from a GPU can be used anywhere.
    """
    on_gpu = torch.cuda.is_available() and options["trainer"]["accelerator"] != "cpu"
    trainer = pl.Trainer(
        accelerator="gpu" if on_gpu else "cpu",
        devices=1,
        precision=options["trainer"]["precision"] if on_gpu else None,
        logger=False,
        enable_checkpointing=False,
        enable_model_summary=False,
        **_progress(options),
    )
    with interruptible(trainer):
        batches = trainer.predict(model, loader)
    assert batches is not None
    index = torch.cat([index for index, _ in batches])
    assert torch.equal(index, torch.arange(len(loader.dataset)))  # type: ignore[arg-type]
    probabilities: npt.NDArray[np.float32] = torch.cat([values for _, values in batches]).numpy()
    if not np.isfinite(probabilities).all():
        raise WorkError("the network's output is not finite: training diverged; lower --model.lr, in a new --run")
    return probabilities


@contextmanager
def interruptible(trainer: pl.Trainer) -> Iterator[None]:
    """Let Ctrl-C be Ctrl-C again: Lightning makes it an exit with status 1."""
    try:
        yield
    except SystemExit as ended:
        if trainer.interrupted and ended.code == 1:
            raise KeyboardInterrupt from None
        raise


def _progress(options: Options) -> dict[str, Any]:
    """Bars need a terminal; elsewhere the lines of `EpochLine` tell the same."""
    shown = Console().is_terminal and options["trainer"]["enable_progress_bar"] is not False
    return {"enable_progress_bar": shown, "callbacks": [pl.callbacks.RichProgressBar()] if shown else []}


def make_trainer(options: Options, callbacks: list[pl.Callback], **own: Any) -> pl.Trainer:
    """Make a trainer with the settings of a run; `own` ones take their place."""
    progress = _progress(options)
    settings = {
        **options["trainer"],
        **progress,
        "callbacks": [*callbacks, *progress["callbacks"]],
        "enable_model_summary": bool(options["trainer"]["enable_model_summary"]),
        "num_sanity_val_steps": 0,
        "use_distributed_sampler": False,  # the data module's sampler knows the ranks, and resumes
        **own,
    }
    try:
        return pl.Trainer(**settings)
    except (MisconfigurationException, ModuleNotFoundError, ValueError) as error:
        raise InputError(f"trainer: {error}") from None


def _start(folder: FoldFolder, options: Options) -> dict[str, object]:
    """Pretrained weights are needed at the first start only."""
    begun = folder.weights.exists() or folder.last.exists()
    return {"pretrained": False, "weights": None} if begun else {}


def _fit(folder: FoldFolder, options: Options, data: PlanetDataModule, model: TileTagger, seed: int) -> None:
    step = _step_of(folder.last) if folder.last.exists() else 0
    frequencies = torch.from_numpy(data.catalog.targets[data.train_rows]).float().mean(dim=0)
    model.loss.learn_frequencies(frequencies)  # at every start: no checkpoint holds them, and the tiles are the same
    if step:
        log.info("resuming %s at step %d", folder.path, step)
    else:
        model.start_from_frequencies(frequencies)
    _set_former_metrics_aside(folder, step)
    line = EpochLine()
    callbacks = [*resume_points(folder.last), StepSeed(seed), line, PerTagTable(folder.per_tag)]
    began = time.perf_counter()
    with open_loggers(folder, options["loggers"]) as services:
        trainer = make_trainer(
            options,
            callbacks,
            logger=[
                pl.loggers.CSVLogger(folder.path, "", ""),
                pl.loggers.TensorBoardLogger(folder.path, "", ""),
                *services,
            ],
            default_root_dir=folder.path,
            plugins=[WholeCheckpoints()],
        )
        with interruptible(trainer), stop.held():
            trainer.fit(model, datamodule=data, ckpt_path=str(folder.last) if step else None, weights_only=True)
    if trainer.global_step == 0:
        raise InputError("nothing was trained: set trainer.max_epochs to at least 1")
    _join_metrics(folder)
    speed = f" at {np.median(line.speeds):.0f} images/s" if line.speeds else ""
    log.info("trained %s in %.0f s%s", folder.path, time.perf_counter() - began, speed)
    save_weights(folder.weights, model)


def _step_of(checkpoint: Path) -> int:
    try:
        return int(torch.load(checkpoint, map_location="cpu", weights_only=True)["global_step"])
    except Exception as error:  # torch.load fails in as many ways as there are broken files
        raise InputError(f"{checkpoint} is broken; delete it to begin the fold anew ({error})") from error


def _set_former_metrics_aside(folder: FoldFolder, step: int) -> None:
    """Keep the curves from before an interruption: Lightning's CSV logger deletes what it finds."""
    parts = [pd.read_csv(path) for path in (_aside(folder), folder.metrics) if path.exists()]
    if parts:
        former = pd.concat(parts).drop_duplicates()  # a kill may have left rows in both
        write_table(_aside(folder), former[former["step"] < step])
        folder.metrics.unlink(missing_ok=True)


def _join_metrics(folder: FoldFolder) -> None:
    if _aside(folder).exists():
        parts = [pd.read_csv(_aside(folder))] + ([pd.read_csv(folder.metrics)] if folder.metrics.exists() else [])
        write_table(folder.metrics, pd.concat(parts).drop_duplicates())
        _aside(folder).unlink()


def _aside(folder: FoldFolder) -> Path:
    return folder.path / "metrics.before.csv"
