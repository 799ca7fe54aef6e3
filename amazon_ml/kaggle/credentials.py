"""Check the files of Kaggle's credentials: the official client silently skips files that it cannot read.

No message holds any part of their content.
"""

import json
import os
from collections.abc import Iterator
from pathlib import Path

from amazon_ml.errors import InputError

#: Keys of a file with a user name and a key.
_KEYS = ("username", "key")
_ANEW = "make a new one at https://www.kaggle.com/settings/api and save it as it is"
_BOM = b"\xef\xbb\xbf"


def check_files() -> None:
    """Refuse damaged files where there are no other credentials, and pipes, which the client would read for ever.

    Raises
    ------
    InputError
        With the damaged file.
    """
    for file in (*_key_files(), *_token_files()):
        if file.exists() and not file.is_file():
            raise InputError("this is no regular file", file=file, remedy=_ANEW)
    if not _signed_elsewhere() and (faults := find_faults()):
        raise InputError(faults)


def find_faults() -> str | None:
    """Describe the faults of existing files of credentials; None where there are none."""
    faults = [f"{file} {fault}" for file in _key_files() if (fault := _fault_of_key(file))]
    faults += [f"{file} {fault}" for file in _token_files() if (fault := _fault_of_token(file))]
    return f"{'; '.join(faults)}; {_ANEW}" if faults else None


def _signed_elsewhere() -> bool:
    """Whether a token or the environment takes precedence over a file with a user name and a key."""
    variables = os.environ
    pair = variables.get("KAGGLE_USERNAME") and variables.get("KAGGLE_KEY")
    return bool(variables.get("KAGGLE_API_TOKEN") or pair) or any(
        file.exists() and not _fault_of_token(file) for file in _token_files()
    )


def _key_files() -> Iterator[Path]:
    """List the files in which the client searches for a user name and a key."""
    named = os.environ.get("KAGGLE_CONFIG_DIR")
    home = Path("~").expanduser()
    others = Path(os.environ.get("XDG_CONFIG_HOME") or home / ".config")
    folders = [Path(named)] if named else [home / ".kaggle", others / "kaggle"]
    yield from (folder / "kaggle.json" for folder in folders)


def _token_files() -> Iterator[Path]:
    folder = Path("~").expanduser() / ".kaggle"
    yield from (folder / name for name in ("access_token", "access_token.txt"))


def _fault_of_key(path: Path) -> str | None:
    content, fault = _read(path)
    if content is None or fault:
        return fault
    try:
        held = json.loads(content)
    except (ValueError, RecursionError):
        return "is not JSON, or is incomplete"
    if not isinstance(held, dict):
        return "does not hold keys and values"
    missing = [key for key in _KEYS if not isinstance(held.get(key), str) or not held[key]]
    if missing:
        return f"lacks {' and '.join(missing)}"
    odd = [key for key in _KEYS if not held[key].isascii() or not held[key].isprintable() or " " in held[key]]
    return f"has characters in {' and '.join(odd)} that are not allowed there" if odd else None


def _fault_of_token(path: Path) -> str | None:
    content, fault = _read(path)
    if content is None or fault:
        return fault
    return None if len(content.split()) == 1 else "does not hold one token"


def _read(path: Path) -> tuple[str | None, str | None]:
    """Read a file of credentials: its text, None where there is no file, and its fault."""
    try:
        content = path.read_bytes()
        if content.startswith(_BOM):
            return None, "begins with a byte-order mark; save it as UTF-8 without one"
        return content.decode(), None if content.strip(b" \t\r\n\0") else "is empty"
    except FileNotFoundError:
        return None, None
    except OSError as error:
        return None, f"cannot be read ({error.strerror})"
    except UnicodeDecodeError:
        return None, "is not UTF-8"
