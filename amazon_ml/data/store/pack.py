"""Makes a packed store: decodes every tile once, in parallel, so that training reads tiles without decoding.

A store gets its name when it is complete. Until then it grows beside it as ``NAME.partial``, with a journal of the
finished blocks, so that packing can resume.
"""

import hashlib
import json
import logging
import os
import re
import shutil
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import suppress
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, TypeVar

import cv2
import numpy as np
import pandas as pd
import simplejpeg

from amazon_ml.data.catalog.by_template import files_of
from amazon_ml.data.catalog.catalog import Catalog, read_catalog
from amazon_ml.data.catalog.file_table import file_table, hash_files, size_and_time
from amazon_ml.data.config import READING, LevelType, ReadingConfig
from amazon_ml.data.readers.bands import TileReader, name_bands
from amazon_ml.data.readers.broken import check_whole
from amazon_ml.data.readers.fitting import check_reading, fit_tiles, reading_of
from amazon_ml.data.readers.images import Image, resize
from amazon_ml.data.readers.limits import compare_values
from amazon_ml.data.readers.reader_file import describe_reader, read_reader
from amazon_ml.data.store.marks import JOURNAL, PLAN, check_store, remove_store
from amazon_ml.data.store.packed import ARRAY, DESCRIPTION, check_pixels, check_unchanged, hash_block, open_store
from amazon_ml.errors import InputError, WorkError
from amazon_ml.runtime.files import read_json, write_json, write_text
from amazon_ml.runtime.locks import locked
from amazon_ml.runtime.progress import counted
from amazon_ml.version import __version__

log = logging.getLogger(__name__)

#: Number of tiles that one thread decodes and writes at once; their pixels have one hash.
_BLOCK = 128
#: Longest list of bands in the name of a store, letters; a longer one is counted, and has a hash.
_LONGEST = 80

Item = TypeVar("Item")
Result = TypeVar("Result")


def pack_folder(
    folder: Path, reading: ReadingConfig = READING, *, size: int = 256, out: Path | None = None,
    bands_file: Path | None = None, num_workers: int | None = None,
) -> None:  # fmt: skip
    """Decode every tile of a folder once, into one array that training reads without decoding.

    If it is stopped, the next call resumes. A correct store is not changed.

    Parameters
    ----------
    folder
        Folder of tiles, in any layout that training takes.
    reading
        Options for reading the table and the tiles.
    size
        Edge of the square that tiles are scaled to, pixels.
    out
        Folder of the store; by default packed-BANDS-SIZE in `folder`.
    bands_file
        JSON with the description of a reader, such as bands.json of a run, instead of `bands`, `band_names`, `files`,
        `reflectance`, `rgb_source`, `tif_order` and `tif_limits`.
    num_workers
        Threads that decode; one for each core by default.
    """
    if size < 8:
        raise InputError(f"`size` must be at least 8, not {size}", option="size")
    if num_workers is not None and num_workers < 1:
        raise InputError(f"`num_workers` must be at least 1, not {num_workers}", option="num_workers")
    given = read_reader(bands_file) if bands_file else None
    if given:
        reading = replace(reading, **reading_of(given))
    check_reading(reading)
    catalog = read_catalog(folder, reading)
    check_whole(catalog.labelled, catalog.unlabelled, catalog.files, tested=len(catalog.tested))
    if given:
        catalog = replace(catalog, source=given.source)  # the same files, whatever others lie beside them
        compare_values(given, catalog.labelled)
    reader = given or fit_tiles(catalog.scaling_tiles, reading, catalog.rgb_source, catalog.source)
    pack(catalog, out or default_store(folder, reader.bands, size, reader.dtype), size, reader, num_workers)


def default_store(root: Path, bands: Sequence[str], size: int, dtype: LevelType = "uint8") -> Path:
    """Return the default folder of the packed store of a folder of tiles."""
    named = re.sub(r"[^\w.+-]", "_", name_bands(bands))
    if len(named) > _LONGEST:
        named = f"{len(bands)}-bands-{hashlib.blake2b(named.encode(), digest_size=4).hexdigest()}"
    return root / f"packed-{named}-{size}{'' if dtype == 'uint8' else f'-{dtype}'}"


