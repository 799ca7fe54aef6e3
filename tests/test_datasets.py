"""Published sets, each in the layout that its authors gave it: from the raw folder to scores, by its preset."""

import json
import re
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from conftest import TINY, leave_out_pages
from made_tiles import write_tif
from PIL import Image

from amazon_ml.cli.main import main
from amazon_ml.data.catalog.catalog import read_catalog
from amazon_ml.data.checks.check import check
from amazon_ml.data.demo.demo import write_demo
from amazon_ml.runs.config import RunConfig

CONFIGS = Path(__file__).parents[1] / "configs" / "datasets"
TAGS = ("Arable land", "bare-soil", "trees")
COUNT = 40
#: Edge of a pixel of each band of Sentinel-2, in metres, as BigEarthNet has them.
SENTINEL = {
    "B01": 60, "B02": 10, "B03": 10, "B04": 10, "B05": 20, "B06": 20, "B07": 20, "B08": 10, "B8A": 20, "B09": 60,
    "B11": 20, "B12": 20,
}  # fmt: skip


def hot(number: int) -> list[int]:
    return [int(number % 3 == 0), int(number % 2 == 0), int(number % 3 != 0)]


def tags(number: int) -> list[str]:
    return [tag for tag, value in zip(TAGS, hot(number), strict=True) if value]


def split(number: int) -> str:
    return ("train", "train", "validation", "test")[number % 4]


def picture(path: Path, number: int, size: int = 24) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    pixels = np.random.default_rng(number).integers(200, size=(size, size, 3), dtype=np.uint8)
    Image.fromarray(pixels + np.array([50 * value for value in hot(number)], dtype=np.uint8)).save(path)


