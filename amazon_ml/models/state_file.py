"""Reads the tensors of a file of weights: safetensors, or a PyTorch file without any other Python object."""

import pickle
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import safetensors.torch
import torch

from amazon_ml.errors import InputError
from amazon_ml.runtime.regular_files import cannot_read, check_regular

State = dict[str, torch.Tensor]

#: Keys of a training's file that hold the state of its network, in the order in which they are looked for.
_WRAPPERS = ("state_dict", "model", "teacher")


def check_weights_file(weights: str | None) -> None:
    """Check that ``model.weights`` is a regular file, or None."""
    if weights is None:
        return
    try:
        check_regular(Path(weights))
    except InputError as error:
        raise InputError(error.problem, file=weights, option="model.weights",
                         remedy="name a .safetensors file or a PyTorch state dict") from None  # fmt: skip
    if not Path(weights).is_file():
        raise InputError("there is no such file of weights", file=weights, option="model.weights")


def read_state(weights: str) -> State:
    """Read the tensors of a file by their keys.

    Parameters
    ----------
    weights
        A ``.safetensors`` file, or a file of ``torch.save`` that holds tensors in dicts: a state dict, or one under
        the key ``state_dict``, ``model`` or ``teacher``. Code in such a file is never run.

    Raises
    ------
    InputError
        If the file is missing, damaged, or holds other objects.
    """
    check_weights_file(weights)
    try:
        if weights.endswith(".safetensors"):
            return safetensors.torch.load_file(weights)
        content = torch.load(weights, map_location="cpu", weights_only=True)
    except pickle.UnpicklingError as error:
        raise _cannot_read(weights, f"it holds Python objects, which are not read, or is damaged ({_first(error)})",
                           "save its tensors alone: torch.save(network.state_dict(), FILE)") from None  # fmt: skip
    except OSError as error:
        broken = cannot_read(weights, error)
        raise InputError(broken.problem, file=weights, option="model.weights", remedy=broken.remedy) from None
    except Exception as error:  # torch.load raises many types of errors for broken files
        raise _cannot_read(weights, f"it is damaged ({_first(error)})", "download it again") from None
    state = _tensors(content)
    if not state:
        problem = "it holds no tensors by their names"
        raise _cannot_read(weights, problem, "name a .safetensors file or a PyTorch state dict")
    return state


def _tensors(content: Any) -> State:
    """Find the state of a network: the dict itself, or one in it."""
    if not isinstance(content, Mapping):
        return {}
    for key in _WRAPPERS:
        if isinstance(content.get(key), Mapping):
            return _tensors(content[key])
    return {str(key): value for key, value in content.items() if isinstance(value, torch.Tensor)}


def _cannot_read(weights: str, problem: str, remedy: str) -> InputError:
    return InputError(f"cannot read the weights: {problem}", file=weights, option="model.weights", remedy=remedy)


def _first(error: Exception) -> str:
    lines = str(error).strip().splitlines()
    return lines[0][:120] if lines else type(error).__name__
