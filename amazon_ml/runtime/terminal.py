"""Escapes text from outside for a terminal or a log: control characters, and marks that would forge a line."""

import logging
import re

#: Control characters, surrogates (bytes of a name that are not UTF-8), marks that end a line, and marks that change
#: the direction of the text after them.
_UNSAFE = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\ud800-\udfff\u2028\u2029\u202a-\u202e\u2066-\u2069]")


def escaped(text: str) -> str:
    r"""Escape unsafe characters as Python does, such as ``\x1b``, except line breaks and tabs."""
    return _UNSAFE.sub(lambda found: found[0].encode("unicode_escape", "surrogatepass").decode("ascii"), text)


def one_line(text: str) -> str:
    r"""Escape as `escaped` does, and line breaks as ``\n``."""
    return escaped(text).replace("\n", "\\n")


class SafeFormatter(logging.Formatter):
    """Writes each record in one line, whatever names and tags it holds."""

    def formatMessage(self, record: logging.LogRecord) -> str:  # noqa: N802 (the name is logging's)
        """Format the message of a record, escaped."""
        record.message = one_line(record.message)
        return super().formatMessage(record)
