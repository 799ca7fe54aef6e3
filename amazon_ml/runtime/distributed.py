"""Processes that train one network together: starting them, waiting for the first, and having what all have.

Outside of `together`, and in it on one device, there is one process, and everything here comes to nothing.
"""

import logging
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import timedelta
from typing import Any, TypeVar

import torch
import torch.distributed as dist
from torch.distributed import TCPStore  # type: ignore[attr-defined]

from amazon_ml.errors import InputError, WorkError
from amazon_ml.runtime import waiting

log = logging.getLogger(__name__)

_T = TypeVar("_T")

#: The first works alone for as long as it takes to read, or to tune; one that dies is noticed at once all the same.
_WAIT = timedelta(days=7)
#: Seconds that a process has for ending by itself after another one failed.
_GRACE = 20
#: What gloo says, in one way or another, when a process at the other end is gone.
_LOST = ("Connection closed", "Connection reset", "Broken pipe", "Socket closed", "Connection refused", "remote peer")
_GONE = "another process of this job is gone; see above whether it said why"
#: How all processes talk to each other beside training, through main memory, whatever devices they train on.
_talk: dist.ProcessGroup | None = None


def rank() -> int:
    """Tell which of the processes this is, counted from 0."""
    return dist.get_rank(_talk) if _talk else 0


def count() -> int:
    """Tell how many processes work together."""
    return dist.get_world_size(_talk) if _talk else 1


def on_rank_zero(work: Callable[[], _T]) -> _T:
    """Do something in the first process while the others wait; all get what it gave.

    Where it fails there, the others end with it.
    """
    if not _talk:
        return work()
    given: list[Any] = [work() if rank() == 0 else None]
    with waiting.wait():
        dist.broadcast_object_list(given, src=0, group=_talk)
    result: _T = given[0]
    return result


def all_gather(part: _T) -> list[_T]:
    """Give all processes what each of them has, in the order of ranks."""
    if not _talk:
        return [part]
    parts = [part] * count()
    with waiting.wait():
        dist.all_gather_object(parts, part, group=_talk)
    return parts


def all_reduce_max(number: int) -> int:
    """Give all processes the largest of the numbers that they have."""
    if not _talk:
        return number
    largest = torch.tensor(int(number))
    with waiting.wait():
        dist.all_reduce(largest, op=dist.ReduceOp.MAX, group=_talk)
    return int(largest)


def gather_rows(index: torch.Tensor, *columns: torch.Tensor) -> list[torch.Tensor]:
    """Give all processes the rows that each of them has a share of, in the order of their index.

    Parameters
    ----------
    index
        int64 of shape (rows,): the place of each row of this process.
    columns
        Tensors of shape (rows, …), on any device.

    Returns
    -------
    The index, and the columns on the devices they came from, with all rows. With one process, they are as given.
    """
    if not _talk:
        return [index, *columns]
    parts = all_gather([tensor.cpu() for tensor in (index, *columns)])
    whole = [torch.cat(column) for column in zip(*parts, strict=True)]
    order = torch.argsort(whole[0])
    return [tensor[order].to(own.device) for tensor, own in zip(whole, (index, *columns), strict=True)]


@torch.no_grad()
def broadcast(tensors: Iterable[torch.Tensor]) -> None:
    """Set tensors to what they are in the first process."""
    if not _talk:
        return
    with waiting.wait():
        for tensor in tensors:
            dist.broadcast(tensor.detach(), src=0, group=_talk if tensor.device.type == "cpu" else None)


