"""Options of the data: how a tag table and its tiles are read, and what batches are made of them."""

from dataclasses import field
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BeforeValidator, Field

from amazon_ml.labels import unescaped
from amazon_ml.settings import PathText, settings

#: Pixels along the edge of the largest tile; beyond it a slip is likelier than a wish.
LARGEST_EDGE = 8192
#: Pixels of the largest image file, unless `max_pixels` says otherwise.
MAX_PIXELS = 100_000_000

#: Files that red, green and blue are read from.
RgbSource = Literal["jpg", "tif"]

_Edge = Annotated[int, Field(ge=8, le=LARGEST_EDGE)]
_Count = Annotated[int, Field(ge=1)]
_Alpha = Annotated[float, Field(gt=0, allow_inf_nan=False)]


def _separator(text: str) -> str:
    if not text:
        raise ValueError("is empty; leave it out where white space separates the tags")
    return unescaped(text)


def _tag(value: object) -> object:
    return str(value) if type(value) is int else value


#: One tag; classes may be numbers.
Tag = Annotated[str, BeforeValidator(_tag)]
#: What stands between tags; a shell passes on the two letters ``\\t`` for a tab.
Separator = Annotated[str, AfterValidator(_separator)]


@settings
class TableConfig:
    """How the table of tags is found and read.

    Parameters
    ----------
    labels_file
        CSV of names and tags; found when not given.
    image_dir
        Folder of labelled images; found when not given.
    tags
        The tag list, in the order of columns. When not given: the competition's 17 where the table has one of its
        names, else the distinct tags of the table, sorted.
    name_column
        Column of the table with file names; common names are understood.
    tags_column
        Column of the table with tags; common names are understood.
    tag_columns
        Columns of a table with one column for each tag, which hold 0 or 1 (or 1.0, true, yes): ``all`` but that of the
        names, or a list. They are the tag list, too, in their order.
    tag_separator
        What stands between tags in a row; any white space when not given.
    min_share
        Least share of a tile that a tag covers, in 0..1, where a table in JSON gives the share of each tag.
    allow_missing
        Leave out rows whose file is missing, instead of refusing the folder.
    allow_untagged
        Take tiles without a tag as they are, instead of refusing the folder.
    merge_rows
        Join rows of one name to one tile with the tags of all of them, as in tables with a row a tag.
    exclude
        CSV of names of labelled tiles that are not used, such as `data check` writes.
    """

    labels_file: PathText | None = None
    image_dir: PathText | None = None
    tags: list[Tag] | None = None
    name_column: str | None = None
    tags_column: str | None = None
    tag_columns: Literal["all"] | list[Tag] | None = None
    tag_separator: Separator | None = None
    min_share: Annotated[float, Field(ge=0, le=1)] = 0.0
    allow_missing: bool = False
    allow_untagged: bool = False
    merge_rows: bool = False
    exclude: PathText | None = None


@settings
class ReadingConfig(TableConfig):
    """How a folder of tiles is read: its table, and the bands of its files.

    Parameters
    ----------
    bands
        Channels of a tile: letters of ``rgbn`` and the indices ``ndvi`` and ``ndwi``, joined by ``+``, such as
        ``rgb``, ``rgbn``, ``nrg`` or ``rgb+ndvi``.
    rgb_source
        Files that red, green and blue are read from, ``jpg`` or ``tif``; by default the JPGs where there are any,
        since people made the tags from those. Near infrared is always read from TIFs.
    tif_order
        Letters of the bands in a TIF, in the order of the file; by default as the files name them, else ``bgrn``
        for four and ``rgb`` for three. ``?`` stands for a band that is not used.
    tif_limits
        For each band of a TIF, by its letter, the values that become 0 and 255. When not given: percentiles 1 and
        99 of the valid pixels of up to 500 labelled tiles, which the run stores. PNGs of 16 bits take those of r, g
        and b.
    max_pixels
        Most pixels of an image file, by its header; of a TIF, four bands count as one.
    """

    bands: str = "rgb"
    rgb_source: RgbSource | None = None
    tif_order: str | None = None
    tif_limits: dict[str, tuple[float, float]] | None = None
    max_pixels: Annotated[int, Field(ge=64)] = MAX_PIXELS


#: A table and tiles as they are found, with every option at its default.
TABLE, READING = TableConfig(), ReadingConfig()


@settings
class DataConfig(ReadingConfig):
    """Tiles with their tags, how they are split, and the batches that are made of them.

    Parameters
    ----------
    root
        Folder of tiles; its layout is found (the competition's, its mirror's, or one CSV of names and tags above a
        tree of images).
    packed
        Packed store of the folder, as `data pack` makes it. When not given: the one that lies in `root`, where
        there is one for these bands and this size.
    size
        Edge of the square that tiles are scaled to, pixels.
    batch_size
        Tiles in a training batch, on each device.
    predict_batch_size
        Tiles in a batch of held-out or untagged tiles, on each device.
    num_workers
        Loader processes. When not given: none on the CPU, where they would take cores from the network, nor for a
        packed store, where a thread that reads one batch ahead is faster; else one a core, 8 at most.
    augment
        Steps that change training tiles, one after the other: each the name of a transform of albumentations, or of
        ours (``Haze``, ``Clouds``), with its arguments.
    mixup_alpha
        Mixup of training batches: alpha of the Beta distribution that shares are drawn from, such as 0.2. Where
        `cutmix_alpha` is given too, one of both is drawn for each batch.
    cutmix_alpha
        Cutmix of training batches: alpha of the Beta distribution that shares are drawn from, such as 1.0.
    mix_prob
        Share of the batches that mixup or cutmix change, in 0..1.
    n_folds
        Number of folds.
    fold_by
        ``tags`` stratifies tile by tile; ``scenes`` keeps tiles that touch in one fold, and spreads the tags as
        evenly as that allows; it takes square JPGs or PNGs of one size. Which tiles touch is kept in
        neighbours.csv beside the folds.
    validate
        False trains on every tile and validates on the same ones: for a last network after cross-validation, or to
        see that a network can overfit. Its scores are not honest ones.
    soft_labels
        CSV of doubted labels, as `audit` writes it: training targets become the mean of the label and its
        probability. Held-out tiles keep the labels they are scored with.
    max_samples
        Use only so many labelled tiles, drawn with the seed, and so many of the first untagged ones; for a quick
        look.
    """

    root: PathText
    packed: PathText | None = None
    size: _Edge = 256
    batch_size: _Count = 64
    predict_batch_size: _Count = 256
    num_workers: Annotated[int, Field(ge=0)] | None = None
    augment: list[dict[str, dict[str, Any]]] = field(default_factory=lambda: [{"D4": {"p": 1.0}}])
    mixup_alpha: _Alpha | None = None
    cutmix_alpha: _Alpha | None = None
    mix_prob: Annotated[float, Field(ge=0, le=1)] = 1.0
    n_folds: Annotated[int, Field(ge=2)] = 5
    fold_by: Literal["tags", "scenes"] = "tags"
    validate: bool = True
    soft_labels: PathText | None = None
    max_samples: _Count | None = None
