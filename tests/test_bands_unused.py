"""What is declared or given for the values of tiles, and changes nothing: it is warned of."""

import logging
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from made_tiles import folder, read_all, tifs, values, write_png

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
