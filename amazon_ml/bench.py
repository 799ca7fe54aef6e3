"""Measure against plain baselines, in one run on one machine: ratios travel, absolute times do not.

Each pair is run in turn, several times, and medians are compared, so that a machine that is slow
for a moment is slow for both.
"""

import logging
import statistics
import tempfile
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import albumentations
import cv2
import numpy as np
import torch
from rich.console import Console
from rich.table import Table
from sklearn.metrics import fbeta_score
from torch.utils.data import DataLoader, Dataset, default_collate

from amazon_ml.data.augment import D4, Augmentation
from amazon_ml.data.bands import TileReader
from amazon_ml.data.catalog import read_catalog
from amazon_ml.data.demo import write_demo
from amazon_ml.data.images import read_tile
from amazon_ml.data.loading import EpochSampler, TileDataset, training_loader
from amazon_ml.data.sources import TileFiles
from amazon_ml.decisions.fbeta import fbeta
from amazon_ml.decisions.thresholds import START, per_class
from amazon_ml.files import write_json
from amazon_ml.lightning import pl
from amazon_ml.models.tagger import TileTagger

log = logging.getLogger(__name__)

Pair = Mapping[str, Callable[[], object]]


def bench(*, rounds: int = 3, size: int = 64, backbone: str = "regnetx_002", json: Path | None = None) -> None:
    """Measure cut-off search, loading and training against plain baselines, on generated tiles.

    Parameters
    ----------
    rounds
        How often each pair is run; medians are shown.
    size
        Edge of the tiles, pixels.
    backbone
        timm name of the network that is trained.
    json
        File for the figures.
    """
    table = Table(title=f"median of {rounds} rounds, {torch.get_num_threads()} threads", title_justify="left")
    for heading in ("what", "ours, s", "baseline, s", "times as fast"):
        table.add_column(heading, justify="left" if heading == "what" else "right")
    figures = []
    with tempfile.TemporaryDirectory() as folder:
        tiles = Path(folder) / "tiles"
        write_demo(tiles, tiles=1000, test_tiles=0, size=size)
        for what, pair in {**_cut_offs(), **_loading(tiles, size), **_training(tiles, size, backbone)}.items():
            log.info("measuring: %s", what)
            seconds = _medians(pair, rounds)
            figures.append({"what": what, **seconds, "times_as_fast": seconds["baseline"] / seconds["ours"]})
            ratio = f"{figures[-1]['times_as_fast']:.2f}"
            table.add_row(what, f"{seconds['ours']:.3f}", f"{seconds['baseline']:.3f}", ratio)
    Console().print(table)
    if json is not None:
        write_json(json, figures)


def _medians(pair: Pair, rounds: int) -> dict[str, float]:
    seconds: dict[str, list[float]] = {name: [] for name in pair}
    for run in pair.values():
        run()  # a first call pays for caches and code that is compiled once
    for _ in range(rounds):
        for name, run in pair.items():
            began = time.perf_counter()
            run()
            seconds[name].append(time.perf_counter() - began)
    return {name: statistics.median(times) for name, times in seconds.items()}


def _cut_offs(tiles: int = 1000) -> dict[str, Pair]:
    """Search cut-offs exactly, and with a loop over 100 of them a tag around scikit-learn's metric."""
    rng = np.random.default_rng(0)
    frequencies = rng.beta(0.5, 3, 17)
    true = rng.random((tiles, 17)) < frequencies
    logits = 3 * (true - 0.5) + rng.normal(0, 1.5, true.shape) + np.log(frequencies / (1 - frequencies)) / 2
    p = 1 / (1 + np.exp(-logits))

    def loop() -> float:
        cuts, best = np.full(17, START), 0.0
        for tag in range(17):
            for cut in np.arange(100) / 100:
                trial = np.where(np.arange(17) == tag, cut, cuts)
                score = float(fbeta_score(true, p >= trial, beta=2, average="samples", zero_division=0))
                if score > best:
                    best, cuts = score, trial
        return best

    log.info("F2 of the exact search %.5f, of the loop %.5f", fbeta(true, per_class(p, true).decide(p)), loop())
    return {f"cut-offs for {tiles:,} tiles: exact search / scikit-learn loop": {
        "ours": lambda: per_class(p, true), "baseline": loop}}  # fmt: skip


class _ClassicDataset(Dataset[tuple[Any, Any]]):
    """A data set as most are written: augment, normalise to float, turn channels first, tile by tile."""

    def __init__(self, paths: list[str], targets: np.ndarray) -> None:
        self.paths, self.targets = paths, targets.astype(np.float32)
        self.steps = albumentations.Compose(
            [albumentations.D4(p=1.0), albumentations.Normalize(), albumentations.ToTensorV2()]
        )

    def __len__(self) -> int:
        return len(self.paths)

    def __getitem__(self, index: int) -> tuple[Any, Any]:
        image = cv2.cvtColor(cv2.imread(self.paths[index]), cv2.COLOR_BGR2RGB)  # type: ignore[arg-type]
        return self.steps(image=image)["image"], self.targets[index]


def _loading(tiles: Path, size: int) -> dict[str, Pair]:
    """Load one epoch of augmented batches in the main process, our way and as most are written."""
    catalog = read_catalog(tiles)
    paths = catalog.labelled["path"].tolist()
    ours = TileDataset(TileFiles(catalog.labelled, TileReader(), size), catalog.targets, Augmentation([D4], seed=0))
    classic = _ClassicDataset(paths, catalog.targets)
    loaders: dict[str, DataLoader[Any]] = {
        "ours": training_loader(ours, 64, 0, EpochSampler(len(ours), seed=0)),
        "baseline": DataLoader(classic, 64, shuffle=True, drop_last=True, collate_fn=default_collate),
    }
    return {f"loading {len(paths):,} tiles of {size} px: ours / cv2, albumentations, default collate": {
        name: lambda loader=loader: sum(1 for _ in loader) for name, loader in loaders.items()}}  # type: ignore[misc]  # fmt: skip


def _training(tiles: Path, size: int, backbone: str, batches: int = 10) -> dict[str, Pair]:
    """Train on the same batches with Lightning and our module, and with a bare PyTorch loop."""
    catalog = read_catalog(tiles)
    images = np.stack([read_tile(Path(path)) for path in catalog.labelled["path"][: 64 * batches]])
    data = [
        {
            "image": torch.from_numpy(images[at : at + 64]),
            "target": torch.from_numpy(catalog.targets[at : at + 64]).float(),
        }
        for at in range(0, len(images), 64)
    ] * 3

    def make() -> TileTagger:
        return TileTagger(list(catalog.tags.names), backbone, pretrained=False, size=size, schedule="constant")

    module, bare = make(), make()

    def fit() -> None:
        trainer = pl.Trainer(
            accelerator="cpu", max_epochs=1, logger=False, enable_checkpointing=False, enable_progress_bar=False,
            enable_model_summary=False,
        )  # fmt: skip
        trainer.fit(module, DataLoader(data, batch_size=None))  # type: ignore[arg-type]

    def loop() -> None:
        optimizer = torch.optim.AdamW(bare.parameters(), lr=1e-3, fused=True)
        for batch in data:
            optimizer.zero_grad()
            loss = torch.nn.functional.binary_cross_entropy_with_logits(bare(batch["image"]), batch["target"])
            loss.backward()  # type: ignore[no-untyped-call]
            optimizer.step()

    return {f"training {backbone}, {3 * len(images):,} tiles of {size} px: our fit / bare loop": {
        "ours": fit, "baseline": loop}}  # fmt: skip
