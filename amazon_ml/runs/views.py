"""Other views than those of the run, for one prediction."""

from dataclasses import replace
from pathlib import Path
from typing import get_args, overload

from amazon_ml.errors import InputError
from amazon_ml.models.config import Tta
from amazon_ml.runs.bundle import Blended, Bundle, Networks, open_bundle


def open_with_views(path: Path, tta: Tta | None) -> Bundle:
    """Open a run or a bundle as `open_bundle` does, with other views; see `with_views`."""
    bundle = open_bundle(path)
    return replace(bundle, networks=with_views(bundle.networks, tta))


@overload
def with_views(networks: Networks, tta: Tta | None) -> Networks: ...
@overload
def with_views(networks: Networks | Blended, tta: Tta | None) -> Networks | Blended: ...
def with_views(networks: Networks | Blended, tta: Tta | None) -> Networks | Blended:
    """Let networks predict with other views; None keeps those of the run.

    Parameters
    ----------
    networks
        The networks, or a blend. A rule that was tuned on their probabilities was tuned with the views of the run.
    tta
        ``none``, ``flips`` (4 views) or ``d4`` (8 views).

    Raises
    ------
    InputError
        For another name.
    """
    if tta is None:
        return networks
    if tta not in get_args(Tta):
        raise InputError(f"`tta` must be one of {', '.join(get_args(Tta))}, not {tta!r}", option="tta")
    if isinstance(networks, Blended):
        return replace(networks, members=tuple(with_views(member, tta) for member in networks.members))
    return replace(networks, model=replace(networks.model, tta=tta))
