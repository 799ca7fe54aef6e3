"""Contests of threshold search and training, against a loop around scikit-learn and a bare PyTorch loop."""

import logging
import statistics
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
import pytorch_lightning as pl
import torch
from sklearn.metrics import fbeta_score
from torch.utils.data import DataLoader

from amazon_ml.bench.measure import Contest, Gauge, Ratio
from amazon_ml.data.augment.augment import D4, Augmentation
from amazon_ml.data.batches.dataset import Batch, EpochSampler, TileDataset, loader_workers, training_loader
from amazon_ml.data.batches.sources import PackedTiles, TileFiles, TileSource
from amazon_ml.data.catalog.catalog import read_catalog
from amazon_ml.data.readers.bands import TileReader
from amazon_ml.data.store.pack import pack
from amazon_ml.data.store.packed import open_store
from amazon_ml.decisions.fbeta import fbeta_score as our_fbeta_score
from amazon_ml.decisions.synthetic import draw_rows
from amazon_ml.decisions.threshold_rules import PerClassThresholds
from amazon_ml.decisions.thresholds import DEFAULT_THRESHOLD
from amazon_ml.models.seeding import PerStepSeed
from amazon_ml.models.tagger import TileTagger
from amazon_ml.runtime.allocator import keep_freed_memory
from amazon_ml.training.callbacks import EpochLogger, PreemptionCheckpoint
from amazon_ml.training.launch import quiet_lightning

log = logging.getLogger(__name__)

#: Number of batches that are put on the device in advance, for contests that do not measure loading.
_READY = 4


@dataclass(frozen=True)
class Setting:
    """A training job that is measured.

    Parameters
    ----------
    backbone
        timm name.
    size, batch, steps
        Edge of the tiles in pixels, tiles in a batch, batches in one call.
    device, precision
        Names of PyTorch and of Lightning.
    compile
        Whether both networks are compiled, ours and the baseline's.
    speed, wait
        Goals of training from a packed store: smallest tiles/s, largest share of the time waiting for data.
    """

    backbone: str
    size: int
    batch: int
    steps: int
    device: Literal["cpu", "cuda"]
    precision: Literal["32-true", "bf16-mixed"]
    compile: bool = False
    speed: float | None = None
    wait: float | None = None


def thresholds(tiles: int = 1000) -> Contest:
    """Search thresholds exactly, and with a loop over 100 thresholds per tag around scikit-learn's metric."""
    p, true = draw_rows(tiles)
    rule = PerClassThresholds()

    def loop() -> float:
        cuts, best = np.full(17, DEFAULT_THRESHOLD), 0.0
        for tag in range(17):
            for cut in np.arange(100) / 100:
                trial = np.where(np.arange(17) == tag, cut, cuts)
                score = float(fbeta_score(true, p >= trial, beta=2, average="samples", zero_division=1))
                if score > best:
                    best, cuts = score, trial
        return best

    log.info(
        "F2 of the exact search %.5f, of the loop %.5f", our_fbeta_score(true, rule.fit(p, true).predict(p)), loop()
    )
    ratio = Ratio("exact thresholds / scikit-learn loop", "ours", "loop")
    return Contest({"ours": lambda: rule.fit(p, true), "loop": loop}, [ratio], tiles)


