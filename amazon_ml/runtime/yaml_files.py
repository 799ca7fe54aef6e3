"""Reading YAML that anybody may have written: each fault is an `InputError` that names the file and the line."""

import copy
import re
from functools import lru_cache
from pathlib import Path
from typing import Any

from amazon_ml.errors import InputError
from amazon_ml.runtime.regular_files import check_regular

#: How deep lists and keys may lie in each other. The parsers of YAML call themselves for each level, and one written
#: in C ends the process where the stack does.
MAX_DEPTH = 100
#: Signs that begin a level at the start of a line, where blanks are all that is before them.
_BLOCK_SIGNS = re.compile(r"([ \t]*)((?:[-?][ \t]+)*)")
_BRACKETS = {"[": 1, "{": 1, "]": -1, "}": -1}
#: How many values aliases (``*name``) may add by repeating others.
_MOST_REPEATED = 10_000


def check_depth(text: str, source: str) -> None:
    """Refuse text whose lists and keys lie in each other by more than `MAX_DEPTH` levels, before it is parsed.

    Parameters
    ----------
    text
        YAML or JSON.
    source
        The file or the option that it comes from, for the message.

    Raises
    ------
    InputError
        With the line where the text becomes too deep.
    """
    depth = 0
    for place, sign in enumerate(text):
        depth = max(0, depth + _BRACKETS.get(sign, 0))
        if depth > MAX_DEPTH:
            raise _too_deep(source, text, place)
    _check_blocks(text, source)


def _check_blocks(text: str, source: str) -> None:
    """Do as `check_depth` for levels that indentation and signs at the start of a line make."""
    open_levels: list[tuple[int, int]] = []  # columns, and how many levels begin there
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
    """Read a YAML file with plain values only; an empty one is ``None``.

    Raises
    ------
    InputError
        Where there is no such file, it is no regular file, not UTF-8, not YAML, or nested too deep, and where aliases
        (``*name``) lead into a circle or multiply what is there.
    """
    return copy.deepcopy(_parsed(read_yaml_text(path), path))


@lru_cache(maxsize=32)
def _parsed(text: str, path: Path) -> Any:
    """Parse the text of a file; a command reads the configuration of its run twenty times, and parsing is slow."""
    import yaml

    try:
        loader = yaml.SafeLoader(text)
        node = loader.get_single_node()
        if node is None:
            return None
        _Counter(path).count(node)
        return loader.construct_document(node)
    except InputError:
        raise
    except yaml.YAMLError as error:
        raise InputError(f"{_where(path, error)} is not YAML: {_reason(error)}") from None
    except (RecursionError, ValueError) as error:  # such as a date that there is not
        raise InputError(f"{path} is not YAML: {str(error).splitlines()[0]}") from None


def read_yaml_text(path: Path) -> str:
    """Read the text of a YAML file, as `read_yaml` parses it."""
    check_regular(path)
    try:
        text = path.read_bytes().decode("utf-8-sig")
    except FileNotFoundError:
        raise InputError(f"there is no {path}") from None
    except OSError as error:
        raise InputError(f"cannot read {path}: {error.strerror}") from None
    except UnicodeDecodeError as error:
        raise InputError(f"{path} is not YAML: byte {error.start} is not UTF-8; save it as UTF-8") from None
    check_depth(text, str(path))
    return text


class _Counter:
    """Count what YAML holds once its aliases are followed, before a value is made for each.

    Parameters
    ----------
    path
        The file, for messages.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._inside: list[Any] = []
        self._counted: dict[Any, int] = {}

    def count(self, node: Any) -> int:
        """Count a node and all below it; an `InputError` for too many, and for a node below itself."""
        if node in self._inside:
            raise self._refused(node, "a value refers to itself by an alias (*name)")
        if node not in self._counted:
            if len(self._inside) > 2 * MAX_DEPTH:
                raise self._refused(node, f"aliases (*name) nest more than {MAX_DEPTH} levels deep")
            self._inside.append(node)
            parts = node.value if isinstance(node.value, list) else ()
            below = [one for part in parts for one in (part if isinstance(part, tuple) else (part,))]
            self._counted[node] = 1 + sum(map(self.count, below))
            self._inside.pop()
            if self._counted[node] - len(self._counted) > _MOST_REPEATED:
                raise self._refused(node, f"aliases (*name) repeat more than {_MOST_REPEATED:,} values")
        return self._counted[node]

    def _refused(self, node: Any, reason: str) -> InputError:
        return InputError(f"{self._path}, line {node.start_mark.line + 1}: {reason}; write the values out")


def _too_deep(source: str, text: str, place: int) -> InputError:
    line = text.count("\n", 0, place) + 1
    return InputError(f"{source}, line {line}: lists and keys are nested more than {MAX_DEPTH} levels deep")


def _where(path: Path, error: Any) -> str:
    mark = getattr(error, "problem_mark", None)
    return f"{path}, line {mark.line + 1}," if mark else str(path)


def _reason(error: Any) -> str:
    return getattr(error, "problem", None) or str(error).splitlines()[0]
