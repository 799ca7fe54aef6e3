"""Published weights for satellite images: which networks they fit, their bands, scaling, licence and source.

The table is data: `amazon_ml.models.satellite` reads files by it, and docs/weights.md shows it. The weights themselves
do not ship with this package. Names of rows are those of torchgeo in small letters where torchgeo lists the weights.

Order of bands and scaling were read in these sources:

* torchgeo: ``torchgeo/models/resnet.py``, ``vit.py`` and ``swin.py`` of https://github.com/torchgeo/torchgeo (the
  fields ``bands`` and ``transforms``), licences in its ``docs/api/weights/sentinel2.csv`` and on Hugging Face;
* SSL4EO-S12: https://github.com/zhu-xlab/SSL4EO-S12, README ("13 bands of S2-L1C, input clip to [0,1]");
* Satlas: ``Normalization.md`` of https://github.com/allenai/satlas;
* SeCo: ``datasets/seco_dataset.py`` of https://github.com/ServiceNow/seasonal-contrast (quantiles of each band);
* BigEarthNet v2: the cards of https://huggingface.co/BIFOLD-BigEarthNetv2-0 (order of bands, which changed from 0.1.1
  to 0.2.0), and ``configilm/extra/BENv2_utils.py`` of https://github.com/lhackel-tub/ConfigILM (means and deviations
  of ``120_nearest``);
* DINOv3: the configuration of ``vit_large_patch16_dinov3.sat493m`` in timm.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Literal

#: What the values of a band are: reflectance times 10,000, or the levels 0..255 of a picture for people.
Unit = Literal["reflectance", "picture"]


@dataclass(frozen=True)
class WeightsBand:
    """A band that a network was trained on: its input is ``(value - mean) / std``.

    Parameters
    ----------
    name
        Name of a band of Sentinel-2, or ``r``, ``g``, ``b`` for pictures of any sensor.
    mean, std
        Shift and divisor, in the unit of the values.
    unit
        What the values are.
    """

    name: str
    mean: float
    std: float
    unit: Unit = "reflectance"


@dataclass(frozen=True)
class SatelliteWeights:
    """A row of the table.

    Parameters
    ----------
    name
        Value of the option ``model.weights_from``.
    trained_on
        Data and method of the training.
    bands
        Input channels of the first convolution, in order.
    files
        By the name of a backbone in timm, where to get its weights.
    licence
        As the source states it.
    prefixes
        What stands before the keys of the network in files of the authors. Keys without any of these prefixes are
        ignored in such a file. A file without prefixes, such as those of torchgeo, fits, too.
    ignored
        Keys that only training needs.
    """

    name: str
    trained_on: str
    bands: tuple[WeightsBand, ...]
    files: Mapping[str, str]
    licence: str
    prefixes: tuple[str, ...] = ()
    ignored: tuple[str, ...] = ()


def _bands(
    names: str, mean: float | Iterable[float] = 0.0, std: float | Iterable[float] = 10_000.0, unit: Unit = "reflectance"
) -> tuple[WeightsBand, ...]:
    """Make bands by their names; one mean or deviation is that of all."""
    split = names.split()
    means, stds = ([each] * len(split) if isinstance(each, float) else list(each) for each in (mean, std))
    rows = zip(split, map(float, means), map(float, stds), strict=True)
    return tuple(WeightsBand(*row, unit=unit) for row in rows)


def _levels(mean: Iterable[float], std: Iterable[float]) -> tuple[WeightsBand, ...]:
    """Make red, green and blue of a picture by means and deviations in 0..1."""
    return _bands("r g b", (255 * each for each in mean), (255 * each for each in std), "picture")


def _hugging_face(repository: str, **files: str) -> dict[str, str]:
    """Give the address of each backbone's file in a repository of Hugging Face."""
    return {name: f"https://huggingface.co/{repository}/resolve/main/{file}" for name, file in files.items()}


def _torchgeo(name: str, **hashes: str) -> dict[str, str]:
    """Give the addresses of weights for which torchgeo has a repository for each backbone."""
    kinds = {backbone: f"{backbone}_{name}" for backbone in hashes}
    base = "https://huggingface.co/torchgeo"
    return {each: f"{base}/{kind}/resolve/main/{kind}-{hashes[each]}.pth" for each, kind in kinds.items()}


