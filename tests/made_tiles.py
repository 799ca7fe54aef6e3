"""Small tiles of every kind, for tests of how they are read."""

import io
import json
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt
import pandas as pd
import rasterio
from PIL import Image
from rasterio.enums import ColorInterp

from amazon_ml.cli.main import main
from amazon_ml.data.datamodule import PlanetDataModule
from amazon_ml.data.readers.bands import RGB, TileReader
from amazon_ml.data.readers.limits import fit_reader

Pixels = npt.NDArray[Any]
SIZE, TILES = 24, 12
#: Limits that all 12-bit values made here lie between.
WIDE = dict.fromkeys("rgbn", (0.0, 4096.0))
RGBA = [ColorInterp.red, ColorInterp.green, ColorInterp.blue, ColorInterp.alpha]


def values(seed: int, count: int = 4, dtype: str = "uint16", low: float = 300, high: float = 4000) -> Pixels:
    drawn = np.random.default_rng(seed).uniform(low, high, size=(SIZE, SIZE, count))
    return drawn.astype(dtype)


def rgb8(seed: int) -> Pixels:
    return values(seed, 3, "uint8", 0, 255)


def write_tif(
    path: Path, bands: Pixels, *, mask: Pixels | None = None, colours: list[ColorInterp] | None = None,
    names: tuple[str, ...] | None = None, **options: Any,
) -> Path:  # fmt: skip
    height, width, count = bands.shape
    path.parent.mkdir(parents=True, exist_ok=True)
    with (
        rasterio.Env(GDAL_TIFF_INTERNAL_MASK=True),
        rasterio.open(
            path, "w", driver="GTiff", height=height, width=width, count=count, dtype=bands.dtype,
            transform=rasterio.Affine(3, 0, 0, 0, -3, 0), **options,
        ) as file,
    ):  # fmt: skip
        if colours:
            file.colorinterp = colours
        file.write(np.moveaxis(bands, -1, 0))
        if names:
            file.descriptions = names
        if mask is not None:
            file.write_mask(mask)
    return path


def write_png(path: Path, pixels: Pixels) -> Path:
    """Write what OpenCV takes: grey, blue-green-red or with alpha, of 8 or 16 bits."""
    path.parent.mkdir(parents=True, exist_ok=True)
    assert cv2.imwrite(str(path), pixels)
    return path


def jpeg(seed: int = 0, size: int = 48, **options: Any) -> bytes:
    image = np.random.default_rng(seed).integers(256, size=(size // 4, size // 4, 3), dtype=np.uint8)
    stream = io.BytesIO()
    Image.fromarray(image).resize((size, size)).save(stream, "JPEG", **options)
    return stream.getvalue()


def folder(root: Path, write: Callable[[Path, int], object], ending: str, tiles: int = TILES) -> Path:
    """Make a folder of tiles with a table of two tags."""
    root = root / "set"  # what training writes lies beside it
    (root / "tiles").mkdir(parents=True)
    for i in range(tiles):
        write(root / "tiles" / f"t{i}{ending}", i)
    rows = [f"t{i},{'forest' if i % 2 else 'river field'}" for i in range(tiles)]
    (root / "labels.csv").write_text("\n".join(["image,tags", *rows]) + "\n")
    return root


def tifs(root: Path, make: Callable[[int], Pixels], tiles: int = TILES, **options: Any) -> Path:
    return folder(root, lambda path, i: write_tif(path, make(i), **options), ".tif", tiles)


def read_all(root: Path, **options: Any) -> tuple[TileReader, Pixels]:
    """Read every tile as training does; an `InputError` where training would end with one."""
    work = root.parent / "work"
    work.mkdir(exist_ok=True)
    data = PlanetDataModule(
        str(root), size=SIZE, n_folds=2, augment=[], folds_file=str(work / "folds.csv"),
        bands_file=str(work / "bands.json"), **options,
    )  # fmt: skip
    data.prepare_data()
    data.setup()
    labelled = data.catalog.labelled
    return data.read, np.stack(
        [data.read(path, tif) for path, tif in zip(labelled["path"], labelled["tif"], strict=True)]
    )


def fitted_limits(tifs: Sequence[str]) -> Mapping[str, tuple[float, float]]:
    """Give the limits of each band that a reader of these TIFs gets."""
    return fit_reader(pd.DataFrame({"path": tifs, "tif": ""}), RGB, "tif").limits


def checked(root: Path, *options: str) -> tuple[int, dict[str, dict[str, Any]]]:
    out = root / "check.json"
    status = main(["data", "check", str(root), "--json", str(out), "--overwrite", *options])
    return status, {finding["kind"]: finding for finding in json.loads(out.read_text())["findings"]}


def with_alpha(i: int, dtype: str = "uint8", top: int = 255) -> Pixels:
    bands = values(i, 4, dtype, 10, 250)
    bands[..., 3] = top
    bands[:4, :, 3] = 0
    return bands


def cut(data: bytes, share: float) -> bytes:
    """A JPEG with the rest of its data missing, and its end marker put back."""
    start = data.rfind(b"\xff\xda") + 12
    return data[: start + int(share * (len(data) - start))] + b"\xff\xd9"
