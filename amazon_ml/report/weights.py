"""Write docs/weights.md: the table of weights for satellite images, from its data."""

import sys
from pathlib import Path

from amazon_ml.models.satellite_table import SATELLITE_WEIGHTS, SatelliteWeights, WeightsBand
from amazon_ml.runtime.files import write_text

_HEAD = """\
<!-- Written from the code by `make guide`; changes belong there. -->
# Weights for satellite images

Networks that were trained on satellite images can start a training instead of ImageNet weights. Download a file of
the table below, and say which row it is of:

```
amazon-ml train --data.root TILES --data.bands nrg --data.rgb_source tif --model.backbone resnet50 \\
  --model.weights resnet50_sentinel2_all_moco-df8b932e.pth --model.weights_from sentinel2_all_moco
```

In Python, `TileTagger(backbone="resnet50", weights=FILE, weights_from="sentinel2_all_moco")` is the same, with a
`PlanetDataModule`; it gives the bands.

No weights ship with this package. Mind their licences; the table repeats what the sources state. Files may be
safetensors or PyTorch's. Of the latter only tensors are read, and code in them is never run. A training that stopped
goes on without the file, and so does prediction.

## Bands

The channels of the first convolution are picked by the names of the bands, in any order. `r`, `g`, `b` and `n` mean
B04, B03, B02 and B08 of Sentinel-2, as do `red`, `green`, `blue` and `nir`. A number is another band on each sensor:
B5 is red edge on Sentinel-2, and near infrared on Landsat 8. Where the names of the bands do not show the sensor, as
B8A, B12 or SR_B6 do, numbers are refused until `--model.weights_sensor` (`sentinel2`, `landsat8` or `landsat4`) names
it; a band of Landsat then gets the channel of Sentinel-2 that saw the same light. A run may have fewer bands than the
table; the weights of the others are left out, which is as if they were 0 after the normalisation. A band that the table
lacks is refused, and so is an index such as `ndvi`. Everything but the head comes from the file: if it lacks a tensor,
has one too many, or one of another shape, it is refused with a list.

## Scaling

The normalisation comes from the table, and is stored with the network. The column *input* says what the network saw
in its training. Tiles have levels of 8 bits, or of 16. So two cases differ:

- **Levels of a picture** (0 to 255): the JPG or PNG as it is. TIFs of 16 bits become such levels by
  `data.tif_limits`, by default percentiles 1 and 99, whose contrast differs from that of another picture.
- **Reflectance** (times 10,000): TIFs of 16 bits that hold it. A level u between the limits low and high stands for
  the value v = low + u / 255 · (high - low). The network gets (v - mean) / std of the table. Values beyond the limits
  are clipped, and there are 256 levels between them; with `data.dtype` uint16 there are 65,536, and u is a level
  divided by 257. Limits such as `--data.tif_limits '{n: [0, 5000]}'` keep bright values that percentiles clip.

A picture of 8 bits does not tell reflectance, so it is refused for such weights. Tiles whose limits are no
reflectance times 10,000 are refused, too: all closer than 10, or all above 40,000. Smaller errors cannot be seen.
Sentinel-2 products from 2022 on add 1,000 to each value; subtract it. Values of another sensor, or of radiance, have
another scale. If you know better, give `model.mean` and `model.std` for each channel; they apply to u / 255.

## Other files

`--model.weights FILE` without `--model.weights_from` takes a file for pictures, with red, green and blue, and
normalises as timm does for this backbone; timm spreads the weights over more bands. A file with another number of
input channels is refused, because neither its bands nor their scaling are known. If it has the bands of the run in
their order, `model.mean` and `model.std` are enough, or `model.normalization training`.

## When they help

Benchmarks differ. In [GEO-Bench-2](https://arxiv.org/abs/2511.15658), networks trained on photographs lead on images
of high resolution, and networks trained on satellite images on many bands. In [one comparison of
transformers](https://arxiv.org/abs/2510.17014), neither kind was better throughout. Try both, and `amazon-ml compare`
them.

## The table

Names are those of [torchgeo](https://torchgeo.readthedocs.io/en/stable/api/models.html) where it lists the weights.
`amazon_ml/models/satellite_table.py` holds the data, and its sources.
"""


def weights_page() -> str:
    """Give the page as Markdown: a row for each kind of weights."""
    columns = ["`model.weights_from`", "trained on", "backbones, with files", "bands", "input", "licence"]
    rows = [columns, ["---"] * len(columns), *map(_row, SATELLITE_WEIGHTS.values())]
    return "\n".join([_HEAD, "".join(f"| {' | '.join(row)} |\n" for row in rows)])


def _row(row: SatelliteWeights) -> list[str]:
    files = ", ".join(f"[{backbone}]({address})" for backbone, address in row.files.items())
    bands = ", ".join(band.name for band in row.bands)
    return [f"`{row.name}`", row.trained_on, files, bands, _input(row.bands), row.licence]


def _input(bands: tuple[WeightsBand, ...]) -> str:
    """Say what the network gets, once for bands that are alike."""
    names: dict[str, list[str]] = {}
    for band in bands:
        names.setdefault(_formula(band), []).append(band.name)
    if len(names) > 3:
        return f"({bands[0].unit} - mean) / std of each band"
    return "; ".join(text if len(names) == 1 else f"{', '.join(each)}: {text}" for text, each in names.items())


def _formula(band: WeightsBand) -> str:
    what = "level" if band.unit == "picture" else "reflectance"
    return f"({what} - {band.mean:.6g}) / {band.std:.6g}" if band.mean else f"{what} / {band.std:.6g}"


if __name__ == "__main__":
    write_text(Path(sys.argv[1]), weights_page())