@contextmanager
def started(processes: int, command: Sequence[str], environment: Mapping[str, str]) -> Iterator[None]:
    """Have a command run in a process for each device of this host, of which this process is the first.

    Parameters
    ----------
    processes
        How many there are on this host, this one included.
    command
        Arguments of ``amazon-ml``.
    environment
        Variables by which the processes find each other.
    """
    former, over = dict(os.environ), threading.Event()
    os.environ.update(environment, LOCAL_RANK="0", LOCAL_WORLD_SIZE=str(processes))
    # With -P, since the current folder may hold files of the names of modules.
    whole = [sys.executable, "-P", "-m", "amazon_ml.cli", *command]
    others = [subprocess.Popen(whole, env={**os.environ, "LOCAL_RANK": str(n)}) for n in range(1, processes)]
    threading.Thread(target=_end_with, args=(others, over), daemon=True).start()
    try:
        with waiting.before_end(lambda _: _stop(others, seconds=0)):
            yield
    finally:
        over.set()
        _stop(others, _GRACE)
        os.environ.clear()
        os.environ.update(former)


def _end_with(others: Sequence[subprocess.Popen[bytes]], over: threading.Event) -> None:
    """End this process when another one failed, should it not do so by itself: a wait for a GPU may have no end."""
    while not over.wait(0.5):
        failed = [other.returncode for other in others if other.poll()]
        if failed and not over.wait(_GRACE):
            _stop(others, seconds=0)
            log.error(_GONE)
            os._exit(max(1, failed[0]))


def _stop(others: Iterable[subprocess.Popen[bytes]], seconds: float) -> None:
    end = time.monotonic() + seconds
    for other in others:
        try:
            other.wait(max(0.0, end - time.monotonic()))
        except subprocess.TimeoutExpired:
            other.kill()
            other.wait()


@contextmanager
def together() -> Iterator[None]:
    """Work in all processes of PyTorch's process group, which end together.

    They end when all are done, or with the message and the status of the first that fails.
    """
    global _talk
    with waiting.wait():
        _talk = dist.new_group(backend="gloo", timeout=_WAIT)
    if rank():
        logging.getLogger("amazon_ml").setLevel(logging.ERROR)  # the first says it for all
    try:
        store = _open_store()
        try:
            with waiting.before_end(lambda sign: _leave_word(store, sign)):
                yield
                on_rank_zero(lambda: None)
        except BaseException as error:
            _end(error, store)
    finally:
        _talk = None
        dist.destroy_process_group()


def _open_store() -> TCPStore:
    """Open what holds the first failure: it is in the first process, and can be asked when collectives fail."""
    host, all_hosts = os.environ["MASTER_ADDR"], count()
    if rank() == 0:
        store = TCPStore(host, 0, all_hosts, is_master=True, wait_for_workers=False)
        on_rank_zero(lambda: store.port)
        return store
    port = on_rank_zero(lambda: 0)
    with waiting.wait():
        return TCPStore(host, port, all_hosts, is_master=False, timeout=timedelta(minutes=5))


def _leave_word(store: TCPStore, sign: signal.Signals) -> None:
    """Tell the others the status of this process, which a signal ends while it waits for them."""
    leaving = threading.Thread(target=_first_failure, args=(store, waiting.status(sign)), daemon=True)
    leaving.start()
    leaving.join(1)  # where the first process does not answer, there is nobody to know


def _first_failure(store: TCPStore, status: int) -> bool:
    """Note the exit status of a failure, unless there was one before; tells whether it is the first."""
    if store.add("failures", 1) > 1:
        return False
    store.set("status", str(status))
    return True


def _end(error: BaseException, store: TCPStore) -> None:
    """Raise an error as it is in the process that fails first, and in the others an exit of the same status."""
    try:
        with waiting.wait():
            status = None if _first_failure(store, _status(error)) else int(store.get("status"))
    except RuntimeError:  # the first process is gone, and has said why, or was killed
        status = 1 if isinstance(error, RuntimeError) else None
    if status is not None:
        raise SystemExit(status) from None
    if isinstance(error, RuntimeError) and any(sign in str(error) for sign in _LOST):
        raise WorkError(_GONE) from error
    raise error


def _status(error: BaseException) -> int:
    """Exit status of the command line for an error."""
    if isinstance(error, SystemExit):
        return error.code if isinstance(error.code, int) else int(error.code is not None)
    return 2 if isinstance(error, InputError) else 130 if isinstance(error, KeyboardInterrupt) else 1