_L1C = "B01 B02 B03 B04 B05 B06 B07 B08 B8A B09 B10 B11 B12"
_RGB = "B04 B03 B02"
_REBEN = "B02 B03 B04 B05 B06 B07 B08 B8A B11 B12"
_REBEN_0_1 = "B02 B03 B04 B08 B05 B06 B07 B11 B12 B8A"
_REBEN_STATISTICS = {
    "B02": (438.3720703125, 607.02685546875), "B03": (614.0556640625, 603.2968139648438),
    "B04": (588.4096069335938, 684.56884765625), "B05": (942.8433227539062, 738.4326782226562),
    "B06": (1769.931640625, 1100.4560546875), "B07": (2049.551513671875, 1275.805419921875),
    "B08": (2193.2919921875, 1369.3717041015625), "B8A": (2235.556640625, 1356.5440673828125),
    "B11": (1568.226806640625, 1070.1612548828125), "B12": (997.7324829101562, 813.5276489257812),
}  # fmt: skip
_SOFTCON = _bands(
    _L1C,
    (1612.9, 1397.6, 1322.3, 1373.1, 1561.0, 2108.4, 2390.7, 2318.7, 2581.0, 837.7, 22.0, 2195.2, 1537.4),
    (791.0, 854.3, 878.7, 1144.9, 1127.5, 1164.2, 1276.0, 1249.5, 1345.9, 577.5, 47.5, 1340.0, 1142.9),
)
_IMAGENET = ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225))
#: Lowest and highest level of red, green and blue in SeCo, whose levels are reflectance * 255.
_SECO_LEVELS = ((0, 129), (2, 103), (3, 88))
_SECO = _bands(
    _RGB,
    ((low + mean * (high - low)) * 10_000 / 255 for (low, high), mean in zip(_SECO_LEVELS, _IMAGENET[0], strict=True)),
    (std * (high - low) * 10_000 / 255 for (low, high), std in zip(_SECO_LEVELS, _IMAGENET[1], strict=True)),
)
_SATLAS_RGB = _bands("r g b", 0.0, 255.0, "picture")
_SATLAS_MS = _SATLAS_RGB + _bands("B05 B06 B07 B08 B11 B12", 0.0, 8160.0)

#: Prefixes of the authors' own files: MoCo v3, MoCo v2, DINO.
_MOCO, _MOCO_2, _DINO = ("module.base_encoder.",), ("module.encoder_q.",), ("module.backbone.", "backbone.")
_CC_BY, _SATLAS_LICENCE = "CC-BY-4.0", "ODC-BY (torchgeo), Apache-2.0 (Hugging Face)"


def _satlas(scenes: str, bands: str) -> dict[str, str]:
    hashes = {
        "resnet50_mi_ms": "da5413d2", "resnet50_mi_rgb": "e79bb7fe", "resnet50_si_ms": "1f454cc6",
        "resnet50_si_rgb": "45fc6972", "resnet152_mi_ms": "fd35b4bb", "resnet152_mi_rgb": "67563ac5",
        "resnet152_si_ms": "4500c6cb", "resnet152_si_rgb": "f4d24c3c",
    }  # fmt: skip
    kinds = {name: f"{name}_{scenes}_{bands}" for name in ("resnet50", "resnet152")}
    files = {name: f"sentinel2_{kind}-{hashes[kind]}.pth" for name, kind in kinds.items()}
    return _hugging_face("torchgeo/satlas", **files)


def _reben(version: str) -> dict[str, str]:
    names = ("resnet50", "resnet101", "convnextv2_base", "vit_base_patch8_224")
    home = "https://huggingface.co/BIFOLD-BigEarthNetv2-0"
    return {name: f"{home}/{name}-s2-{version}/resolve/main/model.safetensors" for name in names}


def _reben_bands(names: str) -> tuple[WeightsBand, ...]:
    mean, std = zip(*(_REBEN_STATISTICS[name] for name in names.split()), strict=True)
    return _bands(names, mean, std)


