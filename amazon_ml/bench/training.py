"""Searching cut-offs and training, against a loop around scikit-learn and a bare PyTorch loop."""

import logging
from pathlib import Path

import numpy as np
import torch
from sklearn.metrics import fbeta_score
from torch.utils.data import DataLoader

from amazon_ml.bench.measure import Contest, Ratio
from amazon_ml.data.catalog import read_catalog
from amazon_ml.data.images import read_tile
from amazon_ml.decisions.fbeta import fbeta
from amazon_ml.decisions.synthetic import draw_rows
from amazon_ml.decisions.thresholds import START, per_class
from amazon_ml.lightning import pl
from amazon_ml.models.tagger import TileTagger

log = logging.getLogger(__name__)


def cut_offs(tiles: int = 1000) -> Contest:
    """Search cut-offs exactly, and with a loop over 100 of them a tag around scikit-learn's metric."""
    p, true = draw_rows(tiles)

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
    ratio = Ratio("exact cut-offs / scikit-learn loop", "ours", "loop")
    return Contest({"ours": lambda: per_class(p, true), "loop": loop}, [ratio], tiles)


def training(tiles: Path, size: int, backbone: str, batches: int = 10) -> Contest:
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

    ratio = Ratio("training with Lightning / bare loop", "ours", "bare loop")
    return Contest({"ours": fit, "bare loop": loop}, [ratio], 3 * len(images))
