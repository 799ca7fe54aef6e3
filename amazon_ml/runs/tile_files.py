"""Record the files of a run's tiles when training begins, and check later that they are the same."""

import logging
import time
from pathlib import Path

import pandas as pd

from amazon_ml.data.catalog.catalog import Catalog
from amazon_ml.data.catalog.file_table import (
    KEY,
    SIZES,
    TIMES,
    FilesOf,
    compare_files,
    count_names,
    file_table,
    hash_tiles,
)
from amazon_ml.data.store.packed import PackedStore
from amazon_ml.errors import InputError
from amazon_ml.runs.folder import Run
from amazon_ml.runs.hashes import check_recorded, write_table

log = logging.getLogger(__name__)

_COLUMNS = [*SIZES, *TIMES, "hash"]
#: Seconds of hashing from which on the time is logged.
_LONG = 5


def record_tiles(run: Run, catalog: Catalog, store: PackedStore | None) -> None:
    """Record size, time and hash of the files of a run's tiles, for a caller that holds its lock.

    Parameters
    ----------
    run
        A run that has not trained anything.
    catalog
        Its tiles.
    store
        The packed store that they are read from, which holds their hashes.
    """
    now = file_table(catalog)
    known = store.tiles["hash"].reindex(now.index) if store else pd.Series(None, index=now.index, dtype=object)
    write_files(run.tiles, hash_unknown(now, known, catalog.files))


def check_tiles(run: Run, catalog: Catalog) -> None:
    """Check that the files of a run's tiles are those that training began with.

    Sizes and times are compared. Where only times differ, as in a copied folder, hashes of the files are compared, too.
    Untagged tiles may change as long as no fold has predicted them. The hash of the table shows whether the
    labelled tiles are the same.

    Raises
    ------
    InputError
        Where the content of a file changed.
    """
    then, now = read_files(run.tiles), file_table(catalog)
    changes = compare_files(then, now, catalog.files)
    predicted = any(fold.test.exists() for fold in run.begun_folds())
    for labelled, free, remedy in (
        (True, False, "put their files back, or choose another `run`"),
        (False, not predicted, "put their files back, or delete the test.parquet of every fold and train again"),
    ):
        changed = _named(changes.changed, labelled)
        if changed and not free:
            path = str(now.loc[(labelled, changed[0]), "path"])
            raise InputError(
                f"the files of {count_names(changed)}, are not those that {run.path} began with",
                file=path,
                remedy=remedy,
            )
    if predicted:
        now = now.loc[now.index.intersection(then.index, sort=False)]
    same = now.index.difference(changes.changed)
    hashed = hash_unknown(now, then["hash"].reindex(same).reindex(now.index), catalog.files)
    if not hashed[_COLUMNS].equals(then[_COLUMNS]):
        write_files(run.tiles, hashed if not predicted else _updated(then, hashed))


def changed_tiles(run: Run, catalog: Catalog) -> list[str]:
    """List the labelled tiles of a run whose files changed since training began."""
    if not run.tiles.exists():  # a blend has none
        return []
    then, now = read_files(run.tiles), file_table(catalog)
    changes = compare_files(then, now.loc[now.index.intersection(then.index, sort=False)], catalog.files)
    return _named(changes.changed, labelled=True)


def _named(keys: pd.Index, labelled: bool) -> list[str]:
    return [name for one, name in keys if one == labelled]


def hash_unknown(table: pd.DataFrame, known: pd.Series, files: FilesOf) -> pd.DataFrame:
    """Add the hashes of the files; files without a known hash are read."""
    began, unknown = time.perf_counter(), known.isna().to_numpy()
    hashes = known.to_numpy(dtype=object, copy=True)
    hashes[unknown] = hash_tiles(table[unknown], files)
    if (took := time.perf_counter() - began) > _LONG:
        log.info("hashed the files of %s tiles in %.0f s", f"{unknown.sum():,}", took)
    return table.assign(hash=hashes)


def _updated(then: pd.DataFrame, now: pd.DataFrame) -> pd.DataFrame:
    updated = then.copy()
    updated.loc[now.index, _COLUMNS] = now[_COLUMNS]
    return updated


def write_files(path: Path, table: pd.DataFrame) -> None:
    """Write a table of files with their hashes, and record its hash."""
    write_table(path, table[_COLUMNS].reset_index())


def read_files(path: Path) -> pd.DataFrame:
    """Read a table of files that a run recorded, by ``labelled`` and ``image_name``: sizes, times, ``hash``."""
    check_recorded(path)
    try:
        return pd.read_parquet(path).set_index(KEY)[_COLUMNS]
    except FileNotFoundError:
        raise InputError("the file is missing", file=path, remedy="put it back, or choose another `run`") from None
    except (KeyError, ValueError, OSError) as error:
        raise InputError(
            f"this is not a table of the files of tiles ({error})", file=path, remedy="choose another `run`"
        ) from None


def hashes_by_name(path: Path, *, labelled: bool) -> "pd.Series[str]":
    """Read the hashes of the files of the labelled or of the untagged tiles in such a table, by name."""
    table = read_files(path)
    kind = table.index.get_level_values("labelled") == labelled
    return table.loc[kind, "hash"].droplevel("labelled")
