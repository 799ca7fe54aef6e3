"""Errors are asserted by their fields and the values in them, so that a sentence can be reworded without a test."""

import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import EllipsisType

import pytest

from amazon_ml.cli.main import main
from amazon_ml.errors import InputError


@contextmanager
def refused(
    *,
    file: Path | str | EllipsisType | None = ...,
    line: int | EllipsisType | None = ...,
    option: str | EllipsisType = ...,
    says: object = (),
    kind: type[InputError] = InputError,
) -> Iterator[pytest.ExceptionInfo[InputError]]:
    """Expect an `InputError`, and compare its fields. At least one of them is given.

    Parameters
    ----------
    file
        The file of the error: its path, or the last parts of it, such as its name. None where it has none.
    line
        The line in that file. None where it has none.
    option
        The parameter or setting that is wrong. Empty where it is none.
    says
        A value of the input, or a list, tuple or set of values: a tag, a number, a file, an option. Each is a word of
        the problem or the remedy. Prose does not belong here.
    kind
        Class of the error.

    Yields
    ------
    pytest.ExceptionInfo[InputError]
        The error, for what else there is to assert.
    """
    values = list(says) if isinstance(says, list | tuple | set) else [says]
    assert values or any(field not in (..., None, "") for field in (file, line, option)), "nothing tells this error"
    with pytest.raises(kind) as raised:
        yield raised
    error = raised.value
    if file is None or error.file is None:
        assert file is ... or error.file is file, error
    elif file is not ...:
        parts = Path(file).parts
        assert Path(error.file).parts[-len(parts) :] == parts, error
    assert line is ... or error.line == line, (error.line, error)
    assert option is ... or error.option == option, (error.option, error)
    for value in values:
        assert holds(f"{error.problem}\n{error.remedy}", value), (value, error)


def holds(text: str, *values: object) -> bool:
    """Whether each value is in a text as a word or words of its own: 3 is not in 13, -3, 3.5 or 1,003, nor a in a/b."""
    return all(re.search(_alone(str(value)), text) is not None for value in values)


def _alone(value: str) -> str:
    before = r"(?<![\w-])" if value[:1].isdigit() else r"(?<!\w)"  # 2 is not in -2, nor 1 in shard-1
    return rf"{before}(?<!\d[.,]){re.escape(value)}(?!\w|[.,]\d|/\w)"


def command_refused(capsys: pytest.CaptureFixture[str], *words: object, status: int = 2, alone: bool = False) -> str:
    """Call a command that must end with this status, and give its one message.

    Parameters
    ----------
    capsys
        The captured output.
    words
        The words of the command.
    status
        Its exit status.
    alone
        Whether the message is all that it prints to stderr: no warnings before it.

    Returns
    -------
    str
        The message, from ``amazon-ml:`` on.
    """
    capsys.readouterr()
    try:
        ended = main(list(map(str, words)))
    except SystemExit as left:
        ended = int(str(left.code))
    lines = capsys.readouterr().err.splitlines()
    messages = [line for line in lines if line.startswith("amazon-ml: ")]
    assert ended == status and len(messages) == 1 and "Traceback" not in "\n".join(lines), lines
    assert not alone or lines == messages, lines
    return messages[0]
