"""The exceptions that are shown to the user as one line, without a traceback."""

from collections.abc import Collection
from itertools import islice
from pathlib import Path
from typing import Any


class InputError(ValueError):
    """A call, a configuration or an input file is wrong.

    Its text is one sentence: where, what is wrong, and what to do. A parameter or a setting is named in backticks
    there; the command line writes it as an option, and exits with status 2.

    Parameters
    ----------
    problem
        What is wrong, with the value.
    file
        File that is wrong; None where it is none.
    line
        Line in that file, counted from 1; of a Parquet file the number of the row, and where several objects of JSON
        share a line, the number of the object.
    option
        Name of the parameter or the setting that is wrong or that the remedy changes, such as ``data.size``; empty
        where it is none.
    remedy
        What to do about it; empty where the problem says it.

    Examples
    --------
    >>> error = InputError("unknown tag 'primry'", file="labels.csv", line=7, remedy="did you mean 'primary'?")
    >>> str(error)
    "labels.csv, line 7: unknown tag 'primry'; did you mean 'primary'?"
    >>> error.line
    7
    """

    def __init__(
        self, problem: str, *, file: Path | str | None = None, line: int | None = None, option: str = "",
        remedy: str = "",
    ) -> None:  # fmt: skip
        self.problem, self.file, self.line, self.option, self.remedy = problem, file, line, option, remedy
        place = "" if file is None else f"{file}: " if line is None else f"{file}, {unit_of(file)} {line}: "
        super().__init__(f"{place}{problem}{remedy and f'; {remedy}'}")

    def __reduce__(self) -> tuple[Any, ...]:
        """Pickle the fields, too: errors of loader processes cross to the first."""
        fields = {"file": self.file, "line": self.line, "option": self.option, "remedy": self.remedy}
        return _again, (type(self), self.problem, fields)


#: What the numbers of some files count, where it is neither lines nor the rows of Parquet.
_UNITS: dict[str, str] = {}


def count_in(file: Path | str, unit: str) -> None:
    """Set what the numbers of lines of a file count, from now on: ``line``, or another word, such as ``object``."""
    _UNITS[str(file)] = unit


def unit_of(file: Path | str) -> str:
    """Give the word before the number of a line of a file."""
    return _UNITS.get(str(file)) or ("row" if str(file).lower().endswith(".parquet") else "line")


def _again(kind: type[InputError], problem: str, fields: dict[str, Any]) -> InputError:
    return kind(problem, **fields)


class NotSetUpError(InputError, AttributeError):
    """What is asked for is made later: an attribute that is not there, for ``hasattr`` and ``getattr``, too."""


def check_least(option: str, value: float | None, least: float, remedy: str = "") -> None:
    """Check that the number of an option is large enough; None passes.

    Raises
    ------
    InputError
        If it is too small.
    """
    if value is not None and value < least:
        raise InputError(f"`{option}` must be at least {least}, not {value}", option=option, remedy=remedy)


class WorkError(RuntimeError):
    """The call was right but the work could not be finished; status 1 on the command line.

    Examples
    --------
    >>> raise WorkError("the network's output is not finite")
    Traceback (most recent call last):
        ...
    amazon_ml.errors.WorkError: the network's output is not finite
    """


def listed(items: Collection[object]) -> str:
    """List the first four items for a message, and a mark where there are more."""
    return ", ".join(map(str, islice(items, 4))) + (" …" if len(items) > 4 else "")
