"""Compares by their headers all tiles with those that a reader was fitted to, before hours of work on these."""

from collections.abc import Sequence

from amazon_ml.data.catalog.catalog import Catalog
from amazon_ml.data.readers.bands import TileReader
from amazon_ml.data.readers.broken import Shapes, describe_broken, remedy_for
from amazon_ml.data.readers.damage import FileShape
from amazon_ml.data.readers.images import TIF_SUFFIXES
from amazon_ml.data.readers.named import NamedBands
from amazon_ml.errors import InputError


def check_alike(shapes: Shapes, read: TileReader, tiles: Catalog) -> None:
    """Check that a reader takes the types and sizes of all files; it would refuse these tiles after the training.

    Parameters
    ----------
    shapes
        Shapes of the files of the tiles, as `check_whole` gives them.
    read
        The reader.
    tiles
        The tiles, by which the error says what to do.

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
    remedy = remedy_for(unlike, tiles.labelled, tiles.unlabelled, len(tiles.tested))
    first = next(iter(unlike.values()))
    if len(unlike) == 1:
        raise InputError(first.problem, file=first.file, remedy=f"{first.remedy}; {remedy}")
    total = len(tiles.labelled) + len(tiles.unlabelled)
    raise InputError(describe_broken(list(map(str, unlike.values())), total), remedy=remedy)


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
