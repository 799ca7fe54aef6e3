"""Faults of a tag table: one value for each, which training raises and `data check` lists."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

from amazon_ml.data.config import Split
from amazon_ml.errors import InputError, unit_of

#: The word before the number of a line, or before several.
_LINE = re.compile(r"(?:(?<=^)|(?<=[( ]))line(s?)(?= \d)")


class Row(NamedTuple):
    """One row of a tag table: tile, cell of tags without outer blanks, line, whether the CSV is intact there, split."""

    name: str
    cell: str
    line: int
    whole: bool = True
    split: Split | None = None


@dataclass(frozen=True)
class Fault:
    """One fault of a tag table.

    Parameters
    ----------
    kind
        Key of `amazon_ml.data.checks.findings.KINDS`.
    file
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
    file: Path
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
        item = self.item or f"{self.names[0] if self.names else 'the table'} (line {self.line}): {self.what}"
        return _with_rows(item, self.file)

    @property
    def error(self) -> InputError:
        """The fault as an exception; a summary of several faults stands at the line of the first."""
        problem = f"this is not a CSV that can be read: {self.what}" if self.unread else self.summary or self.what
        return InputError(_with_rows(problem, self.file), file=self.file, line=self.line, option=self.option,
                          remedy=self.remedy)  # fmt: skip


def _with_rows(text: str, file: Path) -> str:
    """Write row or object for line in a message on a table that has no lines."""
    if (unit := unit_of(file)) == "line":
        return text
    several = "entries" if unit == "entry" else f"{unit}s"
    return _LINE.sub(lambda found: several if found[1] else unit, text)


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
            more = f"({others} more in this table; amazon-ml data check lists all)"
            remedy = f"{error.remedy} {more}" if error.remedy else more
            error = InputError(error.problem, file=error.file, line=error.line, option=error.option, remedy=remedy)
        raise error
