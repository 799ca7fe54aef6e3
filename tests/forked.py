"""Commands in processes of their own that start at once: forked from one process that has imported what they need.

To import PyTorch, Lightning and timm takes a process seven seconds. `Forked` is used like `subprocess.Popen`: it has
a process number, signals, an environment and output of its own, and whoever ends it in whatever way sees that in
`returncode`. `called` does so with a function. `python` gives a program that stands in for Python's interpreter where
other programs (Slurm, torchrun, the command itself) start it: it forks such a process, passes signals on to it, and
ends as it does.

A process that is forked early (``early=True``) has imported PyTorch and the like, but nothing of this package, nor of
Lightning, timm, torchvision and matplotlib: for tests of what their imports read from the environment, and of the order
of imports. What only a new interpreter shows needs `subprocess`: settings of the C library, and that the command can be
started at all.

The process that forks is started at the first use, or before the workers of pytest-xdist, which share it, and which it
forks, too. It ends with the process that started it. It is a new interpreter that imports every module of the package,
one after the other; `printed_by_imports` gives what it printed meanwhile.
"""

import atexit
import contextlib
import ctypes
import functools
import gc
import importlib
import os
import pickle
import runpy
import selectors
import signal
import socket
import struct
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NoReturn

#: Here lie the sockets of the processes that fork.
ADDRESS = "AMAZON_ML_FORKS"
#: What processes that are forked early have imported. Neither it nor what follows begins a thread, which a fork would
#: lose; but for one of Arrow's allocator, which takes care of that.
EARLY = (
    "torch._dynamo", "torch.distributed.run", "torch.utils.tensorboard", "pandas", "pyarrow.parquet", "scipy.signal",
    "sklearn.linear_model", "sklearn.model_selection", "numba.typed", "jsonargparse", "pydantic", "rasterio", "rich",
)  # fmt: skip
#: What is imported at its first use only, after the package; and what modules of tests import.
LATE = ("iterstrat.ml_stratifiers", "pytorch_grad_cam", "matplotlib.backends.backend_agg", "conftest")
#: The variable of the fixture `without_pages`, for commands that are forked, and for what they start.
WITHOUT_PAGES = "AMAZON_ML_TESTS_WITHOUT_PAGES"
#: Seconds that commands which are forked wait for before they begin, and before each step of training: so work takes
#: longer, which a test signals, without work for the processor.
WAIT_AT_START = "AMAZON_ML_TESTS_WAIT_AT_START"
WAIT_AT_STEPS = "AMAZON_ML_TESTS_WAIT_AT_STEPS"
#: Python's interpreter; in a process that is forked, `sys.executable` may name a stand-in.
PYTHON = sys.executable
#: What a stand-in passes on.
SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGUSR1, signal.SIGUSR2)
_NUMBER = struct.Struct("!i")
_NEW_NETWORK = 0x40000000  # CLONE_NEWNET


@dataclass(frozen=True)
class _Work:
    """What a process is to be: Python's own arguments (``-m module …``, ``-c code …``, a script), or a function."""

    arguments: Sequence[str]
    environment: Mapping[str, str]
    folder: str
    executable: str
    new_session: bool = False
    early: bool = False
    #: A function and its arguments, as a pickle: its module is imported in the process.
    call: bytes = b""


class _Child:
    """A process that was forked, seen from the one that requested it. It is killed when this is gone."""

    def __init__(self, address: str, work: _Work, files: Sequence[int]) -> None:
        self._socket = socket.socket(socket.AF_UNIX)
        self._socket.connect(f"{address}.early" if work.early else address)
        content = pickle.dumps(work.__dict__)  # not the class, whose module has another name in the one that forks
        socket.send_fds(self._socket, [_NUMBER.pack(len(content))], files)
        self._socket.sendall(content)
        self.pid = self._number()
        self.status: int | None = None

    def wait(self, timeout: float | None = None) -> int | None:
        """Wait for the exit status; none where it still runs."""
        if self.status is None:
            self._socket.settimeout(timeout)
            with contextlib.suppress(TimeoutError, BlockingIOError):
                self.status = os.waitstatus_to_exitcode(self._number())
        return self.status

    def _number(self) -> int:
        content = self._socket.recv(_NUMBER.size, socket.MSG_WAITALL)
        if not content:
            raise RuntimeError("the process that forks is gone")
        number: int = _NUMBER.unpack(content)[0]
        return number


# ---------------------------------------------------------------- for tests