def pack(catalog: Catalog, store: Path, size: int, reader: TileReader, num_workers: int | None = None) -> None:
    """Make the packed store of a catalog.

    Parameters
    ----------
    catalog
        The tiles.
    store
        Folder to make; an older store there is replaced when the new one is complete; other contents are an error.
    size
        Edge of the square that tiles are scaled to, pixels.
    reader
        Reader of the tiles.
    num_workers
        Threads that decode; one for each core by default.

    Raises
    ------
    InputError
        If a tile cannot be decoded, another process packs the same store, or something else has the store's path.
    WorkError
        If the disk is too small or cannot be written to, or files change meanwhile.
    """
    store = store.absolute()
    if store.exists() and not (store / DESCRIPTION).is_file():
        remedy = "name another folder with `out`"
        raise InputError("this exists and is no packed store", file=store, option="out", remedy=remedy)
    busy = f"another process is packing {store}; wait for it, or name another folder with `out`"
    with locked(store.with_name(f".{store.name}.lock"), busy):
        plan = _Plan.of(catalog, size, reader)
        if _is_right(store, catalog, plan):
            _tidy(store)
            log.info("%s holds these %s tiles already; nothing to do", store, f"{len(plan.files):,}")
            return
        partial, former = store.with_name(f"{store.name}.partial"), _former(store)
        for folder in (store, partial, former):
            check_store(folder)
        try:
            _fill(partial, plan, reader, num_workers or os.cpu_count() or 1)
            _finish(partial, store)
        except OSError as error:
            raise WorkError(f"cannot write {partial}: {error.strerror or error}; the same command resumes") from error
    log.info("%s holds %s tiles", store, f"{len(plan.files):,}")


@dataclass(frozen=True)
class _Block:
    """A line of the journal: hashes of the files of the tiles of a block, and one of all its pixels."""

    files: list[str]
    pixels: str


@dataclass(frozen=True)
class _Plan:
    """The planned contents of a store, before a tile is opened."""

    size: int
    how: dict[str, Any]
    files: pd.DataFrame

    @classmethod
    def of(cls, catalog: Catalog, size: int, reader: TileReader) -> "_Plan":
        made = {"amazon_ml": __version__, "opencv": cv2.__version__, "simplejpeg": simplejpeg.__version__}
        how = {
            "size": size, "reader": describe_reader(reader), "held_out": catalog.held_out_sha256, "made_by": made,
        }  # fmt: skip
        return cls(size, json.loads(json.dumps(how)), file_table(catalog))

    @property
    def shape(self) -> tuple[int, int, int, int]:
        return len(self.files), self.size, self.size, len(self.how["reader"]["bands"])

    @property
    def descr(self) -> str:
        """Type of the levels, as the header of the array writes it."""
        return "|u1" if self.how["reader"].get("dtype", "uint8") == "uint8" else "<u2"

    @property
    def tile_bytes(self) -> int:
        return int(np.prod(self.shape[1:])) * np.dtype(self.descr).itemsize

    def blocks(self) -> list[pd.DataFrame]:
        return [self.files.iloc[start : start + _BLOCK] for start in range(0, len(self.files), _BLOCK)]

    def described(self) -> dict[str, Any]:
        """Return the plan as JSON."""
        return {
            **self.how,
            "tiles": self.files.drop(columns=["path", "tif"]).reset_index().to_dict(orient="list"),
        }

    def finished(self, blocks: list[_Block], mtime_ns: int) -> dict[str, Any]:
        """Return the description of the finished store as JSON, with all hashes and the time of the array."""
        plan = self.described()
        tiles = {**plan["tiles"], "hash": [one for block in blocks for one in block.files]}
        pixels = {"block": _BLOCK, "blocks": [block.pixels for block in blocks], "mtime_ns": mtime_ns}
        return {**plan, **pixels, "tiles": tiles}


def _is_right(store: Path, catalog: Catalog, plan: _Plan) -> bool:
    if not store.exists():
        return False
    try:
        there = open_store(store)
        check_unchanged(there, catalog)
        check_pixels(there, whole=True)
    except InputError as error:
        log.info("packing again: %s", error)
        return False
    description = read_json(store / DESCRIPTION)
    return {key: description.get(key) for key in plan.how} == plan.how


def _fill(partial: Path, plan: _Plan, reader: TileReader, num_workers: int) -> None:
    """Decode the missing blocks; a block is done when it is on disk and in the journal."""
    done = _resumed(partial, plan)
    blocks = plan.blocks()
    tiles_done = sum(len(block.files) for block in done)
    _check_space(partial, plan.tile_bytes * (len(plan.files) - tiles_done))
    with (partial / ARRAY).open("r+b") as array, (partial / JOURNAL).open("a", encoding="utf-8") as journal:
        np.lib.format.write_array_header_1_0(array, {"descr": plan.descr, "fortran_order": False, "shape": plan.shape})
        array.truncate(array.seek(plan.tile_bytes * tiles_done, os.SEEK_CUR))
        with counted(len(plan.files), tiles_done, "packing") as advance:
            for images, block in _ahead(
                lambda block: _decoded(block, plan.size, reader), blocks[len(done) :], num_workers
            ):
                array.write(images.data)
                array.flush()
                os.fdatasync(array.fileno())  # before the journal has the line, or a power cut would leave black tiles
                journal.write(json.dumps(asdict(block)) + "\n")
                journal.flush()
                done.append(block)
                advance(len(images))
    mtime_ns = (partial / ARRAY).stat().st_mtime_ns
    write_text(partial / DESCRIPTION, json.dumps(plan.finished(done, mtime_ns)))


