"""Tiles that a run was not made for, damaged files and files of too many pixels are refused by name."""

import io
import os
import struct
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
import rasterio
import simplejpeg
from conftest import TINY, leave_out_pages
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from made_tiles import (
    RGBA,
    SIZE,
    Pixels,
    cut,
    jpeg,
    tifs,
    values,
    with_alpha,
    write_png,
    write_tif,
)
from PIL import Image
from refused import holds, refused

from amazon_ml.cli.main import main
from amazon_ml.data.datamodule import PlanetDataModule
from amazon_ml.data.readers.bands import TileReader
from amazon_ml.data.readers.headers import parse_header
from amazon_ml.data.readers.images import read_tile
from amazon_ml.data.readers.reader_file import read_reader
from amazon_ml.data.readers.tif import open_tif

# ------------------------------------------------------------------ other tiles than those of the training


@pytest.fixture(scope="module")
def run_on_tifs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Train on 16-bit TIFs of four bands; not to be changed."""
    root = tmp_path_factory.mktemp("tifs")
    tifs(root / "data", values, tiles=30)
    options = [*TINY, "--data.bands=rgbn", "--data.batch_size=8", "--trainer.max_epochs=1"]
    with pytest.MonkeyPatch.context() as patch:
        leave_out_pages(patch)
        assert main(["train", "--run", str(root / "run"), "--data.root", str(root / "data"), *options]) == 0
    return root


@pytest.mark.parametrize(
    "make",
    [
        lambda i: values(i, 4, "float32", 0, 1),
        lambda i: values(i, 4, "float32"),
        lambda i: values(i, 4, "uint8", 0, 255),
        lambda i: values(i, 4, "int32"),
        lambda i: -values(i, 4, "int16"),
        lambda i: values(i, 4, "complex64"),
        lambda i: values(i, 4, "float32") * np.nan,
        lambda i: values(i, 4, low=20000, high=60000),
        lambda i: values(i, 4, low=0, high=60000),
        lambda i: values(i, 4, low=0, high=200),
        lambda i: values(i, 3),
        lambda i: values(i, 5),
    ],
    ids=["reflectance", "float", "uint8", "int32", "negative", "complex", "nan", "above", "16-bit", "below", "3", "5"],
)
def test_predict_refuses_other_values(
    run_on_tifs: Path, tmp_path: Path, make: Callable[[int], Pixels], capsys: pytest.CaptureFixture[str]
) -> None:
    root = tifs(tmp_path / "data", make, tiles=3)
    assert (
        main(["predict", str(run_on_tifs / "run" / "bundle"), "--tiles", str(root), "--out", str(tmp_path / "p.csv")])
        == 2
    )
    assert ".tif" in capsys.readouterr().err
    assert not (tmp_path / "p.csv").exists()


def test_evaluate_refuses_other_values_too(
    run_on_tifs: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    root = tifs(tmp_path / "data", lambda i: values(i, 4, "float32", 0, 1), tiles=4)
    assert main(["evaluate", str(run_on_tifs / "run"), "--data", str(root)]) == 2
    assert "float32" in capsys.readouterr().err


def test_saturated_tiles_are_warned_of(run_on_tifs: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    root = tifs(tmp_path / "data", lambda i: values(i, 4, low=3000, high=6000), tiles=4)
    out = tmp_path / "p.csv"
    assert main(["predict", str(run_on_tifs / "run"), "--tiles", str(root), "--out", str(out)]) == 0
    assert any(record.levelname == "WARNING" and "at a limit" in record.message for record in caplog.records)
    caplog.clear()
    assert (
        main(
            [
                "predict",
                str(run_on_tifs / "run"),
                "--tiles",
                str(run_on_tifs / "data"),
                "--out",
                str(out),
                "--overwrite",
            ]
        )
        == 0
    )
    assert not [record for record in caplog.records if "at a limit" in record.message]


def test_a_band_at_its_limit_all_over_is_refused(
    run_on_tifs: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    def full(i: int) -> Pixels:
        bands = values(i)
        bands[..., 3] = 3999
        return bands

    root = tifs(tmp_path / "data", full, tiles=4)
    out = tmp_path / "p.csv"
    assert main(["predict", str(run_on_tifs / "run"), "--tiles", str(root), "--out", str(out)]) == 2
    said = capsys.readouterr().err
    assert "band n" in said and ".tif" in said and not out.exists()


def test_other_names_of_bands_than_those_of_the_training_are_refused(run_on_tifs: Path, tmp_path: Path) -> None:
    read = read_reader(run_on_tifs / "run" / "bands.json")
    assert (read.expected.tif, read.tif_order) == ("uint16", "bgrn")
    right = write_tif(tmp_path / "right.tif", values(0), names=("B02", "B03", "B04", "B08"))
    wrong = write_tif(tmp_path / "wrong.tif", values(0), names=("red", "green", "blue", "nir"))
    clear = write_tif(tmp_path / "clear.tif", with_alpha(0, "uint16", 65535), colours=RGBA)
    read(str(right))
    for path in (wrong, clear):
        with refused(file=path, says=["r, g, b", "b, g, r, n"]):
            read(str(path))


def test_8_bit_runs_refuse_16_bit_tiles(trained: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for name in ("a", "b"):
        write_png(tmp_path / "tiles" / f"{name}.png", values(0, 3))
    out = tmp_path / "p.csv"
    assert main(["predict", str(trained), "--tiles", str(tmp_path / "tiles"), "--out", str(out)]) == 2
    assert holds(capsys.readouterr().err, tmp_path / "tiles" / "a.png", "uint16")


# ------------------------------------------------------------------ damage and size


@settings(max_examples=40, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(share=st.floats(0.02, 0.98), seed=st.integers(0, 3), kind=st.sampled_from(["RGB", "L", "CMYK"]))
def test_a_jpeg_with_missing_data_is_refused(tmp_path: Path, share: float, seed: int, kind: str) -> None:
    stream = io.BytesIO()
    Image.open(io.BytesIO(jpeg(seed))).convert(kind).save(stream, "JPEG", quality=95)
    path = tmp_path / "tile.jpg"
    path.write_bytes(cut(stream.getvalue(), share))
    with refused(file=path):
        read_tile(path)


def test_predict_names_a_damaged_jpeg(trained: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "tiles").mkdir()
    for i in range(3):
        (tmp_path / "tiles" / f"t{i}.jpg").write_bytes(cut(jpeg(i), 0.6) if i == 1 else jpeg(i))
    assert main(["predict", str(trained), "--tiles", str(tmp_path / "tiles"), "--out", str(tmp_path / "p.csv")]) == 2
    assert "t1.jpg" in capsys.readouterr().err


def test_a_progressive_jpeg_without_its_last_scans_is_refused(tmp_path: Path) -> None:
    whole = jpeg(2, progressive=True, quality=90)
    scans = [at for at in range(len(whole) - 1) if whole[at : at + 2] == b"\xff\xda"]
    tables = [whole.rfind(b"\xff\xc4", 0, at) for at in scans]
    assert len(scans) > 5
    path = tmp_path / "tile.jpg"
    for at in tables[1:]:
        path.write_bytes(whole[:at] + b"\xff\xd9")
        with refused(file=path):
            read_tile(path)
    path.write_bytes(whole)
    assert read_tile(path).shape == (48, 48, 3)


@pytest.mark.parametrize(
    "options", [{}, {"progressive": True}, {"subsampling": 2}, {"quality": 30}, {"subsampling": 0}]
)
def test_jpegs_are_read_as_opencv_reads_them(tmp_path: Path, options: dict[str, Any]) -> None:
    data = jpeg(1, 50, **options)
    (tmp_path / "tile.jpg").write_bytes(data)
    expected = cv2.imdecode(np.frombuffer(data, dtype=np.uint8), cv2.IMREAD_COLOR_RGB)
    np.testing.assert_array_equal(read_tile(tmp_path / "tile.jpg"), expected)


def bomb(ending: str, path: Path) -> Path:
    """A small file that announces 60,000 x 60,000 pixels."""
    edge = 60_000
    if ending == ".tif":
        size = {"height": edge, "width": edge, "count": 3, "dtype": "uint8", "sparse_ok": True, "compress": "deflate"}
        with rasterio.open(path, "w", driver="GTiff", transform=rasterio.Affine(3, 0, 0, 0, -3, 0), **size):
            return path
    small = np.zeros((8, 8, 3), dtype=np.uint8)
    data = bytearray(cv2.imencode(ending, small)[1].tobytes())
    if ending == ".png":
        data[16:24] = struct.pack(">II", edge, edge)
        data[29:33] = struct.pack(">I", zlib.crc32(data[12:29]))
    elif ending == ".bmp":
        data[18:26] = struct.pack("<ii", edge, -edge)
    else:
        data = bytearray(simplejpeg.encode_jpeg(small) if path.stem == "rgb" else cmyk())
        at = data.find(b"\xff\xc0")
        data[at + 5 : at + 9] = struct.pack(">HH", edge, edge)
    path.write_bytes(data)
    return path


def cmyk() -> bytes:
    stream = io.BytesIO()
    Image.new("CMYK", (8, 8)).save(stream, "JPEG")
    return stream.getvalue()


@pytest.mark.parametrize("name", ["a.tif", "a.png", "rgb.jpg", "cmyk.jpg", "bitmap.bmp"])
def test_a_header_that_announces_too_many_pixels_is_refused(tmp_path: Path, name: str) -> None:
    path = bomb(Path(name).suffix, tmp_path / name)
    with refused(file=path, option="data.max_pixels", says="60,000"):
        TileReader(rgb_source="tif")(str(path))


@pytest.mark.parametrize("lossless", [True, False])
@pytest.mark.parametrize("alpha", [True, False])
def test_headers_of_webp_tell_size_and_transparency(lossless: bool, alpha: bool) -> None:
    image = Image.fromarray(with_alpha(0)[:20, :, : 4 if alpha else 3])
    stream = io.BytesIO()
    image.save(stream, "WEBP", lossless=lossless)
    header = parse_header(stream.getvalue())
    assert header is not None
    assert (header.kind, header.width, header.height, header.alpha) == ("WebP", SIZE, 20, alpha)


def test_bitmaps_are_read_as_they_were_written(tmp_path: Path) -> None:
    pixels = values(0, 3, "uint8", 0, 255)
    Image.fromarray(pixels).save(tmp_path / "a.bmp")
    np.testing.assert_array_equal(read_tile(tmp_path / "a.bmp"), pixels)


@given(st.binary(max_size=200), st.sampled_from([b"", b"\xff\xd8", b"\x89PNG\r\n\x1a\n", b"RIFF....WEBP", b"BM"]))
def test_any_bytes_are_a_header_or_none(data: bytes, start: bytes) -> None:
    header = parse_header(start + data)
    assert header is None or header.width >= 0


@pytest.mark.parametrize("name", ["pipe.jpg", "pipe.tif"])
def test_what_is_no_regular_file_is_refused_and_not_waited_for(tmp_path: Path, name: str) -> None:
    os.mkfifo(tmp_path / name)
    with refused(file=tmp_path / name, says="FIFO"):
        TileReader()(str(tmp_path / name))


def test_a_limit_of_pixels_that_is_none_is_refused(tmp_path: Path) -> None:
    root = tifs(tmp_path, values, tiles=2)
    assert main(["data", "check", str(root), "--max_pixels=0"]) == 2
    with refused(option="max_pixels", says=[0, 64]):
        PlanetDataModule(str(root), max_pixels=0)


def test_a_tif_that_announces_thousands_of_bands_is_refused_at_once(tmp_path: Path) -> None:
    """Found by fuzzing: GDAL takes seconds for the bands of a file of 300 bytes."""
    path = tmp_path / "t.tif"
    write_tif(path, np.zeros((8, 8, 1001), dtype=np.uint8))
    with refused(file=path, says=["1,001", "1,000"]):
        open_tif(path)
