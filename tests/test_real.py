"""On the competition's own tiles, in the folder that AMAZON_ML_REAL_TILES names; skipped without it."""

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from conftest import TINY
from PIL import Image

from amazon_ml.cli.main import main
from amazon_ml.data.catalog.catalog import read_catalog
from amazon_ml.data.checks.check import check
from amazon_ml.data.readers.images import read_tile
from amazon_ml.labels import PLANET

pytestmark = pytest.mark.real


def test_colours_equal_pillows_conversion(real_tiles: Path) -> None:
    catalog = read_catalog(real_tiles)
    for path in [*catalog.labelled["path"][:200], *catalog.unlabelled["path"][:200]]:
        with Image.open(path) as image:
            assert image.mode == "CMYK"
            expected = np.asarray(image.convert("RGB")).astype(int)
        assert np.abs(read_tile(Path(path)) - expected).max() <= 1, path


def test_the_table_holds_the_17_tags_and_their_logic(real_tiles: Path) -> None:
    catalog = read_catalog(real_tiles)
    assert catalog.tags is PLANET
    broken = {rule: len(rows) for rule, rows in PLANET.logic_faults(catalog.targets).items()}
    # train_24448 has the tag water alone; there is no other such row.
    assert sum(broken.values()) <= 1


def test_the_check_finds_no_fault(real_tiles: Path) -> None:
    report = check(real_tiles)
    assert report.faults == []
    assert not {finding.kind for finding in report.findings} & {"near_duplicates", "blank_parts", "tif_place"}


def test_trains_and_predicts(real_tiles: Path, tmp_path: Path) -> None:
    run, out = tmp_path / "run", tmp_path / "p.parquet"
    options = ["--run", str(run), "--data.root", str(real_tiles), *TINY, "--data.max_samples=64", "--data.size=64"]
    assert main(["train", *options]) == 0
    assert json.loads((run / "metrics.json").read_text())["generated"] is False
    some = Path(read_catalog(real_tiles).unlabelled["path"][0]).parent
    assert main(["predict", str(run), "--tiles", str(some), "--out", str(out)]) == 0
    assert pd.read_parquet(out)["tags"].str.len().gt(0).all()


def test_trains_on_the_tifs_beside_the_jpgs(real_tiles: Path, tmp_path: Path) -> None:
    if not any(real_tiles.rglob("train-tif-v2")):
        pytest.skip(f"{real_tiles} holds no TIFs")
    run = tmp_path / "run"
    bands = ["--data.bands=rgbn+ndvi", "--data.allow_missing=true", "--data.max_samples=10"]
    options = [*TINY, *bands, "--data.n_folds=2", "--folds=all", "--data.batch_size=4", "--data.size=64"]
    assert main(["train", "--run", str(run), "--data.root", str(real_tiles), *options]) == 0
    limits = json.loads((run / "bands.json").read_text())["limits"]
    assert set(limits) == set("bgrn")
    assert all(1000 < low < high < 2**16 for low, high in limits.values())
