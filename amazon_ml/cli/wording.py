"""Write names of parameters in messages of the library as options of the verb that runs.

The library puts the name of a parameter or a setting in backticks: `` `data.exclude` ``. This module knows that it is
``--data.exclude`` in one verb and ``--exclude`` in another.
"""

import re
from collections.abc import Collection

_NAME = re.compile(r"`([a-z_]+(?:\.[a-z_]+)*)`")
#: Options of the verb that runs, without dashes, and its positional parameters.
_options: frozenset[str] = frozenset()
_by_place: frozenset[str] = frozenset()


def use_options(names: Collection[str], by_place: Collection[str]) -> None:
    """Set the options of the verb that runs; positional parameters have no dashes in messages."""
    global _options, _by_place
    _options, _by_place = frozenset(names), frozenset(by_place)


def worded(text: str) -> str:
    """Write each name in backticks as an option; a setting without an option in this verb has no dashes."""
    return _NAME.sub(lambda found: _word(found[1]), text)


def _word(name: str) -> str:
    known = next((one for one in (name, name.removeprefix("data.")) if one in _options), None)
    if known:
        return f"--{known}"
    return (
        name if "." in name or name in _by_place else f"--{name}"
    )  # an option of another verb, such as --shard of predict
