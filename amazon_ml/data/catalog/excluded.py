"""Removes the tiles of the list `exclude` from the rows of a table."""

import logging
from collections.abc import Iterable
from pathlib import Path

from amazon_ml.data.catalog.faults import Fault, Row
from amazon_ml.data.catalog.join import TileNames
from amazon_ml.data.catalog.name_lists import read_excluded
from amazon_ml.data.catalog.tiles import NAME_BY_PATH
from amazon_ml.errors import InputError, listed

log = logging.getLogger(__name__)


def without_excluded(
    rows: list[Row], faults: list[Fault], table: Path, exclude: Path, joins: TileNames | None, *, alone: bool
) -> tuple[list[Row], list[Fault], dict[str, str | None]]:
    """Remove the rows of a list, and their faults.

    Parameters
    ----------
    rows, faults
        Those of the table.
    table
        The table.
    exclude
        The list.
    joins
        Index of the names that have a file.
    alone
        Whether it is the only table; else the list may name tiles of others.

    Returns
    -------
    The other rows and faults; and the names of the list that have rows, with a key of the tile, or None without a file.

    Raises
    ------
    InputError
        If the list names no tile of the only table, may mean several tiles, or names them all.
    """
    names, own = read_excluded(exclude), {row.name for row in rows}

    def tile_of(name: str) -> str | None:
        # In one of several tables a name means the file beside the table first, since others may have it, too.
        beside = joins.find(str((table.parent / name).absolute())) if joins is not None and not alone else None
        return beside or (None if joins is None else joins.find(name))

    # To find tiles lists the folders, which one table needs only for other names.
    meant = {name: None if alone else tile_of(name) for name in names & own}
    gone = set(meant)
    if (others := names - own) and joins is not None:  # the list names files by another path than the table
        tiles = {name: tile for name in others if (tile := joins.find(name)) is not None}
        sought = frozenset(tiles.values())
        found = {name: tile for name in own if (tile := tile_of(name)) in sought}
        there = frozenset(found.values())
        gone |= found.keys()
        meant |= {name: tile for name, tile in tiles.items() if tile in there}
    unknown = names.difference(meant)
    if alone:
        check_clear(exclude, unknown, own, joins)
    if unknown and unknown == names and alone:
        raise InputError(f"the list names no tile of {table}, only {listed(sorted(unknown))}", file=exclude,
                         option="data.exclude",
                         remedy="give the list of this table, or none")  # fmt: skip
    if unknown and alone:
        log.warning("%s names %d tiles that %s lacks: %s", exclude, len(unknown), table, listed(sorted(unknown)))
    kept = [row for row in rows if row.name not in gone]
    if not kept:
        raise InputError(f"the list excludes all {len(rows)} tiles of {table}", file=exclude, option="data.exclude")
    log.info("%s: %s excludes %d rows", table, exclude, len(rows) - len(kept))
    return kept, [fault for fault in faults if not fault.names or not gone.issuperset(fault.names)], meant


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
