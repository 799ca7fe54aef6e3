"""Names of the list `exclude` that may mean several tiles of a table, since their files share the name."""

from collections.abc import Iterable
from pathlib import Path

from amazon_ml.data.catalog.join import TileNames
from amazon_ml.data.catalog.tiles import NAME_BY_PATH
from amazon_ml.errors import InputError, listed


def check_clear(exclude: Path, unknown: Iterable[str], rows: Iterable[str], joins: TileNames | None) -> None:
    """Check that no name of the list means several tiles.

    Parameters
    ----------
    exclude
        The list.
    unknown
        Its names that are those of no row.
    rows
        Names of the rows, by their paths where files share a name.
    joins
        Index of the names that have a file.

    Raises
    ------
    InputError
        If files share such a name, and one of them is a tile of a row.
    """
    shared = {} if joins is None else {name: files for name in sorted(unknown) if (files := joins.sharing(name))}
    if joins is None or not shared:
        return
    tiles = {joins.find(name) for name in rows}
    for name, files in shared.items():
        if any(joins.find(file) in tiles for file in files):
            raise InputError(f"{name} may be any of {listed(files)}", file=exclude, option="data.exclude",
                             remedy=NAME_BY_PATH)  # fmt: skip
