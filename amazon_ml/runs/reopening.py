"""What a predictor is in a pickle: the folder and the options of `Predictor.load`, and no networks."""

from collections.abc import Callable
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path
from typing import Any, Protocol

from amazon_ml.decisions.rules import rule_to_dict
from amazon_ml.errors import InputError
from amazon_ml.models.engines import Method
from amazon_ml.runs.bundle import Bundle
from amazon_ml.runs.inference import all_members
from amazon_ml.runs.predict import describe_blend

#: Predictors that a process keeps: a pool sends the same one with each of its tasks.
_KEPT = 4


@dataclass(frozen=True)
class Origin:
    """Where a predictor was loaded from, and what was there.

    Parameters
    ----------
    path
        The folder, absolute: another process may have another working directory.
    options
        Options of `Predictor.load` by name.
    state
        The decision, how members of a blend are joined and read tiles, and sizes and times of the weights, to find a
        change.
    """

    path: Path
    options: tuple[tuple[str, Any], ...]
    state: str = field(repr=False)


class Loaded(Protocol):
    """What was loaded from a folder: a predictor."""

    @property
    def bundle(self) -> Bundle:
        """The networks, how they read tiles, and the decision."""


def origin_of(path: Path, options: dict[str, Any], bundle: Bundle) -> Origin:
    """Describe where a predictor was loaded from."""
    return Origin(path.absolute(), tuple(sorted(options.items())), _state_of(bundle))


def _state_of(bundle: Bundle) -> str:
    """Describe the decision, how tiles are read, and the weights, without reading these."""
    members = all_members(bundle.networks)
    files = [file.stat() for member in members for file in member.weights]
    networks = [(member.model, member.size, member.read) for member in members]
    decision = [bundle.decision.tags, rule_to_dict(bundle.decision.rule), describe_blend(bundle.networks)]
    return repr([decision, networks, [(file.st_size, file.st_mtime_ns) for file in files]])


@lru_cache(maxsize=_KEPT)
def reopen(load: Callable[..., Loaded], origin: Origin, method: Method | None) -> Loaded:
    """Load a predictor in this process, or give the one that this process has loaded before.

    Parameters
    ----------
    load
        Loads one from a folder, such as `Predictor.load`.
    origin
        Where it was loaded from in another process.
    method
        What computes, where that is chosen already.

    Raises
    ------
    InputError
        If the folder cannot be read, or has changed since the predictor was loaded.
    """
    chosen = {} if method is None else {"engine": method.engine, "precision": method.precision}
    loaded = load(origin.path, **{**dict(origin.options), **chosen})
    if _state_of(loaded.bundle) != origin.state:
        raise InputError("the folder has changed since the predictor was loaded that another process wants to use here",
                         file=origin.path, remedy="call `Predictor.load` again")  # fmt: skip
    return loaded
