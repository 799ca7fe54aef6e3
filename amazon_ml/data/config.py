"""Options of the data: reading of the tag table and the tiles, folds, and batches."""

import dataclasses
from dataclasses import field
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BeforeValidator, Field, model_validator

from amazon_ml.errors import InputError
from amazon_ml.labels import unescaped
from amazon_ml.settings import PathText, settings

#: Largest edge of a tile in pixels; a larger number is probably a slip.
LARGEST_EDGE = 8192
#: Default of `max_pixels`.
MAX_PIXELS = 100_000_000

#: Files that red, green and blue are read from.
RgbSource = Literal["jpg", "tif"]
#: Type of the levels of a tile, between two limits of each band.
LevelType = Literal["uint8", "uint16"]

_Edge = Annotated[int, Field(ge=8, le=LARGEST_EDGE)]
_Count = Annotated[int, Field(ge=1)]
_Alpha = Annotated[float, Field(gt=0, allow_inf_nan=False)]
_Share = Annotated[float, Field(ge=0, le=1)]


def _separator(text: str) -> str:
    if not text:
        raise ValueError("is empty; omit it where white space separates the tags")
    return unescaped(text)


def _tag(value: object) -> object:
    return str(value) if type(value) is int else value


#: One tag; numbers are accepted as names of classes.
Tag = Annotated[str, BeforeValidator(_tag)]
#: A published split of a set of tiles.
Split = Literal["train", "val", "test"]
#: The words for splits in published tables, in lower case.
SPLITS: dict[str, Split] = {
    "train": "train", "training": "train",
    "val": "val", "valid": "val", "validation": "val", "dev": "val",
    "test": "test", "testing": "test",
}  # fmt: skip


def _by_split(tables: dict[str, str | list[str]]) -> dict[Split, str | list[str]]:
    named: dict[Split, str | list[str]] = {}
    for key, value in tables.items():
        split = SPLITS.get(key.strip().lower())
        if split is None:
            raise ValueError(f"has the split {key!r}; splits are train, val (or validation) and test")
        if split in named:
            raise ValueError(f"names the split {split} twice")
        named[split] = value
    return named


#: Some files or folders for each split.
BySplit = Annotated[dict[str, PathText | list[PathText]], AfterValidator(_by_split)]
#: A table, several, or some for each split.
LabelsFile = BySplit | list[PathText] | PathText
#: Separator of tags; the two characters ``\\t``, as a shell passes them, mean a tab.
Separator = Annotated[str, AfterValidator(_separator)]