class Forked:
    """A command of ``amazon-ml``, or a script, in a process of its own.

    Parameters
    ----------
    command
        Arguments of ``amazon-ml``; a first one that ends in ``.py`` is a script that runs instead, and a first one
        that is an option is one of Python's (``-m``, ``-c``).
    environment
        Its variables; those of this process where none are given.
    folder
        The current folder of the process; that of this process where none is given.
    new_session
        Whether it is the first process of a session of its own, to which signals can be sent as a whole.
    fast_python
        Whether what it starts with Python's interpreter is forked, too.
    early
        Whether it is forked before this package, Lightning, timm, torchvision and matplotlib are imported.
    """

    def __init__(
        self, command: Sequence[str], *, environment: Mapping[str, str] | None = None, folder: Path | None = None,
        new_session: bool = False, fast_python: bool = False, early: bool = False, call: bytes = b"",
    ) -> None:  # fmt: skip
        self.args = list(command)
        is_python = not command or command[0].startswith("-") or command[0].endswith(".py")
        whole = self.args if is_python else ["-P", "-m", "amazon_ml.cli", *command]
        around = dict(os.environ if environment is None else environment)
        executable = str(python()) if fast_python else sys.executable
        self._said = [tempfile.TemporaryFile("w+") for _ in range(2)]  # noqa: SIM115 (open as long as the process)
        with Path(os.devnull).open() as nothing:
            files = [nothing.fileno(), *(file.fileno() for file in self._said)]
            work = _Work(whole, around, str(folder or Path.cwd()), executable, new_session, early, call)
            self._child = _Child(_address(), work, files)
        self.pid = self._child.pid

    @property
    def returncode(self) -> int | None:
        return self._child.status

    def poll(self) -> int | None:
        """Give the exit status, or none while it runs."""
        return self._child.wait(0)

    def send_signal(self, sign: int) -> None:
        """Send a signal to a process that has not ended."""
        if self.poll() is None:
            os.kill(self.pid, sign)

    def kill(self) -> None:
        """End it at once."""
        self.send_signal(signal.SIGKILL)

    def wait(self, timeout: float | None = None) -> int:
        """Wait for its end, and give the exit status."""
        status = self._child.wait(timeout)
        if status is None:
            raise subprocess.TimeoutExpired(self.args, timeout or 0.0)
        return status

    def communicate(self, timeout: float | None = None) -> tuple[str, str]:
        """Wait for its end, and give what it wrote."""
        self.wait(timeout)
        for file in self._said:
            file.seek(0)
        stdout, stderr = (file.read() for file in self._said)
        return stdout, stderr


def run(
    command: Sequence[str], *, environment: Mapping[str, str] | None = None, folder: Path | None = None,
    timeout: float = 240, fast_python: bool = False, early: bool = False,
) -> subprocess.CompletedProcess[str]:  # fmt: skip
    """Run a command to its end, as `subprocess.run` does."""
    process = Forked(command, environment=environment, folder=folder, fast_python=fast_python, early=early)
    try:
        stdout, stderr = process.communicate(timeout)
    finally:
        process.kill()
    return subprocess.CompletedProcess(process.args, process.wait(), stdout, stderr)


def called(function: Callable[..., object], *arguments: Any) -> Forked:
    """Call a function of a module of tests in a process of its own."""
    return Forked([], call=pickle.dumps((function, arguments)))


def start_for_workers() -> None:
    """Start the process that forks, which workers of pytest-xdist share."""
    _address()


def printed_by_imports() -> str:
    """Give what was printed while the process that forks imported every module of the package."""
    assert run(["-c", ""]).returncode == 0  # it forks when it has imported them
    return Path(_address()).with_name("printed").read_text()


@functools.cache
def python() -> Path:
    """Write a program that stands in for Python's interpreter; it lies beside the socket."""
    path = Path(_address()).with_name(f"python-{os.getpid()}")
    lines = [f"#!{sys.executable} -IS", "import sys", f"sys.path.insert(0, {str(Path(__file__).parent)!r})",
             "import forked", f"forked._stand_in({_address()!r})"]  # fmt: skip
    path.write_text("\n".join(lines) + "\n")
    path.chmod(0o755)
    return path