def _resumed(partial: Path, plan: _Plan) -> list[_Block]:
    """Find the finished blocks; a store with another plan starts again."""
    described = plan.described()
    done: list[_Block] = []
    whole = all((partial / name).is_file() for name in (PLAN, JOURNAL, ARRAY))
    if whole and (partial / ARRAY).stat().st_nlink == 1 and read_json(partial / PLAN) == described:
        done = _unchanged(partial / ARRAY, plan, _read_journal(partial / JOURNAL, plan))
        log.info("resuming: %s tiles are packed", f"{sum(len(block.files) for block in done):,}")
    else:
        remove_store(partial)
        partial.mkdir(parents=True)
        write_json(partial / PLAN, described)  # first: it marks the folder as ours
        (partial / ARRAY).touch()
    write_text(partial / JOURNAL, "".join(json.dumps(asdict(block)) + "\n" for block in done))
    return done


def _read_journal(file: Path, plan: _Plan) -> list[_Block]:
    """Read the finished blocks before the first line that is incomplete or damaged."""
    done: list[_Block] = []
    for line, tiles in zip(file.read_bytes().splitlines(keepends=True), plan.blocks(), strict=False):
        block = _read_block(line, len(tiles))
        if block is None:
            break
        done.append(block)
    return done


def _read_block(line: bytes, tiles: int) -> _Block | None:
    """Read a line of the journal; None where it does not describe a block of that many tiles."""
    if not line.endswith(b"\n"):
        return None
    try:
        block = _Block(**json.loads(line))
    except (TypeError, ValueError, RecursionError):
        return None
    hashes = [*block.files, block.pixels] if isinstance(block.files, list) else []
    return block if len(hashes) == tiles + 1 and all(isinstance(one, str) for one in hashes) else None


def _unchanged(array: Path, plan: _Plan, done: list[_Block]) -> list[_Block]:
    """Return the blocks before the first whose pixels have changed."""
    with array.open("rb") as stream:
        if done:
            try:
                np.lib.format.read_magic(stream)
                np.lib.format.read_array_header_1_0(stream)
            except ValueError:  # the header is damaged
                return []
        for number, block in enumerate(done):
            pixels = stream.read(len(block.files) * plan.tile_bytes)
            if hash_block(np.frombuffer(pixels, dtype=np.uint8)) != block.pixels:
                return done[:number]
    return done


def _decoded(block: pd.DataFrame, size: int, reader: TileReader) -> tuple[Image, _Block]:
    """Decode the tiles of a block, and hash their files and their pixels."""
    images = np.empty((len(block), size, size, len(reader.bands)), dtype=reader.dtype)
    hashes = []
    several = files_of(reader)
    files = block[["path", "tif", "bytes", "mtime_ns", "tif_bytes", "tif_mtime_ns"]]
    for image, (path, tif, *planned) in zip(images, files.to_numpy(dtype=object), strict=True):
        try:
            image[:] = resize(reader(path, tif), size)
            hashes.append(hash_files(*(several.paths(path) if several else [path]), tif))
        except InputError as error:
            remedy = "; ".join(filter(None, (error.remedy, "amazon-ml data check lists all such tiles")))
            raise InputError(error.problem, file=error.file, option=error.option, remedy=remedy) from None
        if [*size_and_time(*(several.paths(path) if several else [path])), *size_and_time(tif)] != planned:
            raise WorkError(f"{path} was changed while it was packed; run amazon-ml data pack again")
    return images, _Block(hashes, hash_block(images))


def _ahead(work: Callable[[Item], Result], items: Iterable[Item], threads: int) -> Iterator[Result]:
    """Yield the results in order, while threads work on the next few items, so that memory stays bounded."""
    running: deque[Future[Result]] = deque()
    with ThreadPoolExecutor(threads) as pool:
        try:
            for item in items:
                running.append(pool.submit(work, item))
                if len(running) > threads + 1:
                    yield running.popleft().result()
            while running:
                yield running.popleft().result()
        finally:
            for future in running:
                future.cancel()


def _check_space(folder: Path, needed: int) -> None:
    free = shutil.disk_usage(folder).free
    if free < needed:
        raise WorkError(
            f"{folder} needs {needed / 1e9:.2f} GB more, and there are {free / 1e9:.2f} GB free; "
            "make room, or name a folder on another disk with `out`"
        )


def _finish(partial: Path, store: Path) -> None:
    """Give the complete store its name, and remove the former store."""
    former = _former(store)
    remove_store(former)
    if store.exists():
        store.rename(former)
    partial.rename(store)
    _tidy(store)


def _tidy(store: Path) -> None:
    """Remove the working files of packing, also those of a process that was killed."""
    for left in (PLAN, JOURNAL):
        (store / left).unlink(missing_ok=True)
    with suppress(InputError, OSError):  # a folder that is no store is not ours, and does no harm
        remove_store(_former(store))


def _former(store: Path) -> Path:
    """Return the temporary path of a former store."""
    return store.with_name(f".{store.name}.old")
