"""Rows of a table without a file: says which they are, why that may be, and what to do."""

import logging
from collections.abc import Sequence
from dataclasses import dataclass

from amazon_ml.data.catalog.join import Differences
from amazon_ml.data.catalog.names import is_foreign
from amazon_ml.data.catalog.table import TagTable
from amazon_ml.data.config import ReadingConfig
from amazon_ml.data.readers.bands import need_tif, parse_bands
from amazon_ml.errors import InputError, listed

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Missing:
    """Rows of a table without a file.

    Parameters
    ----------
    names
        Their names.
    sought
        The file that a tile is read from, and where.
    other_kind
        Those of the names that have a file of another kind: a TIF where JPGs are read, and so on.
    with_tif
        Whether some of these have a TIF.
    apart
        Whether the table names one of a TIF and another image of one name.
    without_row
        Names of files without a row.
    """

    names: Sequence[str]
    sought: str
    other_kind: Sequence[str] = ()
    with_tif: bool = False
    apart: bool = False
    without_row: Sequence[str] = ()


def check_missing(missing: Missing, table: TagTable, files: Sequence[str], config: ReadingConfig) -> None:
    """Raise for tiles without a file, or warn where the options allow them; explain how their names differ.

    Parameters
    ----------
    missing
        The rows without a file.
    table
        The table.
    files
        Names of the files.
    config
        Options for reading the table and the tiles.
    """
    names, count, path = missing.names, len(table.rows), table.path
    near = Differences(files, table.records)
    is_whole = len(names) == count
    if missing.other_kind and (is_whole or not config.allow_missing):
        raise _of_other_kind(missing, table, config)
    if is_whole:
        hint = near.explain(names[0])
        problem = f"none of the {count:,} tiles has a {missing.sought}"
        remedy = "if the images lie elsewhere, name their folder with `data.image_dir`"
        if not hint:
            raise InputError(problem, file=path, option="data.image_dir",
                             remedy="name the folder of images with `data.image_dir`")  # fmt: skip
        if is_foreign(names[0]) and near.of(names[0]):
            raise InputError(f"{problem}: {hint}", file=path)
        raise InputError(f"{problem}: {hint}", file=path, option="data.image_dir", remedy=remedy)
    problem = f"{len(names):,} of {count:,} tiles have no {missing.sought}: {listed(names)}"
    hint = near.of(names[0])
    hint = hint and f". For {names[0]}, {hint}"
    shifted = _shifted(missing, table)
    if not config.allow_missing:
        if shifted:
            raise InputError(f"{problem}; {shifted}", file=path, option="data.name_column",
                             remedy="write the names of the files into the table: a column that counts from another "
                             "number gives each tile the tags of another")  # fmt: skip
        remedy = f"complete the folder, or allow missing files with `data.allow_missing` true{hint}"
        raise InputError(problem, file=path, option="data.allow_missing", remedy=remedy)
    doubt = shifted and f". But {shifted}: is each name that of its file?"
    log.warning("%s: %s; they are not used%s%s", path, problem, hint, doubt)


def _of_other_kind(missing: Missing, table: TagTable, config: ReadingConfig) -> InputError:
    """Make the error for tiles that have files, but not those that are read."""
    count, other, bands = len(table.rows), missing.other_kind, parse_bands(config.bands)
    problem = f"{len(other):,} of {count:,} tiles have no {missing.sought}, but other files: {listed(other)}"
    if missing.apart and need_tif(bands):
        return InputError(problem, file=table.path, option="data.rgb_source",
                          remedy="where red, green and blue come from the files that the table names, and other bands "
                          "from the TIFs beside them, set `data.rgb_source` jpg")  # fmt: skip
    if not isinstance(config.bands, str):
        return InputError(problem, file=table.path, option="data.files",
                          remedy="a list in `data.bands` reads TIFs: name other files with `data.files`, such as "
                          "{name}.png, or write bands as letters, such as rgb")  # fmt: skip
    if len(missing.names) == count:  # to leave them out would leave none
        return _of_other_kind_all(problem, missing, table, config)
    if config.rgb_source is None and not need_tif(bands):
        return InputError(problem, file=table.path, option="data.allow_missing",
                          remedy="save all tiles as one kind of file, such as TIFs as PNG, or leave these tiles out "
                          "with `data.allow_missing` true")  # fmt: skip
    remedy = "complete the folder, or leave these tiles out with `data.allow_missing` true"
    return InputError(problem, file=table.path, option="data.allow_missing", remedy=remedy)


def _of_other_kind_all(problem: str, missing: Missing, table: TagTable, config: ReadingConfig) -> InputError:
    """Make the error where no tile has the files that are read: name what reads those that are there."""
    if missing.with_tif:
        return InputError(problem, file=table.path, option="data.rgb_source",
                          remedy="read all bands from TIFs: set `data.rgb_source` tif")  # fmt: skip
    if not need_tif(parse_bands(config.bands)):
        return InputError(problem, file=table.path, option="data.rgb_source", remedy="leave `data.rgb_source` out")
    return InputError(problem, file=table.path, option="data.bands",
                      remedy="these files have red, green and blue alone: set `data.bands` rgb, or name the folder of "
                      "the TIFs with `data.image_dir`")  # fmt: skip


def _shifted(missing: Missing, table: TagTable) -> str:
    """Say that names which count rows seem to be shifted against the files; ``""`` where nothing shows that.

    They are shifted where the name at one end has no file, and the file of the next number beyond the other end has no
    row. A column without a title that counts from 0 needs no such file.
    """
    names = table.rows["image_name"].tolist()
    first, last = names[0], names[-1]
    if first not in ("0", "1") or names != [str(number) for number in range(int(first), int(first) + len(names))]:
        return ""
    without_row = {name.rpartition("/")[2] for name in missing.without_row}
    ends = ((first, str(int(last) + 1)), (last, str(int(first) - 1)))
    beyond = next((file for name, file in ends if name in missing.names and file in without_row), "")
    if not beyond and not (table.records.counts_rows and first == "0" and first in missing.names):
        return ""
    beside = beyond and f", and the file {beyond} has no row"
    return f"the names {first} to {last} count the rows{beside}"
