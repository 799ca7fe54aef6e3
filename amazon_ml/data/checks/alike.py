"""Compares by their headers all tiles with those that a reader was fitted to, before hours of work on these."""

import logging
from collections.abc import Mapping, Sequence

import pandas as pd

from amazon_ml.data.catalog.catalog import Catalog
from amazon_ml.data.readers.bands import TileReader
from amazon_ml.data.readers.broken import Shapes, first_faults, is_broken, remedy_for
from amazon_ml.data.readers.damage import FileShape
from amazon_ml.data.readers.images import TIF_SUFFIXES
from amazon_ml.data.readers.named import NamedBands
from amazon_ml.errors import InputError

log = logging.getLogger(__name__)


def check_alike(shapes: Shapes, read: TileReader, tiles: Catalog, *, predicts: bool = True) -> None:
    """Check that a reader takes the types and sizes of all files; it would refuse these tiles after the training.

    Parameters
    ----------
    shapes
        Shapes of the files of the tiles, as `check_whole` gives them.
    read
        The reader.
    tiles
        The tiles, by which the error says what to do.
    predicts
        Whether the untagged tiles will be predicted. If not, a warning names those that the reader cannot read.

    Raises
    ------
    InputError
        If there is a tile that the reader cannot read; the error lists the first ones.
    """
    if read.source is not None and (tiles.source.files if tiles.source else None) != read.source.files:
        return  # a reader of other files, which `shapes` does not hold
    unlike = find_unlike(shapes, read)
    if not unlike:
        return
    tested = len(tiles.tested)
    used, untagged = pd.concat([tiles.labelled, tiles.unlabelled.iloc[:tested]]), tiles.unlabelled.iloc[tested:]
    if faults := _faults_of(used, unlike):
        first = next(iter(faults.values())).remedy if len(faults) == 1 else ""
        remedy = remedy_for(faults, tiles.labelled, tiles.unlabelled, tested)
        raise _refusal(faults, used, "tiles", f"{first}; {remedy}" if first else remedy)
    # No list excludes untagged tiles, whatever the remedy for a tagged one is.
    it = "it" if len(unlike) == 1 else "them"
    error = _refusal(unlike, untagged, "untagged tiles", f"convert {it}, or move {it} out of the folder")
    if predicts:
        raise error
    log.warning("training does not read the untagged tiles, but prediction would refuse: %s", error)


def _faults_of(tiles: pd.DataFrame, unlike: Mapping[str, InputError]) -> dict[str, InputError]:
    paths = {*tiles["path"], *tiles["tif"]}
    return {path: fault for path, fault in unlike.items() if path in paths}


def _refusal(faults: Mapping[str, InputError], tiles: pd.DataFrame, noun: str, remedy: str) -> InputError:
    """Make one error of the faults of some files of tiles."""
    if len(faults) == 1:
        fault = next(iter(faults.values()))
        return InputError(fault.problem, file=fault.file, option=fault.option, remedy=remedy)
    count, listed = int(is_broken(tiles, faults).sum()), first_faults(list(map(str, faults.values())))
    are = "is" if count == 1 else "are"
    return InputError(f"{count:,} of {len(tiles):,} {noun} {are} not like the training tiles: {listed}", remedy=remedy)


def find_unlike(shapes: Shapes, read: TileReader) -> dict[str, InputError]:
    """Find the tiles that a reader refuses for the types and sizes of their files, by the path of the first file."""
    source = read.source
    unlike: dict[str, InputError] = {}
    for shape, paths in shapes.items():
        for path in paths:
            fault = _fault(read, path, shape[0]) if source is None else _named_fault(source, path, shape)
            if fault is not None:
                unlike[path] = fault
            elif source is not None:
                break  # all that decides is in the shape
    return unlike


def _fault(read: TileReader, path: str, shape: FileShape) -> InputError | None:
    is_tif = path.lower().endswith(TIF_SUFFIXES)
    expected = read.expected.tif if is_tif else read.expected.image
    if expected and shape.dtype not in ("", expected):
        problem = f"the file holds {shape.dtype} values, but the training tiles hold {expected}"
        return InputError(problem, file=path, remedy="convert it, or exclude it")
    if is_tif and read.tif_order is not None:
        return _count_fault(shape.bands, len(read.tif_order), path, "data.tif_order")
    return None


def _count_fault(bands: int, named: int, path: str, option: str) -> InputError | None:
    """Compare the number of bands with that of the names; one more may be transparency."""
    if bands in (0, named, named + 1):
        return None
    problem = f"the file has {bands} band{'s' * (bands != 1)}, but `{option}` names {named}"
    return InputError(problem, file=path, option=option, remedy="download it again, or exclude it")


def _named_fault(source: NamedBands, path: str, shapes: Sequence[FileShape]) -> InputError | None:
    if source.files is not None and source.files.each_band:
        file_of = source.files.of(path)
        known = dict(zip(file_of, shapes, strict=True))
    else:
        file_of = dict.fromkeys(source.needed, path)
        known = dict.fromkeys(source.needed, shapes[0])
        fault = _count_fault(shapes[0].bands, len(source.names), path, "data.band_names") if source.names else None
        if fault is not None:
            return fault
    sizes = [(known[name].height, known[name].width) for name in source.needed]
    whole = max(sizes, key=lambda size: size[0] * size[1])
    if not all(map(all, sizes)):  # where one size is not known, none is compared: any of them may be the finest
        sizes, whole = [(1, 1)] * len(sizes), (0, 0)
    for name, size in zip(source.needed, sizes, strict=True):
        layer = source.layers.get(name)
        if layer is None or not known[name].dtype or (whole == (0, 0) and known[name].dtype == layer.dtype):
            continue
        fault = source.layer_fault(name, known[name].dtype, size, whole, file_of[name])
        if fault is not None:
            return fault
    return None
