"""Reads YAML of unknown origin: each fault is an `InputError` with the file and the line."""

import copy
import re
from functools import lru_cache
from pathlib import Path
from typing import Any

from amazon_ml.errors import InputError
from amazon_ml.runtime.regular_files import cannot_read, check_regular, no_file

#: Largest depth of nested lists and keys. The parsers of YAML call themselves for each level, and a parser in C ends
#: the process when the stack is full.
MAX_DEPTH = 100
#: Signs that begin a level at the start of a line, with only blanks before them.
_BLOCK_SIGNS = re.compile(r"([ \t]*)((?:[-?][ \t]+)*)")
_BRACKETS = re.compile(r"[\[\]{}]")
#: Largest number of values that aliases (``*name``) may add by repetition.
_MOST_REPEATED = 10_000


def check_depth(text: str, source: str) -> None:
    """Check that lists and keys of a text are nested at most `MAX_DEPTH` levels deep, before it is parsed.

    Parameters
    ----------
    text
        YAML or JSON.
    source
        The file or the option of the text, for the message.

    Raises
    ------
    InputError
        If it is deeper, with the line.
    """
    depth = 0
    for bracket in _BRACKETS.finditer(text):
        depth = max(0, depth + (1 if bracket[0] in "[{" else -1))
        if depth > MAX_DEPTH:
            raise _too_deep(source, text, bracket.start())
    _check_blocks(text, source)


def _check_blocks(text: str, source: str) -> None:
    """Check as `check_depth` the levels that indentation and signs at the start of a line make."""
    open_levels: list[tuple[int, int]] = []  # columns, and numbers of levels that begin there
    place = 0
    for line in text.split("\n"):
        match = _BLOCK_SIGNS.match(line)
        if match and match.end() < len(line) and line[match.end()] != "#":
            column = len(match[1])
            while open_levels and open_levels[-1][0] >= column:
                open_levels.pop()
            open_levels.append((column, max(1, len(match[2].split()))))
            if sum(levels for _, levels in open_levels) > MAX_DEPTH:
                raise _too_deep(source, text, place)
        place += len(line) + 1


def read_yaml(path: Path) -> Any:
    """Read a YAML file with plain values only; an empty file gives ``None``.

    Raises
    ------
    InputError
        If there is no such file, it is no regular file, not UTF-8, not YAML, or nested too deep, or if aliases
        (``*name``) form a circle or repeat too many values.
    """
    text = read_yaml_text(path)
    try:
        return copy.deepcopy(_parsed(text))
    except InputError as error:
        raise InputError(error.problem, file=path, line=error.line, remedy=error.remedy) from None


@lru_cache(maxsize=32)
def _parsed(text: str) -> Any:
    """Parse the text of a file; cached, since a command reads the configuration of its run twenty times.

    The file is not part of it: that configuration is read under its temporary name, too. Errors name no file.
    """
    import yaml

    try:
        loader = yaml.SafeLoader(text)
        node = loader.get_single_node()
        if node is None:
            return None
        _Counter().count(node)
        return loader.construct_document(node)
    except InputError:
        raise
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        reason = getattr(error, "problem", None) or str(error).splitlines()[0]
        raise InputError(f"this is not YAML: {reason}", line=mark.line + 1 if mark else None) from None
    except (RecursionError, ValueError) as error:  # such as a date that does not exist
        raise InputError(f"this is not YAML: {str(error).splitlines()[0]}") from None


def read_yaml_text(path: Path) -> str:
    """Read the text of a YAML file, as `read_yaml` parses it."""
    check_regular(path)
    try:
        text = path.read_bytes().decode("utf-8-sig")
    except FileNotFoundError:
        raise no_file(path) from None
    except OSError as error:
        raise cannot_read(path, error) from None
    except UnicodeDecodeError as error:
        problem = f"this is not YAML: byte {error.start} is not UTF-8"
        raise InputError(problem, file=path, remedy="save it as UTF-8") from None
    check_depth(text, str(path))
    return text


class _Counter:
    """Counts the values of YAML with all aliases followed, before the values are made."""

    def __init__(self) -> None:
        self._inside: list[Any] = []
        self._counted: dict[Any, int] = {}

    def count(self, node: Any) -> int:
        """Count a node and all below it; an `InputError` if there are too many, or a node is below itself."""
        if node in self._inside:
            raise self._error(node, "a value refers to itself by an alias (*name)")
        if node not in self._counted:
            if len(self._inside) > 2 * MAX_DEPTH:
                raise self._error(node, f"aliases (*name) nest more than {MAX_DEPTH} levels deep")
            self._inside.append(node)
            parts = node.value if isinstance(node.value, list) else ()
            below = [one for part in parts for one in (part if isinstance(part, tuple) else (part,))]
            self._counted[node] = 1 + sum(map(self.count, below))
            self._inside.pop()
            if self._counted[node] - len(self._counted) > _MOST_REPEATED:
                raise self._error(node, f"aliases (*name) repeat more than {_MOST_REPEATED:,} values")
        return self._counted[node]

    def _error(self, node: Any, problem: str) -> InputError:
        return InputError(problem, line=node.start_mark.line + 1, remedy="write the values out")


def _too_deep(source: str, text: str, place: int) -> InputError:
    line = text.count("\n", 0, place) + 1
    return InputError(f"lists and keys are nested more than {MAX_DEPTH} levels deep", file=source, line=line)
