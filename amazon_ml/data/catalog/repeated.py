"""Rows of a tag table by tile: names that stand on several rows, joining these, and tiles without a tag."""

import logging
from pathlib import Path
from typing import Any

import pandas as pd

from amazon_ml.data.catalog.faults import Fault
from amazon_ml.data.catalog.names import is_rounded
from amazon_ml.errors import listed

log = logging.getLogger(__name__)


def differ(rows: pd.DataFrame) -> bool:
    """Whether the rows of some tile have different tags."""
    first: dict[str, frozenset[str]] = {}
    pairs = zip(rows["image_name"], map(frozenset, rows["found"]), strict=True)
    return any(first.setdefault(name, found) != found for name, found in pairs)


def find_repeated(rows: pd.DataFrame) -> list[Fault]:
    """Find names on several rows, each with its lines, and say what kind of table that is."""
    again = rows[rows["image_name"].duplicated(keep=False)]
    if again.empty:
        return []
    groups = list(again.groupby("image_name", sort=False))
    same = [len(set(map(frozenset, group["found"]))) == 1 for _, group in groups]
    if again["image_name"].map(is_rounded).all():
        hint = "a spreadsheet rounded the names; save the table anew from where it came, with that column as text"
    elif all(same):
        hint = "each has the same tags there; keep one row of each, or set `data.merge_rows` true"
    elif (again["found"].map(len) <= 1).all():
        hint = "the table has a row a tag; join the rows of each tile with `data.merge_rows` true"
    else:
        hint = (
            "their tags differ; keep the right row of each, or, where each row holds some of the tags, join them "
            "with `data.merge_rows` true"
        )
    said = f"{describe_repeated(again)}; {hint}"
    return [
        Fault("repeated_rows" if alike else "contradictory_rows", int(group["line"].iloc[0]), said, hint, (str(name),),
              item=f"{name} on lines {', '.join(map(str, group['line']))}", said=said)
        for alike, (name, group) in zip(same, groups, strict=True)
    ]  # fmt: skip


def describe_repeated(again: pd.DataFrame) -> str:
    """Say how many names stand on several rows, with the lines of the first."""
    first = again["image_name"].iloc[0]
    lines = ", ".join(map(str, again.loc[again["image_name"] == first, "line"]))
    return f"{again['image_name'].nunique():,} names stand more than once, such as {first} on lines {lines}"


def merge_rows(path: Path, rows: pd.DataFrame) -> pd.DataFrame:
    """Join the rows of each name, in the order of their first."""
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
            }
    log.info("%s: %d rows are joined to %d tiles", path, len(rows), len(merged))
    return pd.DataFrame(list(merged.values()))


def find_untagged(rows: pd.DataFrame) -> list[Fault]:
    """Find the rows without a tag."""
    without = rows[rows["untagged"]]
    places = [(str(name), int(line)) for name, line in zip(without["image_name"], without["line"], strict=True)]
    said = (
        f"{len(places):,} tiles have no tag, such as {listed([f'{name} (line {line})' for name, line in places])}; "
        "tag them, or set `data.allow_untagged` true if they are meant to have none"
    )
    return [
        Fault("untagged_rows", line, "no tag", "tag it", (name,), f"{name} (line {line})", said)
        for name, line in places
    ]
