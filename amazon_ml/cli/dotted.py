"""Options whose value holds keys of keys: ``--loggers.wandb.project a --loggers.wandb.entity b`` gives both.

For jsonargparse, a second dotted word replaces the dictionary that the first one made, whether that came from another
word or from a file of ``--config``.
"""

from argparse import Action
from typing import Any, get_args, get_origin

from amazon_ml.settings import dict_values, put_inside


def merge_dotted(action: Action) -> None:
    """Let each dotted word of an option change one key, and keep the others; most options have no such keys."""
    kind = getattr(action, "_typehint", None)
    inner = dict_values(get_args(kind)[0] if get_origin(kind) is list else kind)
    if inner is Any or dict_values(inner):
        plain = type(action)
        own = {"__call__": _take, "anything": inner is Any, "plain": plain}
        action.__class__ = type(plain.__name__, (plain,), own)


def _take(self: Any, *args: Any, **options: Any) -> Any:
    """Take one word, as argparse does it: with the parser, the values so far, the value and the option."""
    option = str(args[3]) if len(args) == 4 else ""
    base = next((one for one in self.option_strings if option.startswith(f"{one}.")), None)
    head, dot, rest = option.removeprefix(f"{base}.").partition(".")
    if base is None or not dot:
        return self.plain.__call__(self, *args, **options)
    parser, values, text, _ = args
    earlier = values.get(self.dest)
    # jsonargparse reads a value as YAML only where its place has the type Any.
    self.plain.__call__(self, parser, values, text, f"{base}.{head}" if self.anything else option, **options)
    now = values.get(self.dest)
    if isinstance(now, dict):
        new = now[head] if self.anything else now[head][rest]
        before = earlier.get(head) if isinstance(earlier, dict) else None
        values.update({**now, head: put_inside(before, rest.split("."), new)}, self.dest)
    elif places := [place for place, one in enumerate(earlier or ()) if head in one]:  # a list: the step of that name
        steps = [dict(one) for one in earlier]
        steps[places[-1]][head] = put_inside(steps[places[-1]][head], rest.split("."), now[-1][head][rest])
        values.update(steps, self.dest)
    return None
