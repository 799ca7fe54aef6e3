"""The exceptions that are shown to the user as one line, without a traceback."""

from collections.abc import Collection
from itertools import islice


class InputError(ValueError):
    """A call, a configuration or an input file is wrong.

    The message names the file, the row and the value where there are any, and says what to do.
    The command line prints it as a single line and exits with status 2.

    Parameters
    ----------
    message
        What is wrong, where, and what to do.
    option
        Name of the parameter or the setting that is wrong, such as ``data.size``; empty where it is none.
    """

    def __init__(self, message: str, *, option: str = "") -> None:
        super().__init__(message)
        self.option = option


class WorkError(RuntimeError):
    """The call was right but the work could not be finished; status 1 on the command line."""


def listed(items: Collection[object]) -> str:
    """List the first four items for a message, and a mark where there are more."""
    return ", ".join(map(str, islice(items, 4))) + (" …" if len(items) > 4 else "")
