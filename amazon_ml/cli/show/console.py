"""The console that results are printed on."""

from typing import Any

from rich.console import Console
from rich.text import Text

from amazon_ml.cli.wording import worded
from amazon_ml.runtime.terminal import escaped

#: Characters in a line where there is no terminal: wide enough for the tables.
_PLAIN_WIDTH = 100


class _SafeConsole(Console):
    """A console that escapes control characters in tags and file names; rich itself prints them."""

    def render_str(self, text: str, **options: Any) -> Text:
        return super().render_str(escaped(worded(text)), **options)


def console() -> Console:
    """Give the console of the terminal, or one that is wide enough for tables where there is none."""
    console = _SafeConsole(emoji=False)
    return console if console.is_terminal else _SafeConsole(emoji=False, width=_PLAIN_WIDTH)


def print_line(line: str) -> None:
    """Print a line as it is, without markup and without wrapping."""
    console().print(worded(line), highlight=False, markup=False, soft_wrap=True)
