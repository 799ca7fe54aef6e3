"""Secrets in options and addresses, which must not reach the files that a run or a map stores."""

import re
from collections.abc import Iterator, Mapping
from typing import Any
from urllib.parse import unquote_plus

_SECRET = re.compile(
    "(api|access|private)[_-]?key|token(?!i[sz])|passw|passphrase|pwd|secret|credential|authorization|cookie",
    re.IGNORECASE,
)
#: Further names in a query, which are common words elsewhere.
_SECRET_IN_QUERY = re.compile(r"(^|[_.-])(key|sig|signature|auth|pass|jwt)$", re.IGNORECASE)
#: Names and values of a query, also of one in the value of another.
_QUERY = re.compile(r"[?&;#=]\s*([^?&;#=\s]+)(?=\s*=\s*([^&;#\s]+))")
#: Stores name the key of a file in a query.
_KEY_OF_FILE = re.compile(r"(^|[_.-])key$", re.IGNORECASE)
_IMAGE = (".tif", ".tiff", ".jp2", ".j2k")
#: Scheme, user and password. A password may hold a slash: SQLAlchemy reads it up to the @.
_USER = re.compile(r"([\w.+-]*)://([^:/?#@\s]*)(:[^@\s]*)?@")
#: Scheme and all that stands before the last @ of a host, where a password holds another @.
_LAST_AT = re.compile(r"([\w.+-]*)://[^/?#\s'\"]*@")
_PORT = re.compile(r":\d*[/?#]")
_TOKEN = re.compile(r"(gh[opsur]_|github_pat_|glpat-|hf_|sk-|xox[a-z]-|dapi)\w{8}|(?=.*\d)[A-Za-z0-9]{32,}$")


def secrets_in(options: Mapping[str, Any]) -> Iterator[str]:
    """Give the names of options that hold a secret, such as ``settings.0.api_key``; dicts and lists are searched."""
    for name, value in _leaves(options):
        if _SECRET.search(name) or (isinstance(value, str) and has_secret(value)):
            yield name


def has_secret(text: str) -> bool:
    """Whether a text has an address with a secret: a password, a token, or a query with one.

    In an address of the web, a user is a secret even without a password, since tokens stand there. In others, such as
    those of databases, it is one only if it looks like a token.

    Examples
    --------
    >>> has_secret("postgresql://me@db/x"), has_secret("postgresql://me:hush@db/x"), has_secret("https://me@host")
    (False, True, True)
    """
    if "://" not in text:
        return False
    return any(_has_user(each) or _has_query(each) for each in {text, unquote_plus(text)})


def without_secrets(text: str) -> str:
    """Replace user and password of each address in a text, such as the message of an error, and secrets in queries.

    Examples
    --------
    >>> without_secrets("no answer from https://me:hush@host:5000/api?token=hush&x=1")
    'no answer from https://***@host:5000/api?token=***&x=1'
    """
    text = _LAST_AT.sub(r"\1://***@", text)
    text = _USER.sub(lambda match: match[0] if _PORT.match(match[3] or "") else f"{match[1]}://***@", text)
    secret = [match for match in _QUERY.finditer(text) if _SECRET.search(match[1]) or _SECRET_IN_QUERY.search(match[1])]
    for match in reversed(secret):
        text = f"{text[: match.start(2)]}***{text[match.end(2) :]}"
    return text


def _has_user(text: str) -> bool:
    for scheme, user, password in _USER.findall(text):
        is_web = scheme.lower() in ("http", "https")
        if is_web and _PORT.match(password):  # the @ stands in the path
            continue
        if len(password) > 1 or (user and is_web) or _TOKEN.match(user):
            return True
    return False


def _has_query(text: str) -> bool:
    for name, value in _QUERY.findall(text):
        if _SECRET.search(name):
            return True
        is_file = _KEY_OF_FILE.search(name) and value.lower().endswith(_IMAGE)
        if _SECRET_IN_QUERY.search(name) and not is_file:
            return True
    return False


def _leaves(value: Any, name: str = "") -> Iterator[tuple[str, Any]]:
    if isinstance(value, Mapping):
        inner = value.items()
    elif isinstance(value, list | tuple | set):
        inner = dict(enumerate(value)).items()
    else:
        yield name, value
        return
    for key, one in inner:
        yield from _leaves(one, f"{name}.{key}" if name else str(key))
