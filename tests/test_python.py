"""The package as a library: public names, a plain Trainer, a predictor, and the page that shows them."""

import re
import shutil
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import Any, cast

import forked
import numpy as np
import pandas as pd
import pytest
import pytorch_lightning as pl
import safetensors.torch
import torch
from made_tiles import RGBA, write_tif
from refused import refused
from torch.utils.data import DataLoader

import amazon_ml as am
from amazon_ml.cli.main import main
from amazon_ml.data.readers.band_files import BandFiles
from amazon_ml.data.readers.bands import TileReader
from amazon_ml.data.readers.images import read_tile, resize
from amazon_ml.data.readers.named import Layer, NamedBands
from amazon_ml.decisions.blending import Mixture
from amazon_ml.models.engines import Method
from amazon_ml.runs.bundle import Blended, Networks, open_bundle
from amazon_ml.runs.inference import name_method

DOCS = Path(__file__).parent.parent / "docs"
ORDERS = ("pytorch_lightning timm torchvision", "timm torchvision pytorch_lightning", "torchvision timm")
NAMES = set(" ".join(ORDERS).split())


def python(code: str, *, early: bool = False) -> subprocess.CompletedProcess[str]:
    """Run code in a new interpreter, or in a process that has imported PyTorch, and none of the names in `ORDERS`."""
    if early:
        return forked.run(["-c", f"import sys; assert not {NAMES!r} & sys.modules.keys(); {code}"], early=True)
    return subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)


def trainer(**options: Any) -> pl.Trainer:
    return pl.Trainer(
        accelerator="cpu", logger=False, enable_checkpointing=False, enable_progress_bar=False,
        enable_model_summary=False, **options,
    )  # fmt: skip


def module(root: Path, **options: Any) -> am.PlanetDataModule:
    return am.PlanetDataModule(str(root), **{"size": 32, "batch_size": 16, "n_folds": 3, **options})


def tiny(**options: Any) -> am.TileTagger:
    return am.TileTagger(**{"backbone": "test_resnet", "pretrained": False, "lr": 0.01, **options})


def test_importing_brings_no_torch_and_every_public_name_is_there() -> None:
    code = "import sys, amazon_ml; sys.exit(any(m in sys.modules for m in ('torch', 'numpy', 'torchvision')))"
    assert python(code).returncode == 0
    assert set(am.__all__) <= set(dir(am)) and all(getattr(am, name) is not None for name in am.__all__)
    with pytest.raises(AttributeError):
        am.NoSuchName  # noqa: B018


@pytest.mark.parametrize("order", ORDERS)
def test_torchvision_imports_in_any_order(order: str) -> None:
    # Of these, only torchvision itself is imported before PyTorch, where nothing else has imported that.
    early = not order.startswith("torchvision")
    done = python(f"import amazon_ml; [__import__(name) for name in {order!r}.split()]", early=early)
    assert done.returncode == 0 and done.stderr == ""


def test_an_import_that_failed_can_be_repeated_and_other_loaders_are_as_they_were() -> None:
    done = python(
        "pass\ntry:\n    import torchvision\nexcept RuntimeError:\n    pass\nimport amazon_ml, torchvision, json\n"
        "assert all(type(m.__spec__.loader).__name__ == 'SourceFileLoader' for m in (torchvision.extension, json))",
        early=True,
    )
    assert done.returncode == 0, done.stderr


def test_a_torchvision_that_is_whole_is_left_alone(tmp_path: Path) -> None:
    package = tmp_path / "torchvision"
    package.mkdir()
    (package / "__init__.py").write_text("from torchvision import extension\n")
    (package / "extension.py").write_text("def _has_ops():\n    return True\n")
    code = f"import sys; sys.path.insert(0, {str(tmp_path)!r}); import amazon_ml, torchvision; " + (
        "assert 'torch' not in sys.modules; assert torchvision.__path__"
    )
    assert python(code).returncode == 0


