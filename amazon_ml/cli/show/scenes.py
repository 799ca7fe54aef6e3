"""Print the areas of tags of a scene, changes between two, and tiles that were cut, as tables."""

import math

from rich.markup import escape
from rich.table import Table

from amazon_ml.cli.show.console import console
from amazon_ml.scenes.compare import Comparison
from amazon_ml.scenes.cut import CutTiles
from amazon_ml.scenes.result import SceneResult


def print_areas(result: SceneResult | None) -> None:
    """Print the area of each tag with its interval: hectares, or percent in pixel coordinates; of a shard, nothing."""
    if result is None:
        return
    records = result.summary().to_dict("records")
    known = int(result.known.sum())
    metric = bool(records) and not math.isnan(records[0]["hectares_with_data"])
    whole = f" of {records[0]['hectares_with_data']:,.0f} ha with data" if metric else ""
    table = Table(title=f"{known:,} cells{whole}", title_justify="left",
                  caption="The interval of 95 % is of the probabilities, as if they were right.",
                  caption_justify="left")  # fmt: skip
    table.add_column("tag")
    for heading in ("hectares" if metric else "share", "from", "to", "tagged cells"):
        table.add_column(heading, justify="right")
    names = ("hectares", "low", "high") if metric else ("share", "share_low", "share_high")
    for record in records:
        values = [f"{record[name]:,.0f}" if metric else f"{record[name]:.1%}" for name in names]
        table.add_row(escape(str(record["tag"])), *values, f"{record['tagged_cells']:,}")
    console().print(table)


def print_changes(comparison: Comparison) -> None:
    """Print where tags appeared and went: hectares with intervals, and the cells that are listed."""
    records = comparison.summary().to_dict("records")
    known = int(comparison.known.sum())
    table = Table(title=f"{known:,} cells at both dates; listed from a probability of {comparison.least:g} on",
                  title_justify="left")  # fmt: skip
    table.add_column("tag")
    for heading in ("appeared, hectares", "from", "to", "cells", "went, hectares", "from", "to", "cells"):
        table.add_column(heading, justify="right")
    for record in records:
        values = []
        for name in ("appeared", "went"):
            areas = [record[key] for key in (name, f"{name}_low", f"{name}_high")]
            values += ["?" if math.isnan(area) else f"{area:,.0f}" for area in areas]
            values.append(f"{record[f'{name}_cells']:,}")
        table.add_row(escape(str(record["tag"])), *values)
    console().print(table)


def print_cut(tiles: CutTiles) -> None:
    """Print how many tiles have each tag, are in each split, and were left out."""
    splits = ", ".join(f"{count:,} {name}" for name, count in tiles.splits.items())
    left_out = f"{tiles.overlapping:,} left out at borders of splits, {tiles.without_data:,} for lack of data"
    table = Table(title=escape(f"{tiles.folder}: {splits}"), title_justify="left", caption=left_out,
                  caption_justify="left")  # fmt: skip
    table.add_column("tag")
    table.add_column("tiles", justify="right")
    for tag, count in tiles.tags.items():
        table.add_row(escape(tag), f"{count:,}")
    console().print(table)
