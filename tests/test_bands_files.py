"""A file for each band, of several resolutions, with rasterio as the reference; and a run on them from end to end."""

import json
import os
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import rasterio
from conftest import TINY, leave_out_pages
from made_tiles import Pixels, read_all, values, write_png, write_tif
from one_block import ONE_BLOCK
from rasterio.enums import Resampling
from refused import command_refused, holds

from amazon_ml.cli.main import main
from amazon_ml.data.catalog.catalog import read_catalog
from amazon_ml.data.catalog.file_table import compare_files, file_table, hash_tiles
from amazon_ml.data.config import ReadingConfig
from amazon_ml.data.datamodule import PlanetDataModule
from amazon_ml.data.readers import band_files
from amazon_ml.data.readers.band_files import BandFiles
from amazon_ml.data.readers.bands import TileReader
from amazon_ml.data.readers.shown import shown_channels
from amazon_ml.data.readers.sizes import common_edge
from amazon_ml.errors import InputError
from amazon_ml.predictor import Predictor

#: Edge of a pixel of each band, in pixels of the finest ones, as in BigEarthNet.
RATIOS = {
    "B01": 6, "B02": 1, "B03": 1, "B04": 1, "B05": 2, "B06": 2, "B07": 2, "B08": 1, "B8A": 2, "B09": 6, "B11": 2,
    "B12": 2,
}  # fmt: skip
TEMPLATE, EDGE = "{name}/{name}_{band}.tif", 24


def band(tile: int, name: str) -> Pixels:
    size = EDGE // RATIOS[name]
    return values(100 * tile + list(RATIOS).index(name), 1)[:size, :size]


def patches(root: Path, tiles: int = 12, bands: tuple[str, ...] = tuple(RATIOS), template: str = TEMPLATE) -> Path:
    """Make tiles as BigEarthNet has them: a folder for each scene, in it one for each patch, in it a file a band."""
    for i in range(tiles):
        for name in bands:
            path = root / f"scene_{i % 2}" / template.replace("{name}", f"t{i}").replace("{band}", name)
            write_tif(path, band(i, name))
    rows = [f"t{i},{'forest' if i % 2 else 'river lake'}" for i in range(tiles)]
    (root / "labels.csv").write_text("\n".join(["patch_id,labels", *rows]) + "\n")
    return root


def expected(tile: Path, name: str) -> Pixels:
    """Read a band at the finest resolution with GDAL."""
    with rasterio.open(tile) as file:
        out: Pixels = file.read(1, out_shape=(EDGE, EDGE), resampling=Resampling.bilinear)
        return out


def scaled(values: Pixels, low: float, high: float) -> Pixels:
    return np.clip(np.rint(255 * (values.astype(np.float64) - low) / (high - low)), 0, 255)


@pytest.mark.parametrize("template", [TEMPLATE, "{name}_{band}.tif", "{band}/{name}.tif"])
def test_bands_of_several_resolutions_are_brought_to_the_finest(tmp_path: Path, template: str) -> None:
    bands = ["B12", "B02", "B01", "ndmi"]
    root = patches(tmp_path / "set", 6, ("B01", "B02", "B08", "B8A", "B11", "B12"), template)
    read, tiles = read_all(root, bands=bands, files=template)
    assert tiles.shape == (6, EDGE, EDGE, 4)
    data = PlanetDataModule(root, size=EDGE, n_folds=2, bands=bands, files=template)
    assert data.catalog.labelled["image_name"].tolist() == [f"t{i}" for i in range(6)]
    for i in range(6):
        of = {
            name: expected(
                root / f"scene_{i % 2}" / template.replace("{name}", f"t{i}").replace("{band}", name), name
            ).astype(float)
            for name in ("B12", "B02", "B01", "B08", "B11")
        }
        for channel, name in enumerate(bands[:3]):
            assert np.abs(tiles[i, ..., channel] - scaled(of[name], *read.limits[name])).max() <= 1
        index = (of["B08"] - of["B11"]) / (of["B08"] + of["B11"])
        assert np.abs(tiles[i, ..., 3] - (index + 1) * 127.5).max() <= 0.6


