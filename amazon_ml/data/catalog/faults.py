"""Faults of a tag table: one value for each, which training raises and `data check` lists."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

from amazon_ml.data.catalog.table_file import TableFile
from amazon_ml.data.config import Split
from amazon_ml.errors import InputError


class Row(NamedTuple):
    """One row of a tag table: tile, cell of tags without outer blanks, line, whether the CSV is intact there, split.

    The line is a number that `TableFile` names. The image ending of the name stands apart; ``""`` where it has none.
    """

    name: str
    cell: str
    line: int
    whole: bool = True
    split: Split | None = None
    ending: str = ""


@dataclass(frozen=True)
class Fault:
    """One fault of a tag table.

    Parameters
    ----------
    kind
        Key of `amazon_ml.data.checks.findings.KINDS`.
    table
        The table.
    line
        Line of the table.
    what
        The problem, with the value.
    remedy
        What to do about it; empty where the problem says it.
    names
        Tiles that have the fault.
    item
        Entry in the list of `data check`; tile, line and problem by default.
    summary
        The problem where one message covers all faults of a kind.
    unread
        Whether the CSV is broken at this line.
    option
        Name of the setting that the remedy changes; empty where it is none.
    """

    kind: str
    table: TableFile
    line: int
    what: str
    remedy: str
    names: tuple[str, ...] = ()
    item: str = ""
    summary: str = ""
    unread: bool = False
    option: str = ""

    @property
    def listed(self) -> str:
        """Entry in the list of `data check`."""
        name = self.names[0] if self.names else "the table"
        return self.item or f"{name} ({self.table.at(self.line)}): {self.what}"

    @property
    def error(self) -> InputError:
        """The fault as an exception; a summary of several faults stands at the line of the first."""
        problem = f"this is not a CSV that can be read: {self.what}" if self.unread else self.summary or self.what
        return self.table.error(problem, self.line, option=self.option, remedy=self.remedy)


@dataclass(frozen=True)
class Doubt:
    """The reason why a cell may not be read: a kind of fault, the problem, and the remedy."""

    kind: str
    what: str
    remedy: str


def raise_faults(faults: Sequence[Fault]) -> None:
    """Raise the first of some faults, with the number of the others.

    Raises
    ------
    InputError
        If there is a fault.
    """
    if faults:
        error, others = faults[0].error, len(faults) - 1
        if others:
            error = error.advise(f"amazon-ml data check lists {others} more in this table")
        raise error
