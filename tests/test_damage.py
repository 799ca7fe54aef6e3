"""The look at headers: it finds files cut short, refuses nothing that can be decoded, and never fails itself."""

import io
import resource
import tempfile
import warnings
import zlib
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import rasterio
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image
from refused import refused

from amazon_ml.data.readers.damage import look_at
from amazon_ml.data.readers.formats import MAGIC_BYTES, content_of, declared_length
from amazon_ml.data.readers.headers import fault_of_scans
from amazon_ml.data.readers.images import SUFFIXES, read_tile
from amazon_ml.data.readers.tif import read_tif
from amazon_ml.errors import InputError

PILLOW: dict[str, dict[str, Any]] = {"jpg": {}, "png": {}, "bmp": {}, "webp": {"lossless": True}, "lossy.webp": {}}
GEOTIFF: dict[str, dict[str, Any]] = {
    "plain.tif": {},
    "big.tif": {"BIGTIFF": "YES"},
    "tiled.tif": {"tiled": True, "blockxsize": 16, "blockysize": 16},
    "lzw.tif": {"compress": "lzw"},
    "big_endian.tif": {"ENDIANNESS": "BIG", "compress": "deflate"},
    "planes.tif": {"interleave": "band"},
}


@cache
def content(name: str) -> bytes:
    pixels = np.random.default_rng(0).integers(0, 256, size=(24, 20, 3), dtype=np.uint8)
    if name in PILLOW:
        stream = io.BytesIO()
        Image.fromarray(pixels).save(stream, {"jpg": "jpeg"}.get(name, name.rpartition(".")[2]), **PILLOW[name])
        return stream.getvalue()
    with rasterio.MemoryFile() as memory, warnings.catch_warnings():
        warnings.simplefilter("ignore", category=rasterio.errors.NotGeoreferencedWarning)
        with memory.open(driver="GTiff", width=20, height=24, count=3, dtype="uint16", **GEOTIFF[name]) as file:
            file.write(pixels.transpose(2, 0, 1).astype(np.uint16) * 37)
        return bytes(memory.getbuffer())


@pytest.fixture(scope="module")
def place() -> Iterator[Path]:
    with tempfile.TemporaryDirectory() as folder:
        yield Path(folder)


def stored(place: Path, name: str, data: bytes) -> Path:
    path = place / f"tile.{name.rpartition('.')[2]}"
    path.write_bytes(data)
    return path


def is_read(path: Path) -> bool:
    try:
        read_tif(path) if path.suffix == ".tif" else read_tile(path)
    except InputError:
        return False
    return True


FORMATS = pytest.mark.parametrize("name", [*PILLOW, *GEOTIFF])


@FORMATS
def test_a_whole_file_has_no_fault(place: Path, name: str) -> None:
    path = stored(place, name, content(name))
    assert look_at(str(path))[0] == "" and is_read(path)
    assert path.suffix in SUFFIXES


@FORMATS
@settings(max_examples=30)
@given(share=st.floats(0, 0.97))
def test_a_file_cut_short_has_one(place: Path, name: str, share: float) -> None:
    data = content(name)
    path = stored(place, name, data[: int(share * len(data))])
    assert str(path) in look_at(str(path))[0]
    assert not is_read(path)


@FORMATS
@settings(max_examples=40)
@given(changes=st.lists(st.tuples(st.integers(0, 600), st.integers(0, 255)), min_size=1, max_size=8))
def test_what_can_be_decoded_has_no_fault(place: Path, name: str, changes: list[tuple[int, int]]) -> None:
    data = bytearray(content(name))
    for at, value in changes:
        data[at % len(data)] = value
    path = stored(place, name, bytes(data))
    fault = look_at(str(path))[0]
    assert not (fault and is_read(path)), fault


@given(
    data=st.binary(max_size=200), start=st.sampled_from([b"", b"II*\0", b"MM\0+", b"BM", b"RIFF0000WEBP", b"\xff\xd8"])
)
def test_any_bytes_are_looked_at_without_an_error(place: Path, data: bytes, start: bytes) -> None:
    content_of((start + data)[:MAGIC_BYTES])
    assert declared_length(start + data) >= 0
    for ending in ("jpg", "tif", "webp", "bmp"):
        look_at(str(stored(place, ending, start + data)))


def test_bytes_behind_the_end_are_no_fault(place: Path) -> None:
    for name in PILLOW:
        path = stored(place, name, content(name) + b"\0" * 10)
        assert look_at(str(path))[0] == "" and is_read(path)