def training(tiles: Path, scratch: Path, setting: Setting) -> Contest:
    """Train with Lightning and our module, and with a bare PyTorch loop, on batches that are on the device already.

    Then train as users do: from a packed store and from JPEGs, with augmentation, in random order. The bare loop loads
    and augments nothing, so no data loading can be faster. All contestants but the bare loop have the loggers and the
    callbacks of a run, without the checkpoint at the end of an epoch: these epochs are too short for it.
    """
    keep_freed_memory()
    catalog, reader = read_catalog(tiles), TileReader()
    count, on_gpu = len(catalog.labelled), setting.device == "cuda"
    pack(catalog.subset(range(count), unlabelled=0), scratch / "packed", setting.size, reader)
    store = open_store(scratch / "packed")
    stored = store.rows(catalog.labelled["image_name"], labelled=True)
    rows = np.resize(np.arange(count), setting.steps * setting.batch)
    sources: dict[str, TileSource] = {
        "packed store": PackedTiles(store, stored[rows]),
        "JPEGs": TileFiles(catalog.labelled.iloc[rows], reader, setting.size),
    }
    loaders = {
        name: training_loader(
            TileDataset(source, catalog.targets[rows], Augmentation([D4], seed=0)),
            setting.batch,
            loader_workers(None, on_gpu=on_gpu, packed=name == "packed store"),
            EpochSampler(len(rows), seed=0),
            on_gpu=on_gpu,
        )
        for name, source in sources.items()
    }
    ready = [
        {key: value.to(setting.device) for key, value in batch.items()}
        for batch, _ in zip(loaders["packed store"], range(_READY), strict=False)
    ]
    batches = [ready[step % len(ready)] for step in range(setting.steps)]
    module, bare = (_tagger(catalog.tags.names, setting) for _ in range(2))
    lines = {name: EpochLogger() for name in ("ready", *loaders)}

    def fit(name: str) -> Callable[[], None]:
        loader = loaders[name] if name in loaders else DataLoader(batches, batch_size=None)  # type: ignore[arg-type]
        return lambda: _fit(module, loader, lines[name], setting, scratch)

    def wait(name: str) -> float:
        return statistics.median(lines[name].waits)

    return Contest(
        {**{name: fit(name) for name in lines}, "bare loop": lambda: _loop(bare, batches, setting)},
        (
            Ratio(f"{setting.backbone}: Lightning / bare loop", "ready", "bare loop", 0.95),
            Ratio("  from a packed store / bare loop", "packed store", "bare loop"),
            Ratio("  from JPEGs / bare loop", "JPEGs", "bare loop"),
        ),
        tiles=len(rows),
        gauges=(
            Gauge(
                f"{setting.backbone}, {setting.size} px, {setting.precision}, packed store: tiles/s within the epoch",
                lambda: statistics.median(lines["packed store"].speeds),
                at_least=setting.speed,
            ),
            Gauge("  share of the time waiting for data", lambda: wait("packed store"), at_most=setting.wait),
            Gauge("  the same, from JPEGs", lambda: wait("JPEGs")),
            Gauge("  peak of memory, GiB", lambda: lines["packed store"].peak),
        ),
    )


def _tagger(tags: Sequence[str], setting: Setting) -> TileTagger:
    return TileTagger(
        list(tags),
        setting.backbone,
        pretrained=False,
        size=setting.size,
        schedule="constant",
        compile=setting.compile,
    )


def _fit(module: TileTagger, loader: DataLoader[Batch], line: EpochLogger, setting: Setting, scratch: Path) -> None:
    quiet_lightning()
    trainer = pl.Trainer(
        accelerator=setting.device,
        devices=1,
        precision=setting.precision,
        max_epochs=1,
        callbacks=[PreemptionCheckpoint(scratch / "last.ckpt"), PerStepSeed(0), line],
        logger=[pl.loggers.CSVLogger(scratch, "", ""), pl.loggers.TensorBoardLogger(scratch, "", "")],
        enable_progress_bar=False,
        enable_model_summary=False,
        use_distributed_sampler=False,
    )
    trainer.fit(module, loader)


def _loop(bare: TileTagger, batches: Sequence[Batch], setting: Setting) -> None:
    bare.to(setting.device)
    optimizer = torch.optim.AdamW(bare.parameters(), lr=1e-3, fused=True)
    for batch in batches:
        optimizer.zero_grad()
        with torch.autocast(setting.device, torch.bfloat16, enabled=setting.precision == "bf16-mixed"):
            loss = torch.nn.functional.binary_cross_entropy_with_logits(bare(batch["image"]), batch["target"])
        loss.backward()  # type: ignore[no-untyped-call]
        optimizer.step()
    if setting.device == "cuda":
        torch.cuda.synchronize()
