"""Text from outside on its way to a terminal or a log: what would command the terminal or forge a line is escaped."""

import logging
import re

#: Control characters, halves of surrogate pairs (bytes of a name that are not UTF-8), marks that end a line, and
#: marks that turn the direction of the text behind them.
_UNSAFE = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\ud800-\udfff\u2028\u2029\u202a-\u202e\u2066-\u2069]")


def escaped(text: str) -> str:
    r"""Write what no terminal may get as Python writes it, such as ``\x1b``; line breaks and tabs stay."""
    return _UNSAFE.sub(lambda found: found[0].encode("unicode_escape", "surrogatepass").decode("ascii"), text)


def one_line(text: str) -> str:
    r"""Do as `escaped`, and write line breaks as ``\n``."""
    return escaped(text).replace("\n", "\\n")


class SafeFormatter(logging.Formatter):
    """Keeps each record on a line of its own, whatever names and tags it repeats."""

    def formatMessage(self, record: logging.LogRecord) -> str:  # noqa: N802 (the name is logging's)
        """Format the message of a record, escaped."""
        record.message = one_line(record.message)
        return super().formatMessage(record)
