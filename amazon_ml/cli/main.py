"""The entry point of ``amazon-ml VERB``. The module of a verb is imported only when the verb is called."""

import difflib
import importlib
import io
import logging
import os
import re
import signal
import sys
import warnings
from collections.abc import Callable, Sequence
from typing import Any

from amazon_ml.cli.verbs import VERBS
from amazon_ml.cli.wording import use_options, worded
from amazon_ml.errors import InputError, WorkError
from amazon_ml.runtime import preemption
from amazon_ml.runtime.terminal import SafeFormatter, escaped
from amazon_ml.version import __version__

#: Verbs that resume an interrupted call.
RESUMING = ("train", "data download", "scene predict")
#: Verbs that stop on a scheduler's signal, with an exit status of its own.
STOPPING = ("train",)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line; return the exit status that ``amazon-ml --help`` explains."""
    if arguments is None:
        _leave_notebook()
        _write_any_text()
    words = list(sys.argv[1:] if arguments is None else arguments)
    if words[:1] in ([], ["--help"], ["-h"], ["help"]):
        print(_overview())
        return 0 if words else 2
    if words[0] == "--version":
        print(__version__)
        return 0
    name = next((" ".join(words[:n]) for n in (2, 1) if " ".join(words[:n]) in VERBS), None)
    if name is None:
        return _report_unknown_verb(words)
    _set_up_logging()
    signal.signal(signal.SIGTERM, _terminate)
    if name in STOPPING:
        preemption.listen()
    try:
        _check_empty(words[len(name.split()) :])
        _run(name, words[len(name.split()) :])
    except InputError as error:
        return _print_error(error, 2)
    except (WorkError, OSError) as error:
        return _print_error(error, 1)
    except (MemoryError, RuntimeError, ImportError) as error:
        if (limit := _limit_reached(error)) is None:
            raise
        return _print_error(limit, 1)
    except preemption.Stopped as stopped:
        return _print_error(stopped, stopped.STATUS)
    except KeyboardInterrupt:
        return _print_error("interrupted" + ("; the same command resumes" if name in RESUMING else ""), 130)
    return 0


def _write_any_text() -> None:
    """Escape characters that the encoding of a terminal or a pipe lacks, since printing them would be an error."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")


def _check_empty(arguments: Sequence[str]) -> None:
    """Check that no argument is empty, since an empty path would be the current folder."""
    for before, word in zip(["", *arguments], arguments, strict=False):
        if not word or (word.startswith("--") and word.endswith("=")):
            option = word[:-1] or (before if before.startswith("--") else "an argument")
            raise InputError(
                f"{option} is empty", remedy="give a value, or leave it out (is a variable of the shell not set?)"
            )


def _run(name: str, arguments: list[str]) -> None:
    verb = VERBS[name]
    from amazon_ml.cli.signature import arguments_of, option_names

    call = _imported(verb.target)
    use_options(option_names(call) - set(verb.positionals), verb.positionals)
    result = call(**arguments_of(name, call, verb.positionals, arguments))
    if verb.show:
        _imported(verb.show)(result)


def _imported(target: str) -> Callable[..., Any]:
    module, _, function = target.partition(":")
    call: Callable[..., Any] = getattr(importlib.import_module(module), function)
    return call


def _overview() -> str:
    width = max(map(len, VERBS))
    lines = [f"  {name:<{width}}  {verb.summary}" for name, verb in VERBS.items()]
    return "\n".join(
        ["usage: amazon-ml VERB …", "", "Tag satellite tiles, and measure how well.", "", *lines, "",
         "amazon-ml VERB --help shows a verb's options.", "",
         "Exit status: 0 done, 1 the work failed or found faults, 2 the call is wrong, 130 interrupted,",
         f"{preemption.Stopped.STATUS} stopped by a scheduler's signal: the same command resumes."]
    )  # fmt: skip


def _report_unknown_verb(words: list[str]) -> int:
    given = " ".join(words[:2])
    group = [verb for verb in VERBS if verb.startswith(f"{words[0]} ")]
    whole = difflib.get_close_matches(given, VERBS, n=1) if len(words) > 1 else []
    near = whole or group or difflib.get_close_matches(words[0], VERBS, n=1)
    hint = f"; did you mean {' or '.join(near)}?" if near else "."
    return _print_error(f"there is no verb {given!r}{hint} See amazon-ml --help.", 2)


def _print_error(error: object, status: int) -> int:
    # Further lines are indented, so that no text in a message looks like a message of this program.
    message = escaped(worded(str(error).strip())).replace("\n", "\n  ")
    print(f"amazon-ml: {message}", file=sys.stderr)
    return status


def _terminate(number: int, frame: object) -> None:
    """End at once with the status of a shell; what holds temporary files still removes them."""
    raise SystemExit(128 + number)


#: Messages of errors that a limit of the process caused, and their remedies.
_LIMITS = {
    r"can't allocate memory|failed to map segment|Cannot allocate memory|bad_alloc": (
        "memory is full: use fewer `data.num_workers`, in training also a smaller `data.batch_size` or `data.size`, or "
        "raise the limit (ulimit -v)"
    ),
    r"Too many open files|ancdata": (
        "too many files are open: raise the limit (ulimit -n 4096), or use fewer `data.num_workers`"
    ),
    r"can't start new thread|Resource temporarily unavailable": (
        "no thread can be started: raise the limit (ulimit -u), or use fewer `data.num_workers`"
    ),
}  # fmt: skip


def _limit_reached(error: BaseException) -> str | None:
    """Describe the limit of the process that caused an error; None where the cause is another one."""
    text = "can't allocate memory" if isinstance(error, MemoryError) else str(error)
    remedy = next((about for signs, about in _LIMITS.items() if re.search(signs, text)), None)
    return remedy and f"{remedy} ({type(error).__name__}: {(str(error).splitlines() or [''])[0][:200]})"


def _leave_notebook() -> None:
    """Unset the plotting backend of a notebook kernel, for this process and its children.

    A kernel sets a variable for the commands that it runs, and matplotlib cannot be imported where it does not know the
    backend. Pictures need no backend. A notebook that calls `main` itself keeps its backend.
    """
    os.environ.pop("MPLBACKEND", None)


def _set_up_logging() -> None:
    from rich.logging import RichHandler

    class Formatter(SafeFormatter):
        def formatMessage(self, record: logging.LogRecord) -> str:  # noqa: N802 (the name is logging's)
            record.message = worded(record.message)
            return super().formatMessage(record)

    plain = logging.StreamHandler()
    plain.setFormatter(Formatter("%(asctime)s %(message)s", datefmt="%H:%M:%S"))
    rich = RichHandler(show_path=False, show_level=False, log_time_format="%H:%M:%S")
    rich.setFormatter(Formatter("%(message)s"))
    logging.basicConfig(level=logging.INFO, handlers=[rich if sys.stderr.isatty() else plain])
    warnings.filterwarnings("ignore", module="pytorch_lightning|lightning_fabric")
    logging.getLogger("huggingface_hub").propagate = False  # it has a handler of its own, and would log twice
