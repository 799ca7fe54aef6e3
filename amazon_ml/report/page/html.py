"""Parts of HTML that sections share. Arguments called text are escaped here, those called HTML are not."""

from collections.abc import Sequence
from dataclasses import dataclass
from html import escape


@dataclass(frozen=True)
class Cell:
    """One cell of a table.

    Parameters
    ----------
    shown
        HTML.
    value
        The value that the table is sorted by.
    """

    shown: str
    value: float | str

    @property
    def kind(self) -> str:
        """The attribute that aligns numbers."""
        return "" if isinstance(self.value, str) else ' class="number"'


def words(text: str) -> Cell:
    """Show text in a table."""
    return Cell(escape(text), text)


def number(value: float, form: str, *, share: float | None = None) -> Cell:
    """Show a number in a table, formatted, with a bar below it for a share in 0..1."""
    return Cell(format(value, form) + ("" if share is None else _bar(share)), value)


def table(headings: Sequence[str], rows: Sequence[Sequence[Cell]]) -> str:
    """Make a table that is sorted by a click on a heading; the first cell of a row is its name."""
    kinds = [cell.kind for cell in rows[0]] if rows else [""] * len(headings)
    head = "".join(f'<th scope="col"{kind}>{escape(text)}</th>' for text, kind in zip(headings, kinds, strict=True))
    body = "\n".join(f"<tr>{''.join(map(_cell, row, range(len(row))))}</tr>" for row in rows)
    return (
        f'<div class="wide"><table class="sortable">\n<thead><tr>{head}</tr></thead>\n'
        f"<tbody>\n{body}\n</tbody></table></div>"
    )


def grid(cells: Sequence[str], width: str) -> str:
    """Arrange HTML in columns of at least this CSS width, as many as fit."""
    return f'<div class="grid" style="--cell: {width}">\n' + "\n".join(cells) + "\n</div>"


def paragraph(html: str, kind: str = "") -> str:
    """Wrap HTML as a paragraph, of a class of the style."""
    return f'<p class="{kind}">{html}</p>' if kind else f"<p>{html}</p>"


def figure(picture: str, caption: str, kind: str = "") -> str:
    """Put HTML of a caption below HTML of a picture."""
    return f'<figure class="{kind}">{picture}<figcaption>{caption}</figcaption></figure>'


def listed(texts: Sequence[str]) -> str:
    """Join texts as in a sentence."""
    return escape(" and ".join(filter(None, [", ".join(texts[:-1]), *texts[-1:]])))


def _cell(cell: Cell, column: int) -> str:
    name, scope = ("td", "") if column else ("th", ' scope="row"')
    return f'<{name}{scope}{cell.kind} data-sort="{escape(str(cell.value))}">{cell.shown}</{name}>'


def _bar(share: float) -> str:
    return f'<span class="bar"><i style="width: {100 * min(max(share, 0), 1):.1f}%"></i></span>'
