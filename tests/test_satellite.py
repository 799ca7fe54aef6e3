"""Published weights for satellite images: files in each layout, bands by name, the scaling, and what is refused."""

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import safetensors.torch
import timm
import torch
from conftest import leave_out_pages
from made_tiles import tifs, values

from amazon_ml.cli.main import main
from amazon_ml.data.datamodule import PlanetDataModule
from amazon_ml.data.readers.bands import Expected, TileReader
from amazon_ml.data.readers.named import Layer, NamedBands
from amazon_ml.data.readers.stretch import Stretch, stretch_of
from amazon_ml.errors import InputError
from amazon_ml.models.config import ModelConfig
from amazon_ml.models.satellite import check_weights, input_scaling, pick_channels
from amazon_ml.models.satellite_table import SATELLITE_WEIGHTS, SatelliteWeights, WeightsBand
from amazon_ml.models.tagger import TileTagger
from amazon_ml.models.weights import load_weights, make_backbone
from amazon_ml.runs.folder import Run

TAGS = ["clear", "cloudy", "road"]
MOCO = "sentinel2_all_moco"
#: A small network in the place of each kind of the table.
SMALL = {"resnet": "test_resnet", "vit": "test_vit", "convnext": "test_convnext"}
WIDE = (0.0, 10_000.0)