@settings
class TableConfig:
    """Options for finding and reading the table of tags.

    Parameters
    ----------
    labels_file
        Table of names and tags (CSV, TSV, Parquet, JSON or JSON Lines); found by default. Or a list of tables that are
        joined, or tables by their published split, such as ``{train: a.csv, val: b.csv, test: c.csv}``. A name may be
        a pattern, such as ``labels/*.csv``; of names with ``|`` between them, the first name that fits a file is used.
        A relative path is looked for in the current folder, then in the folder of tiles.
    split_column
        Column of the table with the published split of each tile: train, val or validation, test. Networks train on
        the first and are tuned on the second; the third is scored once, at the end.
    splits
        Published splits by lists of names, one on each line, or by folders of images, such as
        ``{train: train.txt, val: val.txt, test: test.txt}`` or ``{train: images_tr, test: images_test}``. Tiles in
        none of them are not used. A relative path is looked for as for `labels_file`.
    image_dir
        Folder of labelled images; found by default. A relative path is looked for as for `labels_file`.
    tags
        The tag list, in the order of columns. By default the 17 tags of the competition where the table has the name
        of one of its tables, else the distinct tags of the table, sorted.
    name_column
        Column of the table with file names; common names are recognised.
    tags_column
        Column of the table with tags; common names are recognised.
    tag_columns
        Columns of a table with one column for each tag, which hold 0 or 1 (or 1.0, true, yes): ``all`` but that of the
        names, or a list. They are the tag list, too, in their order.
    tag_separator
        Separator of the tags in a row; any white space by default.
    min_share
        Least share of a tile that a tag covers, in 0..1, where a table in JSON gives the share of each tag.
    allow_missing
        Ignore rows whose file is missing, instead of raising an error.
    allow_untagged
        Accept tiles without a tag, instead of raising an error.
    merge_rows
        Merge the rows of one name to one tile with all of their tags, as for tables with one row for each tag.
    exclude
        CSV of names of labelled tiles to exclude, such as `data check` writes.
    """

    labels_file: LabelsFile | None = None
    split_column: str | None = None
    splits: BySplit | None = None
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
    """Options for reading a folder of tiles: its table, and the bands of its files.

    Parameters
    ----------
    bands
        Channels of a tile: letters of ``rgbn`` and the indices ``ndvi`` and ``ndwi``, joined by ``+``, such as
        ``rgb``, ``rgbn``, ``nrg`` or ``rgb+ndvi``. Or a list of names of bands and indices, such as ``[B02, B03, B04,
        B08, ndvi]``, of any number.
    band_names
        Names of all bands of a file in its order, for a list in `bands`; by default the descriptions in the file. Not
        needed where each band has a file.
    files
        The files of a tile, for a list in `bands`: ``{name}/{name}_{band}.tif`` is a file for each band, ``{name}.npy``
        one for all. It is the end of a path, so that folders of scenes may lie above. By default the TIFs.
    reflectance
        Value of the files that means a reflectance of 1, such as 10000; ``evi``, ``evi2`` and ``savi`` need it.
    rgb_source
        Files that red, green and blue are read from, ``jpg`` (or PNG and others) or ``tif``. By default the files that
        the table names; where both are one tile, as in the competition, the JPGs, since people made the tags from
        those. Near infrared is always read from TIFs.
    tif_order
        Letters of the bands in a TIF, in the order of the file; by default the names in the files, else ``bgrn``
        for four bands and ``rgb`` for three. ``?`` stands for a band that is not used.
    tif_limits
        For each band of a TIF, by its letter or name, the values that become 0 and 255. By default percentiles 1 and 99
        of the valid pixels of up to 500 labelled tiles, which the run stores. PNGs of 16 bits use those of r, g and b.
        ``full`` is the whole range of 16-bit integers, with `dtype` uint16, so that limits depend on no tile.
    max_pixels
        Largest number of pixels of an image file, by its header; of a TIF, four bands count as one.
    dtype
        Type of the levels that tiles have between their limits: ``uint8`` has 256 of them, ``uint16`` 65,536, for bands
        whose noise is smaller than a step of 8 bits. It takes twice the memory and the room of a packed store.
    """

    bands: list[Tag] | str = "rgb"
    band_names: list[Tag] | None = None
    files: str | None = None
    reflectance: Annotated[float, Field(gt=0, allow_inf_nan=False)] | None = None
    rgb_source: RgbSource | None = None
    tif_order: str | None = None
    tif_limits: dict[str, tuple[float, float]] | Literal["full"] | None = None
    max_pixels: Annotated[int, Field(ge=64)] = MAX_PIXELS
    dtype: LevelType = "uint8"


#: All options of reading at their defaults.
TABLE, READING = TableConfig(), ReadingConfig()
#: Options of learning from a teacher.
TEACHER_OPTIONS = (
    "teacher", "untagged", "teacher_weight", "untagged_share", "untagged_weight", "least_confidence",
)  # fmt: skip


