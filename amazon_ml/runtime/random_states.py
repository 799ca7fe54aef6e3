"""Keeps the random numbers of a caller as they are, while a network is trained with seeds of its own."""

import os
import random
import threading
from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np
import torch

from amazon_ml.errors import InputError

#: Variables of the environment that Lightning's `seed_everything` sets.
_SEEDS = ("PL_GLOBAL_SEED", "PL_SEED_WORKERS")


@contextmanager
def kept_random_states() -> Iterator[None]:
    """Put the random states of Python, NumPy and PyTorch, and the seed of Lightning, back at the end of a block.

    Inside, nothing is different. A GPU that was not used before is left alone, since reading its state would start it
    in a process that may still start others.

    Raises
    ------
    InputError
        If another thread of this process is in such a block: both would draw from the same states, and train other
        networks than each alone.
    """
    lock = _lock
    if not lock.acquire(blocking=False):
        raise InputError("another thread of this process trains a network, and both would use the same random numbers",
                         remedy="train one after the other, or each in a process of its own")  # fmt: skip
    try:
        with _kept():
            yield
    finally:
        lock.release()


#: Held by the thread that trains.
_lock = threading.RLock()


def _free_lock() -> None:
    """Make a new lock in a forked process: no thread of it would release the former one."""
    global _lock
    _lock = threading.RLock()


os.register_at_fork(after_in_child=_free_lock)


@contextmanager
def _kept() -> Iterator[None]:
    """Put the states back at the end of a block."""
    python, numpy, cpu = random.getstate(), np.random.get_state(), torch.get_rng_state()  # noqa: NPY002
    used = torch.cuda.is_initialized()  # type: ignore[no-untyped-call]
    gpus = torch.cuda.get_rng_state_all() if used else None
    seeds = {name: os.environ.get(name) for name in _SEEDS}
    try:
        yield
    finally:
        random.setstate(python)
        np.random.set_state(numpy)  # noqa: NPY002
        torch.set_rng_state(cpu)
        if gpus is not None:
            torch.cuda.set_rng_state_all(gpus)
        for name, value in seeds.items():
            if value is None:
                os.environ.pop(name, None)
            else:
                os.environ[name] = value
