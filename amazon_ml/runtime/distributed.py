"""Processes that train one network together: starting them, waiting for the first, and exchanging data.

Outside of `together`, and in it on one device, there is one process, and the functions here do nothing.
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

#: Longest wait for the first process, which reads or tunes alone; a process that dies is noticed at once.
_WAIT = timedelta(days=7)
#: Seconds in which a process may end by itself after another one failed.
_GRACE = 20
#: The same after the first process was killed.
_ALONE = 5
#: Variable with the number of the process that started this one.
_FIRST = "AMAZON_ML_FIRST_PROCESS"
#: Messages of gloo when another process is gone.
_LOST = ("Connection closed", "Connection reset", "Broken pipe", "Socket closed", "Connection refused", "remote peer")
_GONE = "another process of this job is gone; the reason may stand above"
#: The parent of this process when `end_without_first` was called.
_parent: int | None = None
#: Group for exchanges beside training, through main memory, whatever the devices.
_talk: dist.ProcessGroup | None = None


def rank() -> int:
    """Return the number of this process, counted from 0."""
    return dist.get_rank(_talk) if _talk else 0


def count() -> int:
    """Return the number of processes that work together."""
    return dist.get_world_size(_talk) if _talk else 1


def on_rank_zero(work: Callable[[], _T]) -> _T:
    """Call a function in the first process while the others wait; all return its result.

    If it fails there, the others end, too.
    """
    if not _talk:
        return work()
    given: list[Any] = [work() if rank() == 0 else None]
    with waiting.wait():
        dist.broadcast_object_list(given, src=0, group=_talk)
    result: _T = given[0]
    return result


def all_gather(part: _T) -> list[_T]:
    """Collect the values of all processes in each process, in the order of `rank`."""
    if not _talk:
        return [part]
    parts = [part] * count()
    with waiting.wait():
        dist.all_gather_object(parts, part, group=_talk)
    return parts


def all_reduce_max(number: int) -> int:
    """Return the largest number of all processes in each process."""
    if not _talk:
        return number
    largest = torch.tensor(int(number))
    with waiting.wait():
        dist.all_reduce(largest, op=dist.ReduceOp.MAX, group=_talk)
    return int(largest)


def gather_rows(index: torch.Tensor, *columns: torch.Tensor) -> list[torch.Tensor]:
    """Collect the rows of all processes in each process, in the order of their index.

    Parameters
    ----------
    index
        int64 of shape (rows,): the place of each row of this process.
    columns
        Tensors of shape (rows, …), on any device.

    Returns
    -------
    The index, and the columns on their devices, with all rows. With one process, they are not changed.
    """
    if not _talk:
        return [index, *columns]
    parts = all_gather([tensor.cpu() for tensor in (index, *columns)])
    whole = [torch.cat(column) for column in zip(*parts, strict=True)]
    order = torch.argsort(whole[0])
    return [tensor[order].to(own.device) for tensor, own in zip(whole, (index, *columns), strict=True)]


@torch.no_grad()
def broadcast(tensors: Iterable[torch.Tensor]) -> None:
    """Set tensors to their values in the first process."""
    if not _talk:
        return
    with waiting.wait():
        for tensor in tensors:
            dist.broadcast(tensor.detach(), src=0, group=_talk if tensor.device.type == "cpu" else None)


@contextmanager
def started(processes: int, command: Sequence[str], environment: Mapping[str, str]) -> Iterator[None]:
    """Run a command in one process for each device of this host; this process is the first.

    Parameters
    ----------
    processes
        Number of processes on this host, including this one.
    command
        Arguments of ``amazon-ml``.
    environment
        Variables by which the processes find each other.
    """
    former, over = dict(os.environ), threading.Event()
    os.environ.update(environment, LOCAL_RANK="0", LOCAL_WORLD_SIZE=str(processes))
    # With -P, since the current folder may hold files with names of modules.
    whole = [sys.executable, "-P", "-m", "amazon_ml.cli", *command]
    first = {_FIRST: str(os.getpid())}
    others = [subprocess.Popen(whole, env={**os.environ, **first, "LOCAL_RANK": str(n)}) for n in range(1, processes)]
    threading.Thread(target=_end_with, args=(others, over), daemon=True).start()
    try:
        with waiting.before_end(lambda _: _stop(others, seconds=0)):
            yield
    finally:
        over.set()
        _stop(others, _GRACE)
        os.environ.clear()
        os.environ.update(former)


def end_without_first() -> None:
    """End this process soon after the one that `started` it is gone: to wait for it could take half an hour."""
    global _parent
    if _FIRST in os.environ:
        _parent = os.getppid()
        threading.Thread(target=_end_alone, daemon=True).start()


def _end_alone() -> None:
    while not _is_alone():
        time.sleep(0.5)
    time.sleep(_ALONE)  # it may end by itself
    log.error(_GONE)
    os._exit(1)


def _is_alone() -> bool:
    """Whether the process that `started` this one is gone.

    It need not be the parent, where a program between them starts Python. A killed process exists until its own parent
    takes note; but its children get another parent at once.
    """
    if _FIRST not in os.environ:
        return False
    try:
        os.kill(int(os.environ[_FIRST]), 0)
    except ProcessLookupError:
        return True
    except PermissionError:
        pass
    return _parent is not None and os.getppid() != _parent


def _end_with(others: Sequence[subprocess.Popen[bytes]], over: threading.Event) -> None:
    """End this process after another one failed, if it does not end by itself: a wait for a GPU may have no end."""
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

    They end when all are done, or with the message and the status of the first failure.
    """
    global _talk
    with waiting.wait():
        _talk = dist.new_group(backend="gloo", timeout=_WAIT)
    if rank():
        logging.getLogger("amazon_ml").setLevel(logging.ERROR)  # the first logs for all
    try:
        store = _open_store()
        try:
            with waiting.before_end(lambda sign: _publish_status(store, sign)):
                yield
                on_rank_zero(lambda: None)
        except BaseException as error:
            _end(error, store)
    finally:
        _talk = None
        dist.destroy_process_group()


