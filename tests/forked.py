"""Commands in processes of their own that start at once: forked from one process that has imported what they need.

To import PyTorch, Lightning and timm takes a process seven seconds. `Forked` is used like `subprocess.Popen`: it has
a process number, signals, an environment and output of its own, and whoever ends it in whatever way sees that in
`returncode`. What only a new interpreter shows needs `subprocess`: what imports read from the environment (backends
of matplotlib, settings of the C library), how much memory a process takes, what becomes of the loaders that it starts
(`--data.num_workers`), and that the command can be started at all.
"""

import multiprocessing
import os
import runpy
import signal
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path

context = multiprocessing.get_context("forkserver")
# The server forks what it has imported itself: it must not have begun a thread, and importing begins none.
context.set_forkserver_preload(["amazon_ml.pipeline.train", "amazon_ml.runs.evaluate", "amazon_ml.runs.predict"])


class Forked:
    """A command of ``amazon-ml``, or a script, in a process of its own.

    Parameters
    ----------
    command
        Arguments of ``amazon-ml``; a first one that ends in ``.py`` is a script that runs instead.
    environment
        Its variables; those of this process where none are given.
    folder
        The current folder of the process; that of this process where none is given.
    """

    def __init__(
        self, command: Sequence[str], *, environment: Mapping[str, str] | None = None,
        folder: Path | None = None,
    ) -> None:  # fmt: skip
        self.args = list(command)
        opened = [tempfile.mkstemp(prefix=name) for name in ("stdout", "stderr")]
        for number, _ in opened:
            os.close(number)
        self._said = [Path(name) for _, name in opened]
        around = dict(os.environ if environment is None else environment)
        self._process = context.Process(target=_be, args=(self.args, around, str(folder or Path.cwd()), self._said))
        self._process.start()

    @property
    def pid(self) -> int:
        assert self._process.pid is not None
        return self._process.pid

    @property
    def returncode(self) -> int | None:
        return self._process.exitcode

    def poll(self) -> int | None:
        """Give the exit status, or none while it runs."""
        return self._process.exitcode

    def send_signal(self, sign: int) -> None:
        """Send a signal to a process that has not ended."""
        if self.poll() is None:
            os.kill(self.pid, sign)

    def kill(self) -> None:
        """End it at once."""
        self.send_signal(signal.SIGKILL)

    def wait(self, timeout: float | None = None) -> int:
        """Wait for its end, and give the exit status."""
        self._process.join(timeout)
        status = self._process.exitcode
        if status is None:
            raise subprocess.TimeoutExpired(self.args, timeout or 0.0)
        return status

    def communicate(self, timeout: float | None = None) -> tuple[str, str]:
        """Wait for its end, and give what it wrote."""
        self.wait(timeout)
        stdout, stderr = (path.read_text() for path in self._said)
        for path in self._said:
            path.unlink()
        return stdout, stderr


def run(
    command: Sequence[str], *, environment: Mapping[str, str] | None = None, folder: Path | None = None,
    timeout: float = 240,
) -> subprocess.CompletedProcess[str]:  # fmt: skip
    """Run a command to its end, as `subprocess.run` does."""
    process = Forked(command, environment=environment, folder=folder)
    try:
        stdout, stderr = process.communicate(timeout)
    finally:
        process.kill()
    return subprocess.CompletedProcess(process.args, process.wait(), stdout, stderr)


def _be(command: list[str], environment: dict[str, str], folder: str, said: Sequence[Path]) -> None:
    """Be the command, in the process that was forked."""
    os.chdir(folder)
    os.environ.clear()
    os.environ.update(environment)
    for number, path in zip((1, 2), said, strict=True):
        opened = os.open(path, os.O_WRONLY | os.O_APPEND)
        os.dup2(opened, number)
        os.close(opened)
    if command[0].endswith(".py"):
        sys.argv = command
        runpy.run_path(command[0], run_name="__main__")
    else:
        sys.argv = ["amazon-ml", *command]
        from amazon_ml.cli.main import main

        sys.exit(main())
