"""Makes the data modules of a run: of its tiles, and of one fold."""

import pandas as pd
import torch

from amazon_ml.data.catalog.catalog import Catalog
from amazon_ml.data.datamodule import PlanetDataModule
from amazon_ml.runs import hashes
from amazon_ml.runs.config import RunConfig
from amazon_ml.runs.folder import Run
from amazon_ml.runs.trainer import TrainerConfig
from amazon_ml.settings import to_plain


def open_tiles(run: Run, config: RunConfig) -> PlanetDataModule:
    """Make the data module of the tiles of a run; `prepare_data` writes the files that the folds share."""
    return _data(run, config, fold=0)


def prepare_tiles(run: Run, config: RunConfig) -> PlanetDataModule:
    """Read the tiles, and write the files that the folds share: the folds, and the reader of tiles."""
    data = open_tiles(run, config)
    data.prepare_data()
    return data


def fold_data(
    run: Run, config: RunConfig, fold: int, catalog: Catalog, untagged: pd.DataFrame | None = None
) -> PlanetDataModule:
    """Make the data module of one fold of a run, from prepared tiles, and from the untagged ones of its teacher."""
    data = _data(run, config, fold)
    data.catalog = catalog
    if untagged is not None:
        hashes.check_recorded(run.fold(fold).teacher)
        data.untagged = untagged
    data.setup()
    return data


def _data(run: Run, config: RunConfig, fold: int) -> PlanetDataModule:
    return PlanetDataModule(
        **to_plain(config.data), fold=fold, folds_file=str(run.folds), bands_file=str(run.bands),
        teacher_file=str(run.fold(fold).teacher), seed=config.seed, on_gpu=on_gpu(config.trainer),
    )  # fmt: skip


def on_gpu(trainer: TrainerConfig) -> bool:
    """Whether a GPU does the work: if there is one, and the options do not choose the CPU."""
    return torch.cuda.is_available() and trainer.accelerator != "cpu"
