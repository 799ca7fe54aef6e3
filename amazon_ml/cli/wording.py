"""Names of parameters in messages of the library, written as the options of the verb that was called.

The library puts the name of a parameter or a setting in backticks: `` `data.exclude` ``. Only here is known that a
person types ``--data.exclude`` in one verb and ``--exclude`` in another.
"""

import re
from collections.abc import Collection

_NAME = re.compile(r"`([a-z_]+(?:\.[a-z_]+)*)`")
#: Options of the verb that runs, without dashes.
_options: frozenset[str] = frozenset()


def use_options(names: Collection[str]) -> None:
    """Write names in messages as these options from now on."""
    global _options
    _options = frozenset(names)


def worded(text: str) -> str:
    """Write each name in backticks as an option of the verb, or plainly where the verb has no such option."""
    return _NAME.sub(lambda found: _word(found[1]), text)


def _word(name: str) -> str:
    short = name.removeprefix("data.")
    return next((f"--{one}" for one in (name, short) if one in _options), name)