def _address() -> str:
    """Find the socket of the process that forks, which is started where there is none."""
    if ADDRESS not in os.environ:
        folder = tempfile.TemporaryDirectory(prefix="forks-")
        address = str(Path(folder.name) / "socket")
        listening = [socket.socket(socket.AF_UNIX) for _ in range(2)]
        for each, name in zip(listening, (f"{address}.early", address), strict=True):
            each.bind(name)
            each.listen(64)  # whoever connects before it is ready waits
        own_end, its_end = socket.socketpair()
        ends = [each.fileno() for each in (*listening, its_end)]
        with Path(address).with_name("printed").open("w") as printed:
            subprocess.Popen(
                [sys.executable, __file__, *map(str, ends)], start_new_session=True, pass_fds=ends,
                stdin=subprocess.DEVNULL, stdout=printed, stderr=printed,
                env={**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))},
            )  # fmt: skip
        its_end.close()
        _kept.extend((folder, own_end))
        os.environ[ADDRESS] = address
    return os.environ[ADDRESS]


#: As long as they live, so does the process that forks.
_kept: list[object] = []


def _stand_in(address: str) -> None:
    """Be the interpreter for the arguments of this process: by a process that is forked, and by its signals and end."""
    work = _Work(sys.argv[1:], dict(os.environ), str(Path.cwd()), sys.argv[0])
    came: list[int] = []
    child: list[_Child] = []

    def pass_on(number: int, _: object) -> None:
        came.append(number)
        if child:
            os.kill(child[0].pid, came.pop())

    for sign in SIGNALS:
        if signal.getsignal(sign) is not signal.SIG_IGN:
            signal.signal(sign, pass_on)
    network = os.open("/proc/self/ns/net", os.O_RDONLY)
    child.append(_Child(address, work, (0, 1, 2, network)))
    for number in came:
        os.kill(child[0].pid, number)
    status = child[0].wait()
    assert status is not None
    if status < 0:
        if -status != signal.SIGKILL:
            signal.signal(-status, signal.SIG_DFL)
        os.kill(os.getpid(), -status)
    os._exit(status)


# ---------------------------------------------------------------- the process that forks


def _prepare(early: socket.socket, listening: socket.socket, owner: socket.socket) -> Callable[[], None]:
    """Import, and serve: the early requests in a process of their own. Returns in forked processes only."""
    for module in EARLY:
        importlib.import_module(module)
    if os.fork() == 0:
        listening.close()
        return _serve(early, owner)
    early.close()
    for module in (*_modules(Path(__file__).parents[1] / "amazon_ml"), *LATE):
        importlib.import_module(module)
    _compile()
    _make_parsers()
    return _serve(listening, owner)


def _modules(package: Path) -> list[str]:
    """Name all modules of a package."""
    paths = [path.relative_to(package.parent).with_suffix("") for path in sorted(package.rglob("*.py"))]
    return [".".join(path.parts).removesuffix(".__init__") for path in paths]


def _compile() -> None:
    """Compile what Numba compiles at its first call in a process, in two seconds."""
    import numpy as np
    import torch

    from amazon_ml.data.augment.symmetry import gather
    from amazon_ml.models.preprocess import normalise

    tiles = torch.zeros((1, 8, 8, 3), dtype=torch.uint8)
    normalise(tiles, torch.zeros(3), torch.ones(3))
    gather(tiles.numpy(), np.zeros(1, dtype=np.int64), np.zeros(1, dtype=np.uint8))


def _make_parsers() -> None:
    """Make the parsers of all verbs, which a process keeps."""
    from amazon_ml.cli.main import _imported
    from amazon_ml.cli.signature import parser_of
    from amazon_ml.cli.verbs import VERBS

    for name, verb in VERBS.items():
        parser_of(name, _imported(verb.target), tuple(verb.positionals))


def _serve(listening: socket.socket, owner: socket.socket) -> Callable[[], None]:
    """Fork a process for each request; returns in these processes only, with what to do there."""
    gc.freeze()
    ended_r, ended_w = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)
    signal.signal(signal.SIGCHLD, lambda *_: None)
    signal.set_wakeup_fd(ended_w, warn_on_full_buffer=False)
    ready = selectors.DefaultSelector()
    for each in (listening, owner, ended_r):
        ready.register(each, selectors.EVENT_READ)
    asking: dict[int, socket.socket] = {}
    while True:
        for key, _ in ready.select():
            if key.fileobj is owner:
                for pid in asking:
                    os.kill(pid, signal.SIGKILL)
                os._exit(0)
            elif key.fileobj is ended_r:
                os.read(ended_r, 4096)
                _tell_ends(asking, ready)
            elif key.fileobj is listening:
                connection, _ = listening.accept()
                head, files, _, _ = socket.recv_fds(connection, _NUMBER.size, 8)
                if not head:
                    continue
                length: int = _NUMBER.unpack(head)[0]
                work = _Work(**pickle.loads(connection.recv(length, socket.MSG_WAITALL)))
                pid = os.fork()
                if pid == 0:
                    if work.new_session:
                        os.setsid()
                    with contextlib.suppress(OSError):
                        connection.sendall(_NUMBER.pack(os.getpid()))
                    signal.set_wakeup_fd(-1)
                    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
                    ready.close()
                    for open_here in (listening, owner, connection, *asking.values()):
                        open_here.close()
                    for pipe in (ended_r, ended_w):
                        os.close(pipe)
                    return _become(work, files)
                for file in files:
                    os.close(file)
                asking[pid] = connection
                ready.register(connection, selectors.EVENT_READ, pid)
            elif key.data in asking:  # nothing more is asked for: whoever requested the process is gone
                ready.unregister(key.fileobj)
                os.kill(key.data, signal.SIGKILL)


