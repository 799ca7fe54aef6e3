"""The terminal, or a page of text where there is none."""

from typing import Any

from rich.console import Console
from rich.text import Text

from amazon_ml.cli.wording import worded
from amazon_ml.runtime.terminal import escaped

#: Wide enough for the tables where there is no terminal.
_PLAIN_WIDTH = 100


class _SafeConsole(Console):
    """Escapes what tags and file names would do to a terminal; rich itself lets escape sequences through."""

    def render_str(self, text: str, **options: Any) -> Text:
        return super().render_str(escaped(worded(text)), **options)


def console() -> Console:
    """Give the terminal, or a page wide enough for tables where there is none."""
    console = _SafeConsole(emoji=False)
    return console if console.is_terminal else _SafeConsole(emoji=False, width=_PLAIN_WIDTH)


def say(line: str) -> None:
    """Print a line as it is, without markup or line breaks of ours."""
    console().print(worded(line), highlight=False, markup=False, soft_wrap=True)
