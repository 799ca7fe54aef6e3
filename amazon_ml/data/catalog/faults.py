"""What is wrong with a tag table: one value for each fault, which training raises and `data check` lists."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

from amazon_ml.errors import InputError


class Row(NamedTuple):
    """One row of a tag table: tile, cell of tags without outer blanks, line, and whether the CSV is whole there."""

    name: str
    cell: str
    line: int
    whole: bool = True


@dataclass(frozen=True)
class Fault:
    """One thing in a tag table that training refuses.

    Parameters
    ----------
    kind
        Key of `amazon_ml.data.checks.findings.KINDS`.
    line
        Line of the table.
    what
        What is wrong, with the value.
    remedy
        What to do about it.
    names
        Tiles that it is about.
    item
        What `data check` lists; `what` with tile and line by default.
    said
        The whole message where one names several faults of a kind at once.
    unread
        Whether the file as a CSV is broken there.
    """

    kind: str
    line: int
    what: str
    remedy: str
    names: tuple[str, ...] = ()
    item: str = ""
    said: str = ""
    unread: bool = False

    @property
    def listed(self) -> str:
        """How `data check` lists it."""
        return self.item or f"{self.names[0] if self.names else 'the table'} (line {self.line}): {self.what}"

    def message(self, table: Path) -> str:
        """Say it in one sentence, with the table and the line."""
        if self.said:
            return f"{table}: {self.said}"
        place = f"{table} is not a CSV that can be read: line" if self.unread else f"{table} line"
        return f"{place} {self.line}: {self.what}; {self.remedy}"


@dataclass(frozen=True)
class Doubt:
    """Why a cell is not read: a kind of fault, what was seen, and what to do about it."""

    kind: str
    what: str
    remedy: str


def raise_faults(table: Path, faults: Sequence[Fault]) -> None:
    """Raise the first of some faults, and say how many there are.

    Raises
    ------
    InputError
        Where there is one.
    """
    if faults:
        others = len(faults) - 1
        more = f" ({others} more in this table; amazon-ml data check lists all)" if others else ""
        raise InputError(faults[0].message(table) + more)