_ROWS = (
    SatelliteWeights(
        "sentinel2_all_moco", "SSL4EO-S12, MoCo v3", _bands(_L1C),
        _torchgeo("sentinel2_all_moco", resnet18="59bfdff9", resnet50="df8b932e", vit_small_patch16_224="67c9032d"),
        _CC_BY, _MOCO,
    ),
    SatelliteWeights(
        "sentinel2_all_dino", "SSL4EO-S12, DINO", _bands(_L1C),
        _torchgeo("sentinel2_all_dino", resnet50="d6c330e9", vit_small_patch16_224="36bcc127"),
        _CC_BY, _DINO,
    ),
    SatelliteWeights(
        "sentinel2_all_mae", "SSL4EO-S12, MAE (encoder)", _bands(_L1C),
        _hugging_face("wangyi111/SSL4EO-S12", vit_small_patch16_224="B13_vits16_mae_ep99_enc.pth",
                      vit_base_patch16_224="B13_vitb16_mae_ep99_enc.pth",
                      vit_large_patch16_224="B13_vitl16_mae_ep99_enc.pth"),
        _CC_BY, ignored=("mask_token",),
    ),
    SatelliteWeights(
        "sentinel2_all_fgmae", "SSL4EO-S12, FG-MAE (encoder)", _bands(_L1C),
        _hugging_face("wangyi111/FGMAE", vit_small_patch16_224="B13_vits16_fgmae_ep99_enc.pth",
                      vit_base_patch16_224="B13_vitb16_fgmae_ep99_enc.pth",
                      vit_large_patch16_224="B13_vitl16_fgmae_ep99_enc.pth",
                      vit_huge_patch14_224="B13_vith14_fgmae_ep399_enc.pth"),
        _CC_BY, ignored=("mask_token",),
    ),
    SatelliteWeights(
        "sentinel2_all_decur", "SSL4EO-S12, DeCUR", _bands(_L1C),
        _hugging_face("torchgeo/decur", resnet50="rn50_ssl4eo-s12_ms_decur_ep100-fc6b09ff.pth"), "Apache-2.0",
    ),
    SatelliteWeights(
        "sentinel2_all_softcon", "SSL4EO-S12 with tags, SoftCon", _SOFTCON,
        _hugging_face("wangyi111/softcon", resnet50="B13_rn50_softcon.pth",
                      vit_small_patch14_dinov2="B13_vits14_softcon.pth",
                      vit_base_patch14_dinov2="B13_vitb14_softcon.pth"),
        _CC_BY, ignored=("mask_token",),
    ),
    SatelliteWeights(
        "sentinel2_all_seco_eco", "SSL4Eco, SeCo-Eco", _bands(_L1C.replace(" B10", "")),
        _hugging_face("torchgeo/seco-eco", resnet50="resnet50_sentinel2_all_seco_eco-a273eb78.pth"), "MIT",
    ),
    SatelliteWeights(
        "sentinel2_rgb_moco", "SSL4EO-S12, MoCo v3", _bands(_RGB),
        _torchgeo("sentinel2_rgb_moco", resnet18="e3a335e3", resnet50="2b57ba8b"),
        _CC_BY, _MOCO,
    ),
    SatelliteWeights(
        "sentinel2_rgb_seco", "SeCo", _SECO,
        _torchgeo("sentinel2_rgb_seco", resnet18="cefca942", resnet50="018bf397"),
        "Apache-2.0",
    ),
    SatelliteWeights(
        "sentinel2_mi_rgb_satlas", "SatlasPretrain, several scenes", _SATLAS_RGB, _satlas("mi", "rgb"), _SATLAS_LICENCE,
    ),
    SatelliteWeights(
        "sentinel2_si_rgb_satlas", "SatlasPretrain, one scene", _SATLAS_RGB, _satlas("si", "rgb"), _SATLAS_LICENCE,
    ),
    SatelliteWeights(
        "sentinel2_mi_ms_satlas", "SatlasPretrain, several scenes", _SATLAS_MS, _satlas("mi", "ms"), _SATLAS_LICENCE,
    ),
    SatelliteWeights(
        "sentinel2_si_ms_satlas", "SatlasPretrain, one scene", _SATLAS_MS, _satlas("si", "ms"), _SATLAS_LICENCE,
    ),
    SatelliteWeights(
        "bigearthnet2_s2", "BigEarthNet v2, its 19 tags; version 0.2.0", _reben_bands(_REBEN), _reben("v0.2.0"), "MIT",
        ("model.vision_encoder.",),
    ),
    SatelliteWeights(
        "bigearthnet2_s2_v0.1.1", "the same, version 0.1.1", _reben_bands(_REBEN_0_1), _reben("v0.1.1"), "MIT",
        ("model.vision_encoder.",),
    ),
    SatelliteWeights(
        "fmow_rgb_gassl", "fMoW, GASSL (MoCo v2 with places and times)",
        _levels(*_IMAGENET),
        _torchgeo("fmow_rgb_gassl", resnet50="da43d987"),
        _CC_BY, _MOCO_2,
    ),
    SatelliteWeights(
        "dinov3_sat493m", "SAT-493M (0.6 m), DINOv3",
        _levels((0.430, 0.411, 0.296), (0.213, 0.156, 0.143)),
        _hugging_face("timm/vit_large_patch16_dinov3.sat493m", vit_large_patch16_dinov3="model.safetensors"),
        "DINOv3 License",
    ),
)  # fmt: skip

#: All rows by their names.
SATELLITE_WEIGHTS: dict[str, SatelliteWeights] = {row.name: row for row in _ROWS}