def _open_store() -> TCPStore:
    """Open the store of the first failure: it is in the first process, and works when collectives fail."""
    host, all_hosts = os.environ["MASTER_ADDR"], count()
    if rank() == 0:
        store = TCPStore(host, 0, all_hosts, is_master=True, wait_for_workers=False)
        on_rank_zero(lambda: store.port)
        return store
    port = on_rank_zero(lambda: 0)
    with waiting.wait():
        return TCPStore(host, port, all_hosts, is_master=False, timeout=timedelta(minutes=5))


def _publish_status(store: TCPStore, sign: signal.Signals) -> None:
    """Publish the status of this process, which a signal ends while it waits for the others."""
    leaving = threading.Thread(target=_first_failure, args=(store, waiting.status(sign)), daemon=True)
    leaving.start()
    leaving.join(1)  # if the first process does not answer, no process needs the status


def _first_failure(store: TCPStore, status: int) -> bool:
    """Store the exit status of a failure, unless there was one before; return whether it is the first."""
    if store.add("failures", 1) > 1:
        return False
    store.set("status", str(status))
    return True


def _end(error: BaseException, store: TCPStore) -> None:
    """Raise the error in the process that fails first, and `SystemExit` with the same status in the others."""
    try:
        with waiting.wait():
            status = None if _first_failure(store, _status(error)) else int(store.get("status"))
    except RuntimeError:  # the first process is gone: it logged the reason, or was killed
        agreed = isinstance(error, SystemExit)  # a stop, which all processes agree on, and the first one reports
        lost = isinstance(error, RuntimeError) and not _is_alone()
        status = 1 if lost else _status(error) if agreed else None
    if status is not None:
        raise SystemExit(status) from None
    if isinstance(error, RuntimeError) and any(sign in str(error) for sign in _LOST):
        raise WorkError(_GONE) from error
    raise error


def _status(error: BaseException) -> int:
    """Return the exit status of the command line for an error."""
    if isinstance(error, SystemExit):
        return error.code if isinstance(error.code, int) else int(error.code is not None)
    return 2 if isinstance(error, InputError) else 130 if isinstance(error, KeyboardInterrupt) else 1