@pytest.fixture(scope="module")
def plain(demo_tiles: Path) -> tuple[pl.Trainer, am.TileTagger, am.PlanetDataModule]:
    """A network of a plain Trainer; not to be changed."""
    data, model, own = module(demo_tiles), tiny(tta="flips"), trainer(max_epochs=2)
    torch.manual_seed(1)  # of no consequence: the data module has the seed
    own.fit(model, data)
    return own, model, data


def test_a_plain_trainer_gives_the_weights_of_the_command(plain: Any, trained: Path) -> None:
    weights = safetensors.torch.load_file(trained / "fold-0" / "model.safetensors")
    own = plain[1].state_dict()
    assert own.keys() == weights.keys() and all(torch.equal(own[key], weights[key]) for key in own)


def test_frequencies_reach_the_loss_and_nothing_is_written(
    demo_tiles: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    data, model = module(demo_tiles, fold_by="scenes"), tiny(loss="pos_weight")
    trainer(max_steps=1, max_epochs=1, limit_val_batches=0).fit(model, data)
    odds = (1 - data.frequencies) / data.frequencies
    torch.testing.assert_close(model.loss.weights, odds.sqrt().clamp(0.1, 10))
    assert list(tmp_path.iterdir()) == []


def test_two_data_modules_share_nothing(demo_tiles: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    both = [module(demo_tiles, seed=seed, n_folds=folds) for seed, folds in ((0, 3), (1, 4))]
    for data in both:
        data.prepare_data()
        data.setup("fit")
    assert len(both[0].valid_rows) > len(both[1].valid_rows) and list(tmp_path.iterdir()) == []


def test_the_other_verbs_of_a_trainer_work(plain: Any, tmp_path: Path) -> None:
    own, model, data = plain
    scores = own.validate(model, data, verbose=False)[0] | own.test(model, data, verbose=False)[0]
    others = ("f2", "average_precision_macro", "average_precision_micro", "f1_macro", "f1_micro")
    assert scores.keys() == {"val_loss", *(f"{stage}_{name}" for stage in ("val", "test") for name in others)}
    index, p = (torch.cat(parts) for parts in zip(*own.predict(model, data), strict=True))
    assert index.tolist() == list(range(30)) and p.shape == (30, len(data.catalog.tags))
    own.save_checkpoint(tmp_path / "tagger.ckpt")
    again = am.TileTagger.load_from_checkpoint(tmp_path / "tagger.ckpt").eval()
    batch = next(iter(data.predict_dataloader()))["image"]
    with torch.no_grad():
        torch.testing.assert_close(again.probabilities(batch), p[: len(batch)])
    bias = again.backbone.get_classifier().bias.clone()  # type: ignore[operator]
    again.learn_frequencies(data.frequencies)
    assert torch.equal(again.backbone.get_classifier().bias, bias)  # type: ignore[operator]


@pytest.mark.parametrize(
    ("change", "option", "values"),
    [
        ("order", "tags", [17, 1, "conventional_mine", "clear"]),
        ("number", "tags", [16, 17, "conventional_mine"]),
        ("bands", "in_chans", [4, "rgb"]),
        ("size", "size", [64, 32]),
    ],
)
def test_a_model_for_other_tiles_is_refused(demo_tiles: Path, change: str, option: str, values: list[object]) -> None:
    data = module(demo_tiles)
    tags = list(data.catalog.tags.names)
    options: dict[str, dict[str, Any]] = {
        "order": {"tags": tags[::-1]}, "number": {"tags": tags[:-1]}, "bands": {"in_chans": 4}, "size": {"size": 64},
    }  # fmt: skip
    with refused(option=option, says=values):
        trainer(max_epochs=1).fit(tiny(**options[change]), data)


def test_what_cannot_be_known_is_requested(demo_tiles: Path) -> None:
    batch = {"image": torch.zeros(2, 32, 32, 3, dtype=torch.uint8), "target": torch.zeros(2, 2)}
    loader: Any = DataLoader([batch], batch_size=None)  # type: ignore[arg-type]
    for model, option in ((tiny(), "tags"), (tiny(tags=["a", "b"], size=32, loss="pos_weight"), "loss")):
        with refused(option=option):
            trainer(max_epochs=1).fit(model, loader)
    with refused(option="tags"):
        tiny()(batch["image"])
    for repeated in (lambda: tiny(tags=["a", "a"]), lambda: module(demo_tiles, tags=["a", "a"]).catalog):
        with refused(says="a"):
            repeated()


@pytest.mark.parametrize(
    ("dtype", "shape"),
    [("float32", (2, 32, 32, 3)), ("uint16", (2, 32, 32, 3)), ("uint8", (2, 3, 32, 32)), ("uint8", (2, 32, 32, 4)),
     ("uint8", (32, 32, 3)), ("uint8", (2, 32, 16, 3))],
)  # fmt: skip
def test_arrays_that_are_no_tiles_are_refused(predictor: am.Predictor, dtype: str, shape: tuple[int, ...]) -> None:
    tiles = np.zeros(shape, dtype=dtype)
    with refused(option="tiles", says=["uint8", "(tiles, 32, 32, 3)", dtype, shape]):
        predictor.predict_proba(tiles)
    if shape != (2, 32, 16, 3):
        with refused(option="tiles", says=["uint8", dtype, shape]):
            tiny(tags=["a"], size=32)(torch.from_numpy(tiles))


@pytest.mark.parametrize("scale", [False, True])
def test_arrays_of_tiles_without_pixels_are_refused(predictor: am.Predictor, scale: bool) -> None:
    for shape in ((2, 0, 32, 3), (2, 32, 0, 3), (1, 0, 0, 3)):
        with refused(option="tiles", says=shape):
            predictor.predict_proba(np.zeros(shape, np.uint8), scale=scale)
        with refused(option="tiles", says=shape):
            tiny(tags=["a"], size=32)(torch.zeros(shape, dtype=torch.uint8))
    assert predictor.predict_proba(np.zeros((0, 32, 32, 3), np.uint8), scale=scale).shape == (0, len(predictor.tags))


@pytest.mark.parametrize("scale", [False, True])
def test_masked_values_are_refused_and_an_empty_mask_is_not(predictor: am.Predictor, scale: bool) -> None:
    tiles: Any = np.ma.MaskedArray(np.full((2, 32, 32, 3), 100, np.uint8), mask=False)
    plain = predictor.predict_proba(tiles.filled(0), scale=scale)
    np.testing.assert_array_equal(predictor.predict_proba(tiles, scale=scale), plain)
    tiles[0, 3, 4] = np.ma.masked
    with refused(option="tiles", says=3):
        predictor.predict_proba(tiles, scale=scale)
    with refused(option="tiles", says=3):
        predictor.predict(tiles, scale=scale)
    predictor.predict_proba(tiles.filled(0), scale=scale)


@pytest.mark.parametrize("kind", ["series", "objects", "texts", "index", "paths", "strings"])
def test_files_in_a_series_or_an_array_are_a_list_of_files(predictor: am.Predictor, untagged: Path, kind: str) -> None:
    files = sorted(untagged.glob("*.jpg"))[:3]
    texts = list(map(str, files))
    given: dict[str, Any] = {
        "series": pd.Series(texts, index=[7, 3, 5]),
        "objects": np.array(texts, dtype=object),
        "texts": np.array(texts),
        "index": pd.Index(texts),
        "paths": pd.Series(files),
        "strings": pd.Series(texts, dtype="string"),
    }
    tags = predictor.predict(given[kind]).reset_index(drop=True)
    pd.testing.assert_frame_equal(tags, predictor.predict(texts))


@pytest.fixture(scope="module")
def predictor(trained: Path) -> am.Predictor:
    return am.Predictor.load(trained / "bundle", device="cpu")


@pytest.fixture(scope="module")
def untagged(demo_tiles: Path) -> Path:
    return next(folder for folder in demo_tiles.iterdir() if folder.name.startswith("test-jpg"))


def test_a_predictor_gives_what_the_command_gives(
    predictor: am.Predictor, trained: Path, untagged: Path, tmp_path: Path
) -> None:
    out = tmp_path / "tags.csv"
    assert main(["predict", str(trained), "--tiles", str(untagged), "--out", str(out)]) == 0
    table = pd.read_csv(out)
    expected = table[list(predictor.tags)].to_numpy()
    files = [untagged / f"{name}.jpg" for name in table["image_name"]]
    arrays = np.stack([read_tile(file) for file in files])
    for tiles in (untagged, str(untagged), files, pd.DataFrame({"path": files}), arrays):
        p = predictor.predict_proba(tiles)
        assert p.dtype == np.float32
        np.testing.assert_allclose(p, expected, atol=1e-6)
    pd.testing.assert_frame_equal(predictor.predict(untagged), table[["image_name", "tags"]], check_dtype=False)
    assert predictor.predict(arrays)["image_name"].tolist() == list(range(len(files)))
    np.testing.assert_array_equal(predictor.predict_proba(files[::-1]), predictor.predict_proba(files)[::-1])
    large = np.stack([resize(tile, 48) for tile in arrays])
    assert predictor.predict_proba(large, scale=True).shape == expected.shape
    with ThreadPoolExecutor(4) as pool:
        for p in pool.map(predictor.predict_proba, [arrays] * 8):
            np.testing.assert_array_equal(p, predictor.predict_proba(arrays))


@pytest.mark.usefixtures("without_pages")
def test_a_blend_predicts_too(trained: Path, untagged: Path, tmp_path: Path, predictor: am.Predictor) -> None:
    shutil.copytree(trained, tmp_path / "other")
    runs = [str(trained), str(tmp_path / "other")]
    assert main(["blend", *runs, "--run", str(tmp_path / "blend")]) == 0
    blended = am.Predictor.load(tmp_path / "blend", batch_size=7)
    arrays = np.stack([read_tile(file) for file in sorted(untagged.glob("*.jpg"))])
    files = sorted(untagged.glob("*.jpg"))
    np.testing.assert_allclose(blended.predict_proba(arrays), predictor.predict_proba(files), atol=1e-5)


def blend_of(run: Path, *readers: TileReader) -> am.Predictor:
    """Blend a run with itself, where each member reads tiles in its own way."""
    bundle = open_bundle(run)
    own = cast(Networks, bundle.networks)
    members = tuple(replace(own, source=Path(f"member-{at}"), read=read) for at, read in enumerate(readers))
    blend = Blended(run, members, own.tags, Mixture((1 / len(members),) * len(members)))
    return am.Predictor(replace(bundle, networks=blend), device="cpu")


LAYERS = {name: Layer("uint8", 1.0) for name in ("nir", "red", "blue", "r", "g", "b")}
EVI = NamedBands({"evi": ("nir", "red", "blue"), "red": ("red",), "nir": ("nir",)}, layers=LAYERS, reflectance=1.0)


@pytest.mark.parametrize(
    ("first", "other"),
    [
        ({}, {"bands": ("g", "b", "r")}),
        ({}, {"limits": {"r": (0.0, 9.0)}}),
        ({}, {"dtype": "uint16"}),
        ({"source": EVI}, {"source": replace(EVI, reflectance=10_000.0)}),
    ],
    ids=["bands", "limits", "type", "reflectance"],
)
def test_an_array_is_refused_where_the_members_of_a_blend_read_other_levels(
    trained: Path, first: dict[str, Any], other: dict[str, Any]
) -> None:
    predictor = blend_of(trained, TileReader(**first), TileReader(**{**first, **other}))
    with refused(file=Path("member-1"), option="tiles"):
        predictor.predict_proba(np.zeros((2, 32, 32, 3), dtype=np.uint8))


@pytest.mark.parametrize(
    "others",
    [
        [BandFiles("{name}_b.png", ())],
        [None],
        [BandFiles("{name}_{band}.png", ("b",)), BandFiles("{name}_{band}.png", ("c",))],
    ],
)
def test_files_are_refused_where_the_members_of_a_blend_find_others(
    trained: Path, untagged: Path, others: list[BandFiles | None]
) -> None:
    files = [BandFiles("{name}_a.png", ()), *others][-2:]
    named = {band: (band,) for band in "rgb"}
    readers = [TileReader(source=NamedBands(named, layers=LAYERS, files=one)) if one else TileReader() for one in files]
    predictor = blend_of(trained, *readers)
    for tiles in (untagged, sorted(untagged.glob("*.jpg")), pd.DataFrame({"path": ["a.png"]})):
        with refused(option="tiles"):
            predictor.predict_proba(tiles)


def test_engines_of_all_members_of_a_blend_are_named(trained: Path) -> None:
    networks = cast(Networks, open_bundle(trained).networks)
    networks = replace(networks, trainer=replace(networks.trainer, accelerator="auto", precision="32-true"))
    half = replace(networks, trainer=replace(networks.trainer, precision="bf16-mixed"))
    on_gpu = name_method(Method("torch", None), [networks, half, networks], on_gpu=True)
    assert on_gpu == "torch float32 + torch bf16"
    assert name_method(Method("torch", None), [networks, half], on_gpu=False) == "torch float32"


def test_what_is_no_tile_is_refused(trained: Path, predictor: am.Predictor, tmp_path: Path, untagged: Path) -> None:
    (tmp_path / "broken.jpg").write_bytes(b"no image")
    file = next(untagged.glob("*.jpg"))
    broken = tmp_path / "broken.jpg"
    wrong: list[tuple[Any, dict[str, Any]]] = [
        (tmp_path / "none", {"file": tmp_path / "none", "option": "tiles"}),
        (file, {"file": file, "option": "tiles"}),
        ([broken, file], {"file": broken}),
        ([np.zeros((32, 32, 3), np.uint8)], {"option": "tiles", "says": "ndarray"}),
        (3, {"option": "tiles", "says": "int"}),
        (pd.DataFrame({"file": [file]}), {"option": "tiles", "says": "path"}),
        (pd.DataFrame({"path": [file, None]}), {"option": "tiles", "says": "2"}),
        (pd.Series([str(file), None]), {"option": "tiles", "says": "path"}),
        (pd.Series([1, 2]), {"option": "tiles", "says": "uint8"}),
    ]
    for tiles, fields in wrong:
        with refused(**fields):
            predictor.predict_proba(tiles)
    with refused(file=tmp_path, says=["config.yaml", "bundle.json"]):
        am.Predictor.load(tmp_path)
    with refused(option="device", says="'no such device'"):
        am.Predictor.load(trained, device="no such device")
    assert predictor.predict_proba([]).shape == (0, len(predictor.tags)) and predictor.predict([]).empty


def test_the_page_runs(
    trained: Path, demo_tiles: Path, untagged: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "runs").mkdir()
    (tmp_path / "data").mkdir()
    (tmp_path / "runs" / "demo").symlink_to(trained)
    (tmp_path / "data" / "demo").symlink_to(demo_tiles)
    (tmp_path / "tiles").symlink_to(untagged)
    pixels = np.random.default_rng(0).integers(256, size=(64, 96, 3), dtype=np.uint8)
    write_tif(tmp_path / "scene.tif", pixels, colours=RGBA[:3], crs="EPSG:32720")
    text = (DOCS / "python.md").read_text()
    small = {"size=64": "size=32", 'resnet18"': 'test_resnet", pretrained=False', "max_epochs=5": "max_epochs=1"}
    for said, done in small.items():
        assert said in text
        text = text.replace(said, done)
    names: dict[str, Any] = {}
    for code in re.findall(r"```python\n(.*?)```", text, flags=re.DOTALL):
        exec(code, names)
    count = len(list(untagged.glob("*.jpg")))
    assert names["result"].p.shape == (2, 3, len(names["tagger"].tags)) and len(names["cells"]) == 6
    assert names["p"].shape == (count, len(names["tagger"].tags)) and len(names["tags"]) == count