def wide(path: Path, names: Sequence[tuple[str, int]], *, between: str, head: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    rows = [between.join([name, *map(str, hot(number))]) for name, number in names]
    path.write_text("\n".join([between.join([head, *TAGS]), *rows, ""]))


def band_files(root: Path, name: str, number: int) -> None:
    for place, (band, metres) in enumerate(SENTINEL.items()):
        values = np.random.default_rng(100 * number + place).integers(200, 3000, (240 // metres, 240 // metres, 1))
        write_tif(root / name / f"{name}_{band}.tif", values.astype(np.uint16))


def planet(root: Path) -> None:
    write_demo(root, tiles=60, test_tiles=6, size=16)


def aitlas(root: Path) -> None:
    for part in ("train", "validation", "test"):
        names = [(f"agricultural{number:02}", number) for number in range(COUNT) if split(number) == part]
        short = "val" if part == "validation" else part
        wide(root / f"ucmercedmultilabel_{short}.csv", names, between="\t", head="IMAGE\\LABEL")
    for number in range(COUNT):
        picture(root / "Images" / "agricultural" / f"agricultural{number:02}.tif", number)


def ucmerced(root: Path, table: str = "LandUse_Multilabeled.txt") -> None:
    names = [(f"beach{number:02}", number) for number in range(COUNT)]
    wide(root / table, names, between="\t", head="IMAGE\\LABEL")
    for name, number in names:
        picture(root / "Images" / "beach" / f"{name}.tif", number)


def aid(root: Path) -> None:
    names = [(f"airport_{number}", number) for number in range(COUNT)]
    wide(root / "multilabel.csv", names, between=",", head="IMAGE\\LABEL")
    for name, number in names:
        part = "images_test" if split(number) == "test" else "images_tr"
        picture(root / part / "airport" / f"{name}.jpg", number)


def dfc15(root: Path) -> None:
    wide(root / "multilabel.csv", [(str(number), number) for number in range(COUNT)], between=",", head="image\\label")
    for number in range(COUNT):
        picture(root / ("images_test" if split(number) == "test" else "images_tr") / f"{number}.png", number)


def mlrsnet(root: Path) -> None:
    for place, category in enumerate(("airplane", "wetland")):
        names = [(f"{category}_{number:05}.jpg", number) for number in range(place, COUNT, 2)]
        wide(root / "labels" / f"{category}.csv", names, between=",", head="image")
        for name, number in names:
            picture(root / "images" / category / name, number)


def bigearthnet(root: Path) -> None:
    names = [f"S2A_MSIL2A_20170613T101031_N9999_R022_T33UUP_{number:02}_77" for number in range(COUNT)]
    table = pd.DataFrame({
        "patch_id": names, "labels": [tags(number) for number in range(COUNT)],
        "split": [split(number) for number in range(COUNT)], "country": "Austria",
        "s1_name": [f"S1A_IW_GRDH_1SDV_20170613T165043_33UUP_{number:02}_77" for number in range(COUNT)],
        "s2v1_name": [f"S2A_MSIL2A_20170613T101031_{number:02}_77" for number in range(COUNT)],
        "contains_seasonal_snow": False, "contains_cloud_or_shadow": False,
    })  # fmt: skip
    root.mkdir()
    table.to_parquet(root / "metadata.parquet")
    for number, name in enumerate(names):
        band_files(root / "BigEarthNet-S2" / name.rsplit("_", 2)[0], name, number)


def bigearthnet_v1(root: Path) -> None:
    names = [f"S2A_MSIL2A_20170613T101031_{number}_77" for number in range(COUNT)]
    for number, name in enumerate(names):
        band_files(root, name, number)
        about = {
            "labels": tags(number),
            "coordinates": {"ulx": 300000},
            "tile_source": "S2A",
            "acquisition_date": "2017",
        }
        (root / name / f"{name}_labels_metadata.json").write_text(json.dumps(about))
    for file, part in (("train", "train"), ("val", "validation"), ("test", "test")):
        listed = [name for number, name in enumerate(names) if split(number) == part and number != 1]
        (root / f"{file}.csv").write_text("\n".join(listed) + "\n")


def treesatai(root: Path) -> None:
    names = [f"Acer_pseudoplatanus_{number}_BI_NLF.tif" for number in range(COUNT)]
    for number, name in enumerate(names):
        values = np.random.default_rng(number).integers(255, size=(32, 32, 4), dtype=np.uint8)
        write_tif(root / "aerial" / "60m" / name, values)
        write_tif(root / "s2" / "60m" / name, values[:6, :6, :1].astype(np.uint16))
    shares = {name: [[tag, 0.5] for tag in tags(number)] + [["Tilia", 0.05]] for number, name in enumerate(names)}
    (root / "labels").mkdir()
    (root / "labels" / "TreeSatBA_v9_60m_multi_labels.json").write_text(json.dumps(shares))
    for part in ("train", "test"):
        listed = [name for number, name in enumerate(names) if (split(number) == "test") == (part == "test")]
        (root / f"{part}_filenames.lst").write_text("\n".join(listed) + "\n")


#: Preset: its maker, the tiles of its splits train, val and test, and where its names have the number of a tile.
SETS: dict[str, tuple[Callable[[Path], None], tuple[int, int, int], str]] = {
    "planet": (planet, (60, 0, 0), ""),
    "aitlas": (aitlas, (20, 10, 10), r"agricultural(\d+)"),
    "ucmerced": (ucmerced, (40, 0, 0), r"beach(\d+)"),
    "aid": (aid, (30, 0, 10), r"airport_(\d+)"),
    "dfc15": (dfc15, (30, 0, 10), r"(\d+)"),
    "mlrsnet": (mlrsnet, (40, 0, 0), r"[a-z]+_(\d+)"),
    "bigearthnet": (bigearthnet, (20, 10, 10), r".*_(\d+)_77"),
    "bigearthnet-v1": (bigearthnet_v1, (19, 10, 10), r".*_(\d+)_77"),
    "treesatai": (treesatai, (30, 0, 10), r"Acer_pseudoplatanus_(\d+)_BI_NLF"),
}


def test_a_tile_of_treesatai_without_a_large_genus_has_no_tag(tmp_path: Path) -> None:
    treesatai(tmp_path)
    table = tmp_path / "labels" / "TreeSatBA_v9_60m_multi_labels.json"
    shares = json.loads(table.read_text())
    name = (tmp_path / "train_filenames.lst").read_text().split()[0]
    table.write_text(json.dumps({**shares, name: [["Tilia", 0.05], ["Acer", 0.06]]}))
    reading = RunConfig.load("datasets/treesatai", {"data.root": str(tmp_path)}).data
    catalog = read_catalog(tmp_path, reading)
    at = catalog.labelled["image_name"].tolist().index(Path(name).stem)
    assert catalog.targets[at].sum() == 0 and (catalog.targets.sum(axis=1) == 0).sum() == 1


@pytest.mark.parametrize("table", ["multilabels.txt", "multilabels/LandUse_Multilabeled.txt"])
def test_the_table_of_ucmerced_has_several_names(tmp_path: Path, table: str) -> None:
    ucmerced(tmp_path, table)
    reading = RunConfig.load("datasets/ucmerced", {"data.root": str(tmp_path)}).data
    assert len(read_catalog(tmp_path, reading).labelled) == COUNT
    ucmerced(tmp_path, "LandUse_Multilabeled.txt")  # the first name that fits counts, so that no row is there twice
    assert len(read_catalog(tmp_path, reading).labelled) == COUNT


def test_every_preset_is_tested() -> None:
    assert {path.stem for path in CONFIGS.glob("*.yaml")} == SETS.keys()


@pytest.mark.parametrize("name", SETS)
def test_a_published_set_is_trained_from_its_raw_folder(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    make, sizes, number = SETS[name]
    root, run = tmp_path / "set", tmp_path / "run"
    make(root)
    reading = RunConfig.load(f"datasets/{name}", {"data.root": str(root)}).data
    catalog = read_catalog(root, reading)
    valid = 0 if catalog.valid is None else int(catalog.valid.sum())
    assert (len(catalog.labelled) - valid, valid, len(catalog.tested)) == sizes
    if number:
        assert catalog.tags.names == TAGS
        for tiles, targets in ((catalog.labelled, catalog.targets), (catalog.tested, catalog.tested_targets)):
            numbers = [re.fullmatch(number, one) for one in tiles["image_name"]]
            assert targets.tolist() == [hot(int(one[1])) for one in numbers if one]
    assert not check(root, reading, num_workers=1).faults
    leave_out_pages(monkeypatch)
    command = ["train", "--config", f"datasets/{name}", "--run", str(run), "--data.root", str(root), *TINY]
    assert main([*command, "--data.size=24", "--data.n_folds=2", "--trainer.max_epochs=1"]) == 0
    metrics = json.loads((run / "metrics.json").read_text())
    assert metrics.get("test", {"tiles": 0})["tiles"] == sizes[2]
    oof = pd.read_parquet(run / "oof.parquet")
    assert abs(len(oof) - (valid or sizes[0] / 2)) <= (0 if valid else 2)