def _tell_ends(asking: dict[int, socket.socket], ready: selectors.BaseSelector) -> None:
    """Tell those who asked for processes with which status they ended."""
    while True:
        try:
            pid, status = os.waitpid(-1, os.WNOHANG)
        except ChildProcessError:
            return
        if pid == 0:
            return
        connection = asking.pop(pid)
        with contextlib.suppress(OSError):
            connection.sendall(_NUMBER.pack(status))
        with contextlib.suppress(KeyError):
            ready.unregister(connection)
        connection.close()


def _become(work: _Work, files: list[int]) -> Callable[[], None]:
    """Take over the surroundings of a process in the one that was forked; returns what it does."""
    if len(files) > 3:
        if not os.path.sameopenfile(files[3], network := os.open("/proc/self/ns/net", os.O_RDONLY)):
            libc = ctypes.CDLL(None, use_errno=True)
            assert libc.setns(files[3], _NEW_NETWORK) == 0, os.strerror(ctypes.get_errno())
        os.close(network)
    for number, file in enumerate(files[:3]):
        os.dup2(file, number)
    for file in files:
        os.close(file)
    # New ones, since those of the process that forks believe that they are files, not pipes.
    sys.stdin = open(0, closefd=False)  # noqa: SIM115
    sys.stdout = open(1, "w", closefd=False)  # noqa: SIM115
    sys.stderr = open(2, "w", buffering=1, errors="backslashreplace", closefd=False)  # noqa: SIM115
    os.chdir(work.folder)
    os.environ.clear()
    os.environ.update(work.environment)
    sys.executable = work.executable
    if WITHOUT_PAGES in os.environ:
        import conftest
        import pytest

        conftest.leave_out_drawings(pytest.MonkeyPatch())
    if WAIT_AT_STEPS in os.environ:
        import conftest
        import pytest

        conftest.wait_at_steps(pytest.MonkeyPatch(), float(os.environ[WAIT_AT_STEPS]))
    time.sleep(float(os.environ.get(WAIT_AT_START, "0")))
    if work.call:
        return lambda: _call(work.call)
    return lambda: _run(list(work.arguments))


def _call(content: bytes) -> None:
    function, arguments = pickle.loads(content)
    function(*arguments)


def _run(words: list[str]) -> None:
    """Do what Python does with these arguments."""
    while words[0] in ("-P", "-u", "-B"):
        words.pop(0)
    match words:
        case ["-m", module, *_]:
            sys.argv = words[1:]
            runpy.run_module(module, run_name="__main__", alter_sys=True)
        case ["-c", code, *_]:
            sys.argv = ["-c", *words[2:]]
            exec(code, {"__name__": "__main__"})
        case [script, *_]:
            sys.argv = words
            sys.path.insert(0, str(Path(script).parent))
            runpy.run_path(script, run_name="__main__")


def _end(status: object) -> NoReturn:
    """End this process as the interpreter does, but for taking every module apart, in half a second."""
    if not isinstance(status, int | None):
        print(status, file=sys.stderr)
        status = 1
    threading._shutdown()  # type: ignore[attr-defined]  # waits for threads
    atexit._run_exitfuncs()
    with contextlib.suppress(BrokenPipeError):
        sys.stdout.flush()
        sys.stderr.flush()
    os._exit((status or 0) & 0xFF)


if __name__ == "__main__":
    _do = _prepare(*(socket.socket(fileno=int(number)) for number in sys.argv[1:]))
    try:
        _do()
    except SystemExit as ended:
        _end(ended.code)
    _end(None)