@settings
class DataConfig(ReadingConfig):
    """Options of the data: tiles with their tags, folds, and batches.

    Parameters
    ----------
    root
        Folder of tiles; its layout is found (the competition's, its mirror's, or one table of names and tags, CSV,
        Parquet or JSON, above a tree of images).
    packed
        Packed store of the folder, as `data pack` makes it. By default the store in `root` for these bands and this
        size, if there is one.
    size
        Edge of the square that tiles are scaled to, pixels.
    batch_size
        Tiles in a training batch, on each device.
    predict_batch_size
        Tiles in a batch of held-out or untagged tiles, on each device.
    num_workers
        Number of loader processes. By default 0 on the CPU, where they would take cores from the network, and 0 for a
        packed store, where a thread that reads one batch ahead is faster; else one for each core, at most 8.
    augment
        Steps of augmentation of training tiles, in order: each is the name of a transform of albumentations or of this
        package (``Haze``, ``Clouds``), with its arguments.
    mixup_alpha
        Mixup of training batches: alpha of the Beta distribution of the shares, such as 0.2. If `cutmix_alpha` is
        given, too, one of both is drawn for each batch.
    cutmix_alpha
        Cutmix of training batches: alpha of the Beta distribution of the shares, such as 1.0.
    mix_prob
        Share of the batches with mixup or cutmix, in 0..1.
    gsd
        Metres on the ground that a pixel of the tiles' files shows, where that is known. Training does not use it; the
        bundle keeps it, so that scenes are tagged at the same scale.
    n_folds
        Number of folds.
    fold_by
        ``tags`` stratifies tile by tile; ``scenes`` puts tiles that touch into one fold, and spreads the tags as
        evenly as possible; it needs square JPGs or PNGs of one size. The tiles that touch are stored in
        neighbours.csv beside the folds.
    validate
        False trains on every tile and validates on the same tiles: for a last network after cross-validation, or to
        check that a network can overfit. The scores are then too high.
    soft_labels
        CSV of doubted labels, as `audit` writes it: the training target becomes the mean of the label and its
        probability. Held-out tiles are scored with their original labels. These scores may be too high, since the
        probabilities may come from networks that were trained on the held-out tiles.
    teacher
        Run or blend whose networks tag the untagged tiles, which are then trained on, too. A network that holds out a
        fold is taught only by the networks of the teacher that hold out the same fold.
    untagged
        Folder of the untagged tiles that the teacher tags; by default the tiles of `root` without tags.
    teacher_weight
        Share of the teacher's probability in the target of a tagged tile, in 0..1; the rest is the label.
    untagged_share
        Share of untagged tiles in each training batch; an epoch shows every tagged tile once. Fewer tagged tiles than a
        batch has places make a smaller batch of the same share. 0 trains on tagged tiles alone.
    untagged_weight
        Weight of an untagged tile in the loss; a tagged tile has 1.
    least_confidence
        Untagged tiles are not used where the teacher is less confident: where the mean over tags of the larger of p
        and 1 - p, in 0.5..1, is below this.
    max_samples
        Use only this number of labelled tiles, drawn with the seed, and this number of the first untagged tiles; for
        a quick test.
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
    gsd: Annotated[float, Field(gt=0, allow_inf_nan=False)] | None = None
    n_folds: Annotated[int, Field(ge=2)] = 5
    fold_by: Literal["tags", "scenes"] = "tags"
    validate: bool = True
    soft_labels: PathText | None = None
    teacher: PathText | None = None
    untagged: PathText | None = None
    # Which shares and weights are best depends on the tiles and the teacher: see docs/training.md.
    teacher_weight: _Share = 0.0
    untagged_share: Annotated[float, Field(ge=0, lt=1)] = 0.5
    untagged_weight: Annotated[float, Field(gt=0, allow_inf_nan=False)] = 1.0
    least_confidence: _Share = 0.0
    max_samples: _Count | None = None

    @model_validator(mode="after")
    def _check_teacher(self) -> "DataConfig":
        if self.teacher is None:
            defaults = {one.name: one.default for one in dataclasses.fields(self)}
            given = [name for name in TEACHER_OPTIONS if getattr(self, name) != defaults[name]]
            if given:
                raise ValueError(
                    f"`data.{given[0]}` is for tiles that a teacher tags: name its run with `data.teacher`"
                )
        elif not self.untagged_share and not self.teacher_weight:
            raise ValueError("a teacher without any influence: `data.untagged_share` and `data.teacher_weight` are 0")
        elif self.soft_labels is not None:
            raise ValueError("`data.soft_labels` and `data.teacher` cannot be combined: soft labels are probabilities "
                             "of networks that were trained on the held-out tiles")  # fmt: skip
        elif self.untagged is not None and not self.untagged_share:
            raise ValueError("`data.untagged` names tiles that are not used, since `data.untagged_share` is 0")
        elif self.untagged_share:
            count_untagged(self.untagged_share, self.batch_size)  # before the teacher predicts
        return self


def count_untagged(share: float, batch_size: int) -> int:
    """Give the number of untagged tiles in a batch: their share, rounded.

    Raises
    ------
    InputError
        If a batch would have no tagged or no untagged tile.
    """
    count = round(share * batch_size)
    if not 0 < count < batch_size:
        raise InputError(
            f"a batch of {batch_size} tiles has {count} untagged ones if `data.untagged_share` is {share:g}",
            option="data.untagged_share",
            remedy="choose a share or a `data.batch_size` with some tiles of both kinds",
        )
    return count


def without_teacher(config: DataConfig) -> DataConfig:
    """Give the options of training on tagged tiles alone."""
    own = dataclasses.fields(DataConfig)
    defaults: dict[str, Any] = {one.name: one.default for one in own if one.name in TEACHER_OPTIONS}
    return dataclasses.replace(config, **defaults)
