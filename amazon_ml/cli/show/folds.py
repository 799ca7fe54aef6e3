"""Print the figures of folds as a table."""

from rich.markup import escape
from rich.table import Table

from amazon_ml.cli.show.console import console
from amazon_ml.data.folds.examine import FoldFigures


def print_folds(figures: FoldFigures) -> None:
    """Print how evenly folds hold the tags, and how many of their tiles touch tiles of other folds."""
    tiles, pairs = f"{figures['tiles']:,}", figures["pairs"]
    table = Table(
        title=escape(f"{figures['folds_file']}: {tiles} tiles of {figures['tiles_of']}"),
        title_justify="left",
        caption=None
        if pairs is None
        else f"{pairs:,} pairs of tiles are known to touch; the largest scene has {figures['largest_scene']:,} tiles.",
        caption_justify="left",
    )
    table.add_column("fold")
    for heading in ("tiles", "tag spread worst", "more or less of it", "tiles with a neighbour in another fold"):
        table.add_column(heading, justify="right")
    for record in figures["folds"]:
        table.add_row(str(record["fold"]), f"{record['tiles']:,}", escape(record["worst_tag"]),
                      f"{record['deviation']:+.1%}", _share(record["leakage"]))  # fmt: skip
    table.add_section()
    table.add_row("all", tiles, "", "", _share(figures["leakage"]))
    console().print(table)


def _share(leakage: float | None) -> str:
    return "not known" if leakage is None else f"{leakage:.2%}"
