"""Rows of a tag table by tile: finds repeated names and tiles without a tag, and merges repeated rows."""

import logging
from typing import Any

import pandas as pd

from amazon_ml.data.catalog.faults import Fault
from amazon_ml.data.catalog.join import TileNames
from amazon_ml.data.catalog.names import is_rounded
from amazon_ml.data.catalog.table_file import TableFile
from amazon_ml.data.catalog.tiles import NAME_BY_PATH
from amazon_ml.errors import listed

log = logging.getLogger(__name__)


def differ(rows: pd.DataFrame) -> bool:
    """Whether the rows of some tile have different tags."""
    first: dict[str, frozenset[str]] = {}
    pairs = zip(rows["image_name"], map(frozenset, rows["found"]), strict=True)
    return any(first.setdefault(name, found) != found for name, found in pairs)


def find_repeated(table: TableFile, rows: pd.DataFrame, joins: TileNames | None = None) -> list[Fault]:
    """Find names on several rows, each with its lines; the remedy depends on the kind of table."""
    again = rows[rows["image_name"].duplicated(keep=False)]
    if again.empty:
        return []
    groups = list(again.groupby("image_name", sort=False))
    same = [len(set(map(frozenset, group["found"]))) == 1 for _, group in groups]
    option = "data.merge_rows"
    if again["image_name"].map(is_rounded).all():
        option, why = "", "a spreadsheet rounded the names"
        remedy = "save the table again from its source, with that column as text"
    elif joins is not None and (files := joins.sharing(again["image_name"].iloc[0])):
        option, why, remedy = "", f"it may be any of {listed(files)}", NAME_BY_PATH
    elif all(same):
        why, remedy = "each has the same tags there", "keep one row of each, or set `data.merge_rows` true"
    elif (again["found"].map(len) <= 1).all():
        why = "the table has one row for each tag"
        remedy = "join the rows of each tile with `data.merge_rows` true"
    else:
        why = "their tags differ"
        remedy = (
            "keep the right row of each; or, where each row holds some of the tags, join them with "
            "`data.merge_rows` true"
        )
    summary = f"{describe_repeated(table, again)}; {why}"
    return [
        Fault("repeated_rows" if alike else "contradictory_rows", table, int(group["line"].iloc[0]), summary, remedy,
              (str(name),), item=f"{name} on {table.at_all(group['line'].tolist())}", summary=summary,
              option=option)
        for alike, (name, group) in zip(same, groups, strict=True)
    ]  # fmt: skip


def describe_repeated(table: TableFile, again: pd.DataFrame) -> str:
    """Count the names on several rows, and name the further rows of the first; the error stands at its first row."""
    first = again["image_name"].iloc[0]
    lines = again.loc[again["image_name"] == first, "line"].tolist()[1:]
    count, where = again["image_name"].nunique(), f"again on {table.at_all(lines)}"
    if count == 1:
        return f"the name {first} stands more than once, {where}"
    return f"{count:,} names stand more than once, such as {first}, {where}"


def merge_rows(table: TableFile, rows: pd.DataFrame) -> pd.DataFrame:
    """Merge the rows of each name, in the order of their first row."""
    if not rows["image_name"].duplicated().any():
        return rows
    merged: dict[str, dict[str, Any]] = {}
    for row in ({str(key): value for key, value in row.items()} for row in rows.to_dict("records")):
        before = merged.get(row["image_name"])
        if before is None:
            merged[row["image_name"]] = row
        else:
            found = tuple(dict.fromkeys((*before["found"], *row["found"])))
            merged[row["image_name"]] = {
                **before,
                "found": found,
                "tags": f"{before['tags']} {row['tags']}".strip(),
                "untagged": before["untagged"] and row["untagged"],
                "ending": before["ending"] if before["ending"] == row["ending"] else "",
            }
    log.info("%s: %d rows were merged to %d tiles", table.name, len(rows), len(merged))
    return pd.DataFrame(list(merged.values()))


def find_untagged(table: TableFile, rows: pd.DataFrame) -> list[Fault]:
    """Find the rows without a tag."""
    without = rows[rows["untagged"]]
    places = [(str(name), int(line)) for name, line in zip(without["image_name"], without["line"], strict=True)]
    # The message begins with the line of the first.
    shown = [f"{name} ({table.at(line)})" if at else name for at, (name, line) in enumerate(places)]
    summary = f"{len(places):,} tiles have no tag, such as {listed(shown)}"
    if len(places) == 1:
        summary = f"{places[0][0]} has no tag"
    remedy = "tag them, or set `data.allow_untagged` true if they are meant to have none"
    return [
        Fault("untagged_rows", table, line, "no tag", remedy, (name,), f"{name} ({table.at(line)})", summary,
              option="data.allow_untagged")
        for name, line in places
    ]  # fmt: skip
