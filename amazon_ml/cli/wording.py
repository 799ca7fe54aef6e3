"""Names of parameters in messages of the library, written as the options of the verb that was called.

The library puts the name of a parameter or a setting in backticks: `` `data.exclude` ``. Only here is known that a
person types ``--data.exclude`` in one verb and ``--exclude`` in another.
"""

import re
from collections.abc import Collection

_NAME = re.compile(r"`([a-z_]+(?:\.[a-z_]+)*)`")
#: Options of the verb that runs, without dashes, and what it takes by place.
_options: frozenset[str] = frozenset()
_by_place: frozenset[str] = frozenset()


def use_options(names: Collection[str], by_place: Collection[str]) -> None:
    """Write names in messages as these options of the verb from now on; names that are given by place stay plain."""
    global _options, _by_place
    _options, _by_place = frozenset(names), frozenset(by_place)


def worded(text: str) -> str:
    """Write each name in backticks as an option; a setting that the verb has no option for stays plain."""
    return _NAME.sub(lambda found: _word(found[1]), text)


def _word(name: str) -> str:
    known = next((one for one in (name, name.removeprefix("data.")) if one in _options), None)
    if known:
        return f"--{known}"
    return name if "." in name or name in _by_place else f"--{name}"  # of another verb, such as --shard of predict
