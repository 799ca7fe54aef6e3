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
        Line in that file, counted from 1, or the number of what `unit` says.
    unit
        What `line` counts: ``line``; ``row`` in Parquet; ``object`` or ``entry`` in JSON where several share a line.
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
        self, problem: str, *, file: Path | str | None = None, line: int | None = None, unit: str = "line",
        option: str = "", remedy: str = "",
    ) -> None:  # fmt: skip
        self.problem, self.file, self.line, self.unit = problem, file, line, unit
        self.option, self.remedy = option, remedy
        place = "" if file is None else f"{file}: " if line is None else f"{file}, {unit} {line}: "
        super().__init__(f"{place}{problem}{remedy and f'; {remedy}'}")

    def advise(self, further: str, *, option: str = "") -> "InputError":
        """Return the same error with further advice, and with an option where it names none."""
        remedy = f"{self.remedy}; {further}" if self.remedy else further
        return InputError(self.problem, file=self.file, line=self.line, unit=self.unit, option=self.option or option,
                          remedy=remedy)  # fmt: skip

    def __reduce__(self) -> tuple[Any, ...]:
        """Pickle the fields, too: errors of loader processes cross to the first."""
        fields = {name: getattr(self, name) for name in ("file", "line", "unit", "option", "remedy")}
        return _again, (type(self), self.problem, fields)


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