@pytest.mark.parametrize(
    "change", [{b"IDAT": (0x7FFFFF00, b"IDAT")}, {b"IDAT": (0, b"IADT"), b"IEND": (0xA8 << 24, b"IEND")}]
)
def test_a_png_with_other_chunks_takes_no_memory(tmp_path: Path, change: dict[bytes, tuple[int, bytes]]) -> None:
    """Found by fuzzing: OpenCV makes room for the length that a chunk claims, 2 GB here, before it reads it."""
    path = tmp_path / "t.png"
    Image.new("RGB", (9, 9)).save(path)
    data = path.read_bytes()
    for name, (length, new) in change.items():
        at = data.index(name)
        data = data[: at - 4] + (length.to_bytes(4, "big") if length else data[at - 4 : at]) + new + data[at + 4 :]
    path.write_bytes(data)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    with refused(file=path):
        read_tile(path)
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 100_000  # kB


@pytest.fixture(scope="module")
def inflating() -> bytes:
    """256 MiB of one letter, deflated."""
    packed = zlib.compressobj(9)
    return b"".join([packed.compress(b"a" * 2**20) for _ in range(256)]) + packed.flush()


@pytest.mark.parametrize("name", [b"zTXt", b"iTXt", b"iCCP", b"tEXt", b"eXIf"])
def test_texts_of_a_png_are_not_inflated(tmp_path: Path, name: bytes, inflating: bytes) -> None:
    start = {b"zTXt": b"a\0\0", b"iTXt": b"a\0\1\0\0\0", b"iCCP": b"a\0\0"}.get(name, b"a\0")
    chunk = start + inflating
    chunk = len(chunk).to_bytes(4, "big") + name + chunk + zlib.crc32(name + chunk).to_bytes(4, "big")
    path = tmp_path / "t.png"
    pixels = np.random.default_rng(0).integers(0, 255, (9, 9, 3)).astype(np.uint8)
    Image.fromarray(pixels).save(path)
    data = path.read_bytes()
    at = data.index(b"IDAT") - 4
    path.write_bytes(data[:at] + chunk * 4 + data[at:])
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    assert (read_tile(path) == pixels).all()
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 50_000  # kB


def test_a_png_that_is_longer_than_its_decoder_takes_is_named(tmp_path: Path) -> None:
    path = tmp_path / "long.png"
    Image.new("1", (9, 9)).save(path)
    data = bytearray(path.read_bytes())
    data[16:24] = (90_000_000).to_bytes(4, "big") + (1).to_bytes(4, "big")
    data[29:33] = zlib.crc32(data[12:29]).to_bytes(4, "big")
    path.write_bytes(data)
    with refused(file=path, says="90,000,000"):
        read_tile(path)


@pytest.mark.parametrize("thumbnail", [False, True])
def test_a_jpeg_of_many_scans_is_refused_at_once(tmp_path: Path, thumbnail: bool) -> None:
    stream = io.BytesIO()
    Image.new("RGB", (64, 64), (9, 99, 200)).save(stream, "JPEG", progressive=True)
    data = stream.getvalue()
    assert fault_of_scans(data) == ""
    starts = [at for at in range(len(data)) if data[at : at + 2] == b"\xff\xda"]
    if thumbnail:  # holds the start of a scan before the frame of the image
        small = io.BytesIO()
        Image.new("RGB", (8, 8)).save(small, "JPEG")
        inside = small.getvalue()
        segment = b"\xff\xe1" + (len(inside) + 2).to_bytes(2, "big") + inside
        data = data[:2] + segment + data[2:]
        starts = [at + len(segment) for at in starts]
    last = data[starts[-1] : -2]
    path = tmp_path / "t.jpg"
    path.write_bytes(data[:-2] + last * 500 + data[-2:])
    with refused(file=path, says="100 scans"):
        read_tile(path)
    path.write_bytes(data[: starts[-1]] + data[-2:])
    with refused(file=path):
        read_tile(path)


def test_a_file_with_the_ending_of_another_format_gets_one_remedy(tmp_path: Path) -> None:
    path = tmp_path / "t0.jpg"
    Image.new("RGB", (9, 9)).save(path, "TIFF")
    assert ".tif" in look_at(str(path))[0]
    with refused(file=path, says=[".tif"]):
        read_tile(path)