@pytest.fixture(autouse=True)
def _small_networks(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, row in SATELLITE_WEIGHTS.items():
        files = {each: f"https://example.org/{name}/{each}" for each in small(row)}
        monkeypatch.setitem(SATELLITE_WEIGHTS, name, replace(row, files=files))


def small(row: SatelliteWeights) -> list[str]:
    return [network for kind, network in SMALL.items() if any(file.startswith(kind) for file in row.files)]


def donor(backbone: str, channels: int, seed: int = 0) -> torch.nn.Module:
    torch.manual_seed(seed)
    size: dict[str, Any] = {"img_size": 32} if "vit" in backbone else {}
    network: torch.nn.Module = timm.create_model(backbone, num_classes=19, in_chans=channels, **size)
    for buffer in network.buffers():  # statistics of batch norms that are not those of a new network
        if buffer.is_floating_point():
            buffer.uniform_(0.5, 1.5)
    return network.eval()


def write(path: Path, network: torch.nn.Module, prefix: str = "", wrapper: str | None = None, **more: Any) -> Path:
    state = {prefix + key: value.clone() for key, value in network.state_dict().items()} | more
    if path.suffix == ".safetensors":
        safetensors.torch.save_file(state, path)
    else:
        torch.save({wrapper: state, "epoch": 3} if wrapper else state, path)
    return path


def tagger(file: Path, row: str = MOCO, backbone: str = "test_resnet", **options: Any) -> TileTagger:
    bands = options.pop("bands", None) or reflectance(SATELLITE_WEIGHTS[row])
    own = {"size": 32, "bands": bands, "weights": str(file), "weights_from": row, **options}
    return TileTagger(TAGS, backbone, **own).eval()


def reflectance(row: SatelliteWeights) -> Stretch:
    """Give the bands of a row as 16-bit files have them."""
    return {band.name: None if band.unit == "picture" else WIDE for band in row.bands}


def features(network: torch.nn.Module, inputs: torch.Tensor) -> torch.Tensor:
    with torch.inference_mode():
        result: torch.Tensor = network.forward_features(inputs)  # type: ignore[operator]
    return result


#: Each row with each of its prefixes and none, and its kinds of networks in turn.
LAYOUTS = [
    (name, small(row)[turn % len(small(row))], prefix)
    for name, row in SATELLITE_WEIGHTS.items()
    for turn, prefix in enumerate((*row.prefixes, ""))
]


@pytest.mark.parametrize(("name", "backbone", "prefix"), LAYOUTS)
def test_a_file_in_each_layout_fills_all_but_the_head(name: str, backbone: str, prefix: str, tmp_path: Path) -> None:
    row = SATELLITE_WEIGHTS[name]
    network = donor(backbone, len(row.bands))
    ending = ".safetensors" if "bigearthnet" in name or "dinov3" in name else ".pth"
    beside = {"module.momentum_encoder.conv1.weight": torch.zeros(2)} if prefix else {}
    wrapper = {"module.base_encoder.": "state_dict", "module.backbone.": "teacher"}.get(prefix)
    file = write(
        tmp_path / f"w{ending}", network, prefix, wrapper, **beside, **dict.fromkeys(row.ignored, torch.ones(1))
    )
    filled, head = tagger(file, name, backbone).backbone, network.pretrained_cfg["classifier"]  # type: ignore[index]
    for key, value in network.state_dict().items():
        if not key.startswith(f"{head}."):
            torch.testing.assert_close(filled.state_dict()[key], value, msg=key)
    assert filled.get_classifier().out_features == 3  # type: ignore[operator]


@pytest.mark.parametrize("backbone", ["test_resnet", "test_vit", "test_convnext"])
def test_bands_in_another_order_give_the_same_activations(
    backbone: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    name = "sentinel2_all_softcon"  # a mean and a deviation for each band
    row = replace(SATELLITE_WEIGHTS[name], files={backbone: ""})
    monkeypatch.setitem(SATELLITE_WEIGHTS, name, row)
    network, rng = donor(backbone, 13), np.random.default_rng(0)
    file = write(tmp_path / "w.pth", network)
    levels = rng.integers(0, 256, (4, 32, 32, 13), dtype=np.uint8)
    limits = {band.name: (band.mean - 100.0 * at, band.mean + 3 * band.std) for at, band in enumerate(row.bands)}

    low, high = (np.array(ends) for ends in zip(*limits.values(), strict=True))
    raw = low + levels / 255 * (high - low)  # the reflectance that the levels stand for
    mean, std = (np.array([getattr(band, each) for band in row.bands]) for each in ("mean", "std"))
    expected = features(network, torch.from_numpy((raw - mean) / std).float().permute(0, 3, 1, 2))

    for order in (np.arange(13), rng.permutation(13)):
        model = tagger(file, name, backbone, bands={row.bands[at].name: limits[row.bands[at].name] for at in order})
        seen: list[torch.Tensor] = []
        model.backbone.register_forward_pre_hook(lambda _, inputs, seen=seen: seen.append(inputs[0]))
        with torch.inference_mode():
            model(torch.from_numpy(np.ascontiguousarray(levels[..., order])))
        torch.testing.assert_close(features(model.backbone, seen[0]), expected, atol=2e-4, rtol=2e-4)


def test_some_of_the_bands_by_other_names(tmp_path: Path) -> None:
    network = donor("test_resnet", 13)
    file = write(tmp_path / "w.pth", network)
    bands = dict.fromkeys(("n", "red", "B3", "b02", "b8a"), WIDE)
    model = tagger(file, bands=bands)
    stem = network.get_parameter("conv1.0.weight")
    assert torch.equal(model.backbone.get_parameter("conv1.0.weight"), stem[:, [7, 3, 2, 1, 8]])
    assert model.hparams["in_chans"] == 5 and model.mean.shape == (5,)


def test_places_are_scaled_to_the_tiles_of_a_transformer(tmp_path: Path) -> None:
    network = donor("test_vit", 13)
    model = tagger(write(tmp_path / "w.pth", network), backbone="test_vit", size=64)
    places, own = network.get_parameter("pos_embed"), model.backbone.get_parameter("pos_embed")
    assert own.shape[1] == 1 + 16 and torch.equal(own[:, :1], places[:, :1])
    # Four places become sixteen; the mean of each quarter stays near its place.
    quarters = own[:, 1:].reshape(1, 2, 2, 2, 2, -1).mean(dim=(2, 4)).reshape(1, 4, -1)
    assert (quarters - places[:, 1:]).norm() < 0.5 * places[:, 1:].norm()


@pytest.mark.parametrize(
    ("limits", "mean", "std"),
    [(WIDE, 0.0, 1.0), ((2000.0, 4000.0), -1.0, 5.0), ((-1000.0, 9000.0), 0.1, 1.0)],
)  # fmt: skip
def test_scaling_by_hand(limits: tuple[float, float], mean: float, std: float) -> None:
    found = input_scaling(SATELLITE_WEIGHTS[MOCO], {"n": limits})
    assert np.allclose(found, ([mean], [std]))


def test_scaling_of_pictures_is_that_of_their_levels() -> None:
    row = SATELLITE_WEIGHTS["dinov3_sat493m"]
    for limits in (None, (200.0, 3000.0)):  # 16-bit values become the levels of a picture
        mean, std = input_scaling(row, dict.fromkeys("bgr", limits))
        assert np.allclose(mean, [0.296, 0.411, 0.430]) and np.allclose(std, [0.143, 0.156, 0.213])
    mean, std = input_scaling(SATELLITE_WEIGHTS["sentinel2_si_ms_satlas"], {"r": None, "n": (0.0, 4080.0)})
    assert np.allclose(mean, 0) and np.allclose(std, [1.0, 2.0])  # 4080 of 8160 is half


def test_seco_is_the_chain_of_its_steps() -> None:
    """As its authors do: levels of reflectance, stretched from quantiles, then the normalisation of ImageNet."""
    raw = np.array([[500.0, 1500.0, 3000.0]])
    low, high = np.array([0, 2, 3]), np.array([129, 103, 88])
    chain = ((raw * 255 / 10_000 - low) / (high - low) - [0.485, 0.456, 0.406]) / [0.229, 0.224, 0.225]
    bands = SATELLITE_WEIGHTS["sentinel2_rgb_seco"].bands
    assert [band.name for band in bands] == ["B04", "B03", "B02"]
    assert np.allclose((raw - [band.mean for band in bands]) / [band.std for band in bands], chain)


@pytest.mark.parametrize(
    ("reader", "stretch"),
    [
        (TileReader(), {"r": None, "g": None, "b": None}),
        # Colours of a JPG, near infrared of a TIF whose limits hold colours, too.
        (TileReader(tuple("rgbn"), dict.fromkeys("rgbn", (1.0, 9.0)), "bgrn", "jpg", Expected("uint8", "uint16")),
         {"r": None, "g": None, "b": None, "n": (1.0, 9.0)}),
        (TileReader(("n", "ndvi"), {"n": (1.0, 9.0)}, "bgrn", "tif", Expected("", "uint16")),
         {"n": (1.0, 9.0), "ndvi": None}),
        (TileReader(("n",), {"n": (1.0, 9.0)}, "bgrn", "tif", Expected("", "uint8")), {"n": None}),
        (TileReader(limits=dict.fromkeys("rgb", (1.0, 9.0)), expected=Expected("uint16")),
         dict.fromkeys("rgb", (1.0, 9.0))),
    ],
)  # fmt: skip
def test_what_the_levels_of_a_reader_stand_for(reader: TileReader, stretch: Stretch) -> None:
    found = stretch_of(reader)
    assert found == stretch and list(found) == list(stretch)


@pytest.mark.parametrize(
    ("row", "bands"),
    [
        (MOCO, dict.fromkeys("rgb")),  # levels of a picture
        (MOCO, {"n": WIDE, "r": None}),
        (MOCO, dict.fromkeys("rgb", (0.0, 1.0))),  # reflectance in 0..1
        (MOCO, dict.fromkeys("rgb", (0.0, 65_535.0))),
        ("sentinel2_si_ms_satlas", {"r": None, "n": None}),
    ],
)
def test_values_that_cannot_be_right_are_refused(row: str, bands: Stretch, tmp_path: Path) -> None:
    with pytest.raises(InputError) as refused:
        input_scaling(SATELLITE_WEIGHTS[row], bands)
    assert refused.value.option == "model.weights_from"
    # The caller may know better.
    network = donor("test_resnet", len(SATELLITE_WEIGHTS[row].bands))
    own: dict[str, Any] = {"mean": [0.25] * len(bands), "std": [0.5] * len(bands)}
    model = tagger(write(tmp_path / "w.pth", network), row, bands=bands, **own)
    assert torch.equal(model.mean, torch.full((len(bands),), 63.75))


def test_some_limits_far_from_reflectance_are_no_fault() -> None:
    """B10, which only clouds reflect, has values of a few units."""
    input_scaling(SATELLITE_WEIGHTS[MOCO], {"B10": (0.0, 5.0), "B04": (100.0, 3000.0)}, "sentinel2")


#: Bands, the sensor that is given, and the channels of 13 that saw the same light; None where they are refused.
NUMBERS: list[tuple[list[str], Any, list[int] | None]] = [
    (["B2", "B3", "B4", "B5"], None, None),  # B5 is red edge, or near infrared
    (["B2", "B3", "B4", "B5"], "sentinel2", [1, 2, 3, 4]),
    (["B2", "B3", "B4", "B5"], "landsat8", [1, 2, 3, 7]),
    (["B2", "B3", "B4", "B5"], "landsat4", [2, 3, 7, 11]),
    (["SR_B2", "SR_B3", "SR_B4", "SR_B5"], None, None),  # one of the older or the newer satellites
    (["SR_B2", "SR_B3", "SR_B4", "SR_B5"], "landsat8", [1, 2, 3, 7]),
    (["SR_B2", "SR_B5"], "sentinel2", None),
    (["SR_B4", "SR_B5", "SR_B6"], None, [3, 7, 11]),
    (["B05", "B8A"], None, [4, 8]),
    (["B05", "B08"], None, [4, 7]),
    (["B05", "B8A"], "landsat8", None),
    (["B5", "red"], None, None),
    (["nir", "red", "swir1"], None, [7, 3, 11]),
    (["B4", "B3", "B2"], None, None),  # near infrared, red and green on Landsat 4 to 7
    (["B04", "B03", "B02"], None, [3, 2, 1]),
]


@pytest.mark.parametrize(("bands", "sensor", "channels"), NUMBERS)
def test_a_number_is_the_band_of_its_sensor(bands: list[str], sensor: Any, channels: list[int] | None) -> None:
    row = SATELLITE_WEIGHTS[MOCO]
    if channels is not None:
        assert pick_channels(row, bands, sensor) == channels
        return
    with pytest.raises(InputError) as refused:
        pick_channels(row, bands, sensor)
    assert refused.value.option in ("model.weights_sensor", "data.bands")
    if sensor is None:
        assert refused.value.option == "model.weights_sensor" and "landsat8" in refused.value.remedy


def test_the_sensor_is_an_option(tmp_path: Path) -> None:
    file = write(tmp_path / "w.pth", donor("test_resnet", 13))
    own: dict[str, Any] = {"backbone": "test_resnet", "weights": str(file), "weights_from": MOCO}
    with pytest.raises(InputError) as refused:
        check_weights(ModelConfig(**own), ["B2", "B5"])
    assert refused.value.option == "model.weights_sensor"
    check_weights(ModelConfig(**own, weights_sensor="landsat8"), ["B2", "B5"])
    stem = donor("test_resnet", 13).get_parameter("conv1.0.weight")
    model = tagger(file, bands=dict.fromkeys(("B2", "B5"), WIDE), weights_sensor="landsat8")
    assert torch.equal(model.backbone.get_parameter("conv1.0.weight"), stem[:, [1, 7]])


def test_files_show_the_sensor_of_a_number() -> None:
    """`data.bands` may say B5 for SR_B5 of the files, and red for what it is."""
    layers = {name: Layer("uint16", 1.0) for name in ("SR_B4", "SR_B5")}
    source = NamedBands({"B5": ("SR_B5",), "red": ("SR_B4",)}, layers=layers)
    reader = TileReader(("B5", "red"), dict.fromkeys(layers, WIDE), source=source)
    assert list(stretch_of(reader)) == ["SR_B5", "red"]


@pytest.mark.parametrize(
    ("options", "bands", "option", "listed"),
    [
        ({"weights_from": "sentinel2_all_mocco"}, "rgb", "model.weights_from", [MOCO, "dinov3_sat493m"]),
        ({"backbone": "test_efficientnet"}, "rgb", "model.backbone", ["test_resnet"]),
        ({}, ["r", "ndvi"], "data.bands", ["B01", "B8A", "B12"]),
        ({}, ["r", "SR_B5"], "model.weights_sensor", ["landsat8", "landsat4"]),
        ({"weights_from": "sentinel2_rgb_moco"}, ["r", "SR_B5", "SR_B6"], "data.bands", ["B04", "B03", "B02"]),
        ({"weights_from": "sentinel2_rgb_moco"}, "rgbn", "data.bands", ["B04", "B03", "B02"]),
        ({}, ["r", "B04"], "data.bands", []),
        ({"weights": "none.pth"}, "rgb", "model.weights", []),
    ],
)
def test_a_wrong_choice_is_refused_before_any_work(
    options: dict[str, str], bands: list[str], option: str, listed: list[str], tmp_path: Path
) -> None:
    (tmp_path / "w.pth").touch()
    own = {"backbone": "test_resnet", "weights": str(tmp_path / "w.pth"), "weights_from": MOCO, **options}
    with pytest.raises(InputError) as refused:
        check_weights(ModelConfig(**own), bands)  # type: ignore[arg-type]
    assert refused.value.option == option
    assert all(name in refused.value.remedy for name in listed)


def test_the_name_of_a_row_needs_a_file() -> None:
    with pytest.raises(InputError) as refused:
        TileTagger(TAGS, "test_resnet", weights_from=MOCO)
    assert "weights_from" in refused.value.problem


def test_without_bands_the_channels_have_no_names(tmp_path: Path) -> None:
    file = write(tmp_path / "w.pth", donor("test_resnet", 13))
    with pytest.raises(InputError) as refused:
        TileTagger(TAGS, "test_resnet", weights=str(file), weights_from=MOCO, in_chans=13)
    assert refused.value.option == "bands"


def without(state: Mapping[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    return {key: value for key, value in state.items() if key != "layer1.0.conv1.weight"}


@pytest.mark.parametrize(
    ("change", "named"),
    [
        (without, "layer1.0.conv1.weight"),
        (lambda state: {**state, "layer9.weight": torch.zeros(1)}, "layer9.weight"),
        (lambda state: {**state, "bn1.bias": torch.zeros(7)}, "bn1.bias (7,)"),
        (lambda state: {**state, "conv1.0.weight": state["conv1.0.weight"][:, :12]}, "conv1.0.weight"),
        (lambda state: {f"other.{key}": value for key, value in state.items()}, "other.conv1.0.weight"),
        (lambda state: {key: value for key, value in state.items() if key != "conv1.0.weight"}, "conv1.0.weight"),
    ],
)
def test_what_does_not_fit_is_listed(change: Any, named: str, tmp_path: Path) -> None:
    torch.save(change(donor("test_resnet", 13).state_dict()), tmp_path / "w.pth")
    with pytest.raises(InputError) as refused:
        tagger(tmp_path / "w.pth")
    assert refused.value.option == "model.weights" and refused.value.file == str(tmp_path / "w.pth")
    assert named in refused.value.problem


def test_older_files_lack_the_counters_of_batch_norms(tmp_path: Path) -> None:
    state = donor("test_resnet", 13).state_dict()
    torch.save(
        {key: value for key, value in state.items() if not key.endswith("num_batches_tracked")}, tmp_path / "w.pth"
    )
    tagger(tmp_path / "w.pth")


class Runs:
    """Its pickle would run code."""

    def __reduce__(self) -> Any:
        return Path.touch, (Path("/tmp/should-not-be-there"),)


@pytest.mark.parametrize("row", [None, MOCO])
@pytest.mark.parametrize(
    "content", [b"", b"short", {"state_dict": {}}, [1, 2], {"state_dict": {"a": torch.ones(1)}, "args": Runs()}]
)
def test_files_that_are_no_weights(content: Any, row: str | None, tmp_path: Path) -> None:
    for ending in (".pth", ".safetensors"):
        file = tmp_path / f"w{ending}"
        if isinstance(content, bytes):
            file.write_bytes(content)
        elif ending == ".pth":
            torch.save(content, file)
        else:
            continue
        with pytest.raises(InputError) as refused:
            TileTagger(TAGS, "test_resnet", weights=str(file), weights_from=row, bands=dict.fromkeys("rgb", WIDE))
        assert refused.value.option == "model.weights" and refused.value.file == str(file)
    assert not Path("/tmp/should-not-be-there").exists()


@pytest.mark.parametrize("held", [1, 2, 4, 12, 13])
def test_a_file_of_other_channels_needs_a_row_of_the_table(held: int, tmp_path: Path) -> None:
    file = str(write(tmp_path / "w.pth", donor("test_resnet", held), "module."))
    for channels in sorted({1, 3, 4, held}):
        with pytest.raises(InputError) as refused:
            make_backbone("test_resnet", 3, pretrained=True, weights=file, in_chans=channels)
        assert refused.value.option == "model.weights" and refused.value.file == file
        assert "`model.weights_from`" in refused.value.remedy


def test_a_file_of_the_same_channels_is_taken_if_the_scaling_is_given(tmp_path: Path) -> None:
    network = donor("test_resnet", 5)
    file = str(write(tmp_path / "w.safetensors", network))
    model = TileTagger(TAGS, "test_resnet", size=32, in_chans=5, weights=file, mean=[0.1] * 5, std=[0.2] * 5)
    stem = "conv1.0.weight"
    assert torch.equal(model.backbone.get_parameter(stem), network.get_parameter(stem))


def test_weights_of_three_channels_are_spread_over_four_as_before(tmp_path: Path) -> None:
    network = donor("test_resnet", 3)
    file = str(write(tmp_path / "w.pth", network))
    stem = make_backbone("test_resnet", 3, pretrained=True, weights=file, in_chans=4).get_parameter("conv1.0.weight")
    torch.testing.assert_close(stem[:, :3] * 4 / 3, network.get_parameter("conv1.0.weight"))


def test_a_file_is_read_for_backbones_whose_own_weights_are_of_jax(tmp_path: Path) -> None:
    assert timm.get_pretrained_cfg("vit_tiny_patch16_224").custom_load  # type: ignore[union-attr]
    network = timm.create_model("vit_tiny_patch16_224", img_size=32)
    file = str(write(tmp_path / "w.safetensors", network))
    filled = make_backbone("vit_tiny_patch16_224", 3, pretrained=True, weights=file, img_size=32)
    assert torch.equal(filled.get_parameter("cls_token"), network.get_parameter("cls_token"))


def test_a_run_starts_from_weights_of_satellites(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """From 12-bit TIFs to the bundle: the scaling by the limits of the run is stored with its network."""
    leave_out_pages(monkeypatch)
    root, run = tifs(tmp_path, values, tiles=24), Run(tmp_path / "run")
    network = donor("test_resnet", 13)
    file = write(tmp_path / "w.pth", network, "module.base_encoder.", "state_dict")
    options = [
        "--data.root", str(root), "--data.bands=nrg", "--data.size=24", "--data.n_folds=2", "--data.batch_size=8",
        "--model.backbone=test_resnet", f"--model.weights={file}", f"--model.weights_from={MOCO}", "--model.lr=1e-9",
        "--model.weight_decay=0", "--trainer.accelerator=cpu", "--trainer.max_epochs=1", "--folds=all",
    ]  # fmt: skip
    assert main(["train", "--run", str(run.path), *options]) == 0
    data = PlanetDataModule(str(root), bands="nrg", size=24, n_folds=2, bands_file=str(run.bands))
    data.setup()
    low, high = (np.array(ends) for ends in zip(*(data.read.limits[letter] for letter in "nrg"), strict=True))
    for weights in sorted((run.path / "bundle").glob("fold-*.safetensors")):
        stored = safetensors.torch.load_file(weights)
        assert np.allclose(stored["mean"], -low * 255 / (high - low), rtol=1e-5)
        assert np.allclose(stored["std"], 10_000 * 255 / (high - low), rtol=1e-5)
        stem = network.get_parameter("conv1.0.weight")[:, [7, 3, 2]]
        torch.testing.assert_close(stored["backbone.conv1.0.weight"], stem, atol=1e-6, rtol=0)
    # Prediction needs neither the file nor the table.
    file.unlink()
    own = TileTagger(data.catalog.tags.names, "test_resnet", size=24, pretrained=False, in_chans=3)
    load_weights(weights, own)
    assert main(["predict", str(run.path), "--tiles", str(root), "--out", str(tmp_path / "p.csv")]) == 0


def test_pictures_are_refused_for_reflectance_by_the_command_line(
    demo_tiles: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = write(tmp_path / "w.pth", donor("test_resnet", 13))
    options = [
        "--data.root",
        str(demo_tiles),
        "--data.size=32",
        "--model.backbone=test_resnet",
        f"--model.weights={file}",
    ]
    assert main(["train", "--run", str(tmp_path / "run"), *options, f"--model.weights_from={MOCO}"]) == 2
    assert "8 bits" in capsys.readouterr().err


def test_rows_of_the_table_are_whole() -> None:
    for name, row in SATELLITE_WEIGHTS.items():
        assert name == row.name and row.files and row.licence and row.trained_on
        assert len({band.name for band in row.bands}) == len(row.bands)
        assert all(isinstance(band, WeightsBand) and band.std > 0 for band in row.bands)
        assert pick_channels(row, [band.name for band in row.bands]) == [*range(len(row.bands))]
