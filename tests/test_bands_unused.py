"""What is declared or given for the values of tiles, and changes nothing: it is warned of."""

import logging
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import rasterio
from made_tiles import folder, read_all, tifs, values, write_png, write_tif

NAMES = ("red", "green", "blue")


def warnings_of(caplog: pytest.LogCaptureFixture, word: str) -> list[str]:
    said = [each.getMessage() for each in caplog.records if each.levelno >= logging.WARNING]
    return [text for text in said if word in text]


@pytest.mark.parametrize(
    "options",
    [
        {"tif_limits": {"r": [0, 100], "g": [0, 100], "b": [0, 100]}},
        {"bands": list(NAMES), "tif_limits": {"red": [0, 100], "green": [0, 100], "blue": [0, 100]}},
    ],
    ids=["letters", "names"],
)
def test_limits_of_8_bit_values_are_warned_of(
    tmp_path: Path, options: dict[str, Any], caplog: pytest.LogCaptureFixture
) -> None:
    def eight(i: int) -> Any:
        return values(i, 3, "uint8", 0, 255)

    _, tiles = read_all(tifs(tmp_path / "8", eight, names=NAMES), **options)
    np.testing.assert_array_equal(tiles[0], eight(0))
    (warning,) = warnings_of(caplog, "data.tif_limits")
    assert all(band in warning for band in options["tif_limits"])
    caplog.clear()
    wide = {band: [0, 5000] for band in options["tif_limits"]}
    read_all(tifs(tmp_path / "16", lambda i: values(i, 3), names=NAMES), **{**options, "tif_limits": wide})
    assert not warnings_of(caplog, "data.tif_limits")


def test_limits_without_a_tif_are_warned_of(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    limits = {band: [0, 5000] for band in "rgb"}
    read_all(folder(tmp_path / "8", lambda path, i: write_png(path, values(i, 3, "uint8", 0, 255)), ".png"),
             tif_limits=limits)  # fmt: skip
    assert len(warnings_of(caplog, "data.tif_limits")) == 1
    caplog.clear()
    read_all(folder(tmp_path / "16", lambda path, i: write_png(path, values(i, 3)), ".png"), tif_limits=limits)
    assert not warnings_of(caplog, "data.tif_limits")


def scaled(root: Path, scales: Any, offsets: Any, ending: str = ".tif") -> Path:
    """Make tiles that declare a scale and an offset for each band: numbers by the number of the tile."""

    def write(path: Path, i: int) -> None:
        write_tif(path, values(i, 3), names=NAMES)
        with rasterio.open(path, "r+") as file:
            file.scales, file.offsets = scales(i), offsets(i)

    return folder(root, write, ending)


#: Scales and offsets of the three bands of a tile, by its number; and whether values mean something else by them.
DECLARED: dict[str, tuple[Any, Any, bool]] = {
    "none": (lambda i: (1, 1, 1), lambda i: (0, 0, 0), False),
    "one scale": (lambda i: (1e-4,) * 3, lambda i: (0, 0, 0), False),
    "an offset": (lambda i: (1e-4,) * 3, lambda i: (-0.1,) * 3, True),
    "an offset of one band": (lambda i: (1, 1, 1), lambda i: (0, 0, -1000), True),
    "two scales": (lambda i: (1e-4, 1e-4, 2e-4), lambda i: (0, 0, 0), True),
    "a tile of another scale": (lambda i: (2e-4 if i == 5 else 1e-4,) * 3, lambda i: (0, 0, 0), True),
    "a tile with a scale": (lambda i: (2e-4 if i == 5 else 1,) * 3, lambda i: (0, 0, 0), True),
}


@pytest.mark.parametrize("options", [{}, {"bands": list(NAMES)}], ids=["letters", "names"])
@pytest.mark.parametrize(("scales", "offsets", "warned"), DECLARED.values(), ids=DECLARED)
def test_scales_and_offsets_that_are_not_applied_are_warned_of_once(
    tmp_path: Path, scales: Any, offsets: Any, warned: bool, options: dict[str, Any], caplog: pytest.LogCaptureFixture
) -> None:
    root = scaled(tmp_path, scales, offsets)
    read_all(root, **options)
    assert len(warnings_of(caplog, "-unscale")) == warned
    if scales(5) != scales(0):
        assert "t5.tif" in warnings_of(caplog, "-unscale")[0]


def test_scales_of_a_file_for_each_band_are_warned_of(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    def write(path: Path, i: int) -> None:
        for band in ("B02", "B03"):
            file = write_tif(path.parent / band / path.name, values(i, 1))
            with rasterio.open(file, "r+") as opened:
                opened.offsets = (-1000,) if band == "B03" else (0,)

    read_all(folder(tmp_path, write, ".tif"), bands=["B02", "B03"], files="{band}/{name}.tif")
    (warning,) = warnings_of(caplog, "-unscale")
    assert "B03" in warning and "-1000" in warning