@pytest.mark.parametrize(
    ("change", "expected_text"),
    [
        (lambda path: path.unlink(), "B8A"),
        (lambda path: write_tif(path, values(0, 1)[:13, :13]), "13 x 13"),
        (lambda path: write_tif(path, values(0, 1)), "24 x 24"),
        (lambda path: write_tif(path, values(0, 1, "float32")[:12, :12]), "float32"),
        (lambda path: write_tif(path, values(0, 2)[:12, :12]), "2"),
        (lambda path: path.write_bytes(path.read_bytes()[:200]), "t4_B8A"),
    ],
    ids=["missing", "another size", "another resolution", "another type", "two bands", "cut short"],
)
def test_a_file_of_another_kind_is_named_with_the_remedy(tmp_path: Path, change: Any, expected_text: str) -> None:
    root = patches(tmp_path / "set", 6, ("B02", "B8A"))
    read, _ = read_all(root, bands=["B02", "B8A"], files=TEMPLATE)
    first, broken = (root / "scene_0" / "t4" / f"t4_{name}.tif" for name in ("B02", "B8A"))
    change(broken)
    with pytest.raises(InputError) as caught:
        read(str(first))
    assert str(caught.value.file) == str(broken)
    assert caught.value.remedy
    assert expected_text in str(caught.value)
    shutil.rmtree(tmp_path / "work")
    with pytest.raises(InputError) as caught:  # training ends before its first step, too
        read_all(root, bands=["B02", "B8A"], files=TEMPLATE)
    assert broken.name in str(caught.value)


def test_all_files_of_a_tile_count_as_its_content(tmp_path: Path) -> None:
    root = patches(tmp_path / "set", 4, ("B02", "B03", "B8A"))
    how = ReadingConfig(bands=["B02", "B8A"], files=TEMPLATE)
    catalog = read_catalog(root, how)
    then = file_table(catalog)
    then = then.assign(hash=hash_tiles(then, catalog.files))
    for name, changes in (("B03", 0), ("B8A", 1)):
        path = root / "scene_1" / "t3" / f"t3_{name}.tif"
        data = bytearray(path.read_bytes())
        data[-1] ^= 1
        path.write_bytes(data)
        assert len(compare_files(then, file_table(catalog), catalog.files).changed) == changes
    path.write_bytes(bytes([*data[:-1], data[-1] ^ 1]))
    os.utime(path, (1, 1))
    now = compare_files(then, file_table(catalog), catalog.files)
    assert (len(now.changed), len(now.touched)) == (0, 1)


@pytest.mark.parametrize("bands", [("B11", "B02"), ("B02", "B11")])
def test_the_edge_of_a_tile_is_that_of_its_finest_band(bands: tuple[str, ...], tmp_path: Path) -> None:
    paths = [str(patches(tmp_path, 1) / f"scene_0/t0/t0_{bands[0]}.tif")]
    assert common_edge(paths, BandFiles(TEMPLATE, bands)) == EDGE
    assert common_edge(paths, BandFiles(TEMPLATE, bands[:1])) == EDGE // RATIOS[bands[0]]


@pytest.mark.parametrize(("shape", "edge"), [((9, 9, 4), 9), ((4, 9, 9), 9), ((9, 9), 9), ((9, 8, 4), None)])
def test_the_edge_of_an_array_is_read_from_its_header(shape: tuple[int, ...], edge: int | None, tmp_path: Path) -> None:
    np.save(tmp_path / "a.npy", np.zeros(shape, dtype=np.uint8))
    assert common_edge([str(tmp_path / "a.npy")]) == edge


