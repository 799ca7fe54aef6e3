"""Reading YAML that anybody may have written: each fault is an `InputError` that names the file and the line."""

import re
from pathlib import Path
from typing import Any

from amazon_ml.errors import InputError
from amazon_ml.regular import check_regular

#: How deep lists and keys may lie in each other. The parsers of YAML call themselves for each level, and one written
#: in C ends the process where the stack does.
MAX_DEPTH = 100
#: Signs that begin a level at the start of a line, where blanks are all that is before them.
_BLOCK_SIGNS = re.compile(r"^[ \t]*((?:[-?][ \t]+)*)", re.MULTILINE)
_BRACKETS = {"[": 1, "{": 1, "]": -1, "}": -1}


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
    for match in _BLOCK_SIGNS.finditer(text):
        if len(match[1].split()) > MAX_DEPTH:
            raise _too_deep(source, text, match.start(1))


def read_yaml(path: Path) -> Any:
    """Read a YAML file with plain values only; an empty one is ``None``.

    Raises
    ------
    InputError
        Where there is no such file, it is no regular file, not UTF-8, not YAML, or nested too deep.
    """
    import yaml

    text = read_yaml_text(path)
    try:
        return yaml.safe_load(text)
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


def _too_deep(source: str, text: str, place: int) -> InputError:
    line = text.count("\n", 0, place) + 1
    return InputError(f"{source}, line {line}: lists and keys are nested more than {MAX_DEPTH} levels deep")


def _where(path: Path, error: Any) -> str:
    mark = getattr(error, "problem_mark", None)
    return f"{path}, line {mark.line + 1}," if mark else str(path)


def _reason(error: Any) -> str:
    return getattr(error, "problem", None) or str(error).splitlines()[0]