def test_metres_of_a_pixel_need_square_tiles_and_are_refused_with_what_to_set(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for i in range(40):
        write_png(tmp_path / "tiles" / f"t{i}.png", values(i, 3)[:20, :24].astype(np.uint8))
    rows = [f"t{i},{'forest' if i % 2 else 'river'}" for i in range(40)]
    (tmp_path / "tiles" / "labels.csv").write_text("\n".join(["image_name,tags", *rows]) + "\n")
    words = ["train", "--run", tmp_path / "run", f"--data.root={tmp_path / 'tiles'}", *TINY, "--data.gsd=3"]
    assert holds(command_refused(capsys, *words), "3", "--data.gsd null")


def test_unknown_bands_are_answered_with_those_that_have_files(tmp_path: Path) -> None:
    root = patches(tmp_path / "set", 2, ("B02", "B03"))
    for bands in (["B99"], ["B02", "B99"], ["B02", "ndvi"]):
        with pytest.raises(InputError) as caught:
            read_catalog(root, ReadingConfig(bands=bands, files=TEMPLATE))
        assert caught.value.option == "data.bands"
        assert "B03" in str(caught.value)
    with pytest.raises(InputError) as caught:
        read_catalog(root, ReadingConfig(bands=["B02"], files="{name}-{band}.tif"))
    assert caught.value.option == "data.files"


def test_an_index_alone_needs_the_names_of_the_bands(tmp_path: Path) -> None:
    root = patches(tmp_path / "set", 4, ("B02", "B04", "B08"))
    read, tiles = read_all(root, bands=["ndvi"], band_names=["B02", "B04", "B08"], files=TEMPLATE)
    assert (read.bands, read.limits) == (("ndvi",), {})
    red, nir = (band(3, name)[..., 0].astype(float) for name in ("B04", "B08"))
    assert np.abs(tiles[3, ..., 0] - ((nir - red) / (nir + red) + 1) * 127.5).max() <= 0.51


def test_patches_of_one_name_go_by_their_scene(tmp_path: Path) -> None:
    for scene in ("a", "b"):
        write_tif(tmp_path / scene / "p" / "p_B02.tif", values(1, 1))
    (tmp_path / "labels.csv").write_text("image,tags\na/p,forest\nb/p,river\n")
    catalog = read_catalog(tmp_path, ReadingConfig(bands=["B02"], files=TEMPLATE))
    assert catalog.labelled["image_name"].tolist() == ["a/p", "b/p"]
    assert catalog.labelled["path"].tolist() == [str(tmp_path / scene / "p" / "p_B02.tif") for scene in "ab"]


def test_a_folder_named_test_holds_untagged_patches(tmp_path: Path) -> None:
    root = patches(tmp_path / "set", 4, ("B02",))
    write_tif(root / "test" / "new" / "new_B02.tif", values(1, 1))
    catalog = read_catalog(root, ReadingConfig(bands=["B02"], files=TEMPLATE))
    assert len(catalog.labelled) == 4
    assert catalog.unlabelled["image_name"].tolist() == ["new"]


def test_masked_coarse_pixels_mask_all_that_they_reach(tmp_path: Path) -> None:
    root = patches(tmp_path / "set", 2, ("B02",))
    for i in range(2):
        coarse = band(i, "B11")
        coarse[:, :6] = 0
        write_tif(root / f"scene_{i}" / f"t{i}" / f"t{i}_B11.tif", coarse, nodata=0)
    _, tiles = read_all(root, bands=["B02", "B11"], files=TEMPLATE)
    assert (tiles[:, :, :12, 1] == 0).all()
    assert (tiles[:, :, 14:, 1] > 0).mean() > 0.95
    assert (tiles[..., 0] > 0).mean() > 0.95


def test_pngs_of_one_band_are_files_of_bands(tmp_path: Path) -> None:
    for i in range(4):
        for name in ("vv", "vh"):
            write_png(tmp_path / "set" / f"t{i}_{name}.png", values(10 * i + len(name), 1))
    (tmp_path / "set" / "labels.csv").write_text("image,tags\n" + "".join(f"t{i},a b\n" for i in range(4)))
    options = {"bands": ["vh", "vv"], "files": "{name}_{band}.png", "tags": ["a", "b"]}
    _, tiles = read_all(tmp_path / "set", **options, tif_limits={"vh": (0, 4095), "vv": (0, 4095)})
    assert np.abs(tiles[3, ..., 0] - scaled(values(32, 1)[..., 0], 0, 4095)).max() <= 1


def test_the_template_splits_a_path_and_makes_it_again() -> None:
    files = BandFiles("{name}/{name}_{band}.tif", ("B8A", "B02"))
    assert files.named("a/b/x_1/x_1_B8A.tif") == ("a/b/", "x_1")
    assert files.of("/a/x_1/x_1_B8A.tif") == {"B8A": "/a/x_1/x_1_B8A.tif", "B02": "/a/x_1/x_1_B02.tif"}
    for other in ("a/x/y_B8A.tif", "a/x/x_B02.tif", "x_B8A.tif", "a/x/x_B8A.tiff"):
        assert files.named(other) is None
    assert BandFiles("{band}/{name}.tif", ("red", "nir")).of("s/red/x.tif")["nir"] == "s/nir/x.tif"


def test_pages_show_red_green_and_blue(tmp_path: Path) -> None:
    root = patches(tmp_path / "set", 2, ("B02", "B03", "B04", "B08"))
    read, tiles = read_all(root, bands=["B08", "B02", "ndvi", "B03", "B04"], files=TEMPLATE)
    np.testing.assert_array_equal(shown_channels(read, tiles[0]), tiles[0][..., [4, 3, 1]])
    np.testing.assert_array_equal(shown_channels(TileReader(("n", "r", "g")), tiles[0]), tiles[0])


# ------------------------------------------------------------------ from end to end


@pytest.fixture(scope="module")
def run_on_twelve(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Train on twelve bands and an index, through the command line; not to be changed."""
    root = tmp_path_factory.mktemp("twelve")
    patches(root / "set", 24)
    options = [f"--data.bands=[{', '.join(RATIOS)}, ndvi]", f"--data.files={TEMPLATE}"]
    small = ["--data.size=24", "--data.batch_size=8", "--data.n_folds=2", "--trainer.max_epochs=1", *ONE_BLOCK]
    with pytest.MonkeyPatch.context() as patch:
        leave_out_pages(patch)
        assert main(["train", "--run", str(root / "run"), f"--data.root={root / 'set'}", *options, *TINY, *small]) == 0
    return root


def test_twelve_bands_are_trained_predicted_and_exported(run_on_twelve: Path, tmp_path: Path) -> None:
    run, root = run_on_twelve / "run", run_on_twelve / "set"
    out, onnx = tmp_path / "p.parquet", tmp_path / "run.onnx"
    assert main(["predict", str(run / "bundle"), "--tiles", str(root), "--out", str(out)]) == 0
    table = pd.read_parquet(out)
    assert table["image_name"].tolist() == [f"t{i}" for i in range(24)]
    tags = ["forest", "lake", "river"]
    tagger = Predictor.load(run / "bundle", device="cpu")
    np.testing.assert_allclose(tagger.predict_proba(root), table[tags], atol=1e-6)
    catalog = read_catalog(root, ReadingConfig(bands=[*RATIOS, "ndvi"], files=TEMPLATE))
    paths = catalog.labelled["path"].tolist()
    np.testing.assert_allclose(tagger.predict_proba(paths[::-1]), table[tags][::-1], atol=1e-6)
    read = tagger._bundle.networks.read
    assert read.bands == (*RATIOS, "ndvi")
    arrays = np.stack([read(path) for path in paths])
    assert arrays.shape == (24, EDGE, EDGE, 13)
    np.testing.assert_allclose(tagger.predict_proba(arrays), table[tags], atol=1e-6)
    onnxruntime = pytest.importorskip("onnxruntime")
    assert main(["export", str(run), "--onnx", str(onnx)]) == 0
    session = onnxruntime.InferenceSession(str(onnx))
    np.testing.assert_allclose(session.run(None, {"tiles": arrays})[0], table[tags], atol=1e-4)
    metadata = session.get_modelmeta().custom_metadata_map
    assert json.loads(metadata["tiles"])["bands"] == [*RATIOS, "ndvi"]


def test_twelve_bands_are_evaluated_and_packed_as_they_were_trained(run_on_twelve: Path, tmp_path: Path) -> None:
    run, root = run_on_twelve / "run", run_on_twelve / "set"
    out, store = tmp_path / "metrics.json", tmp_path / "store"
    assert main(["evaluate", str(run / "bundle"), "--data", str(root), "--json", str(out)]) == 0
    assert json.loads(out.read_text())["tiles"] == 24
    bands = ["--bands_file", str(run / "bands.json")]
    assert main(["data", "pack", str(root), *bands, "--size=24", "--out", str(store)]) == 0
    data = PlanetDataModule(root, size=24, bands=[*RATIOS, "ndvi"], files=TEMPLATE, packed=str(store),
                            bands_file=str(run / "bands.json"), n_folds=2)  # fmt: skip
    data.prepare_data()
    data.setup()
    assert data.store is not None
    plain = np.stack([data.read(path) for path in data.catalog.labelled["path"]])
    np.testing.assert_array_equal(data.store.fetch(np.arange(24)), plain)
    loaded = np.concatenate([batch["image"].numpy() for batch in data.train_dataloader()])
    turned = [np.rot90(tile, turns) for tile in plain for turns in range(4)]
    known = {np.ascontiguousarray(each).tobytes() for tile in turned for each in (tile, tile[::-1])}
    assert len(loaded) and all(tile.tobytes() in known for tile in loaded)


def test_predict_names_the_file_of_a_band_that_is_missing(
    run_on_twelve: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    root = patches(tmp_path / "set", 3)
    (root / "scene_1" / "t1" / "t1_B09.tif").unlink()
    call = ["predict", str(run_on_twelve / "run" / "bundle"), "--tiles", str(root), "--out"]
    assert main([*call, str(tmp_path / "p.csv")]) == 2
    assert "t1_B09.tif" in capsys.readouterr().err
    assert main([*call, str(tmp_path / "p.csv"), "--skip_broken"]) == 0
    assert pd.read_csv(tmp_path / "p.csv")["image_name"].tolist() == ["t0", "t2"]
    check = ["data", "check", str(root), "--bands=[B02, B09]", f"--files={TEMPLATE}", "--n_folds=2"]
    assert main([*check, "--write_exclude", str(tmp_path / "out.csv")]) == 1
    assert pd.read_csv(tmp_path / "out.csv").iloc[:, 0].tolist() == ["t1"]


def test_each_file_is_compared_once_for_all_tiles_without_the_first_band(monkeypatch: pytest.MonkeyPatch) -> None:
    """Names times files would take hours for a large set."""
    files, seen = BandFiles(TEMPLATE, ("B01", "B02")), []
    compiled = band_files._compiled

    class Counting:
        def __init__(self, *given: Any, **more: Any) -> None:
            self.pattern = compiled(*given, **more)

        def fullmatch(self, path: str) -> Any:
            seen.append(path)
            return self.pattern.fullmatch(path)

    monkeypatch.setattr(band_files, "_compiled", Counting)
    paths = [f"set/t{i}/t{i}_{name}.tif" for i in range(50) for name in ("B03", "B02")]
    found = files.tile_among([*(f"u{i}" for i in range(50)), "t7", "t3"], paths)
    assert found == ("set/t7/t7_B01.tif", ["B02", "B03"]) and seen == paths
    assert files.tile_among(["u1", "u2"], paths) is None
