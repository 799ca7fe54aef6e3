"""The command line itself: help, speed of help, unknown verbs, and what may import what."""

import importlib
import os
import subprocess
import sys
import time
from pathlib import Path

import docstring_parser
import forked
import pytest
from refused import holds
from requested import TRAIN_PARSER

import amazon_ml
from amazon_ml.cli import wording
from amazon_ml.cli.main import _limit_reached, main
from amazon_ml.cli.signature import parser_of
from amazon_ml.cli.verbs import VERBS

PACKAGE = Path(amazon_ml.__file__).parent


def test_help_answers_within_a_second() -> None:
    plain = {name: value for name, value in os.environ.items() if not name.startswith("COVERAGE")}  # it takes time

    def seconds() -> float:
        began = time.perf_counter()
        subprocess.run([sys.executable, "-m", "amazon_ml.cli", "--help"], check=True, capture_output=True, env=plain)
        return time.perf_counter() - began

    assert min(seconds() for _ in range(3)) < 1


def test_help_lists_every_verb(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--help"]) == 0
    shown = capsys.readouterr().out
    assert all(f"  {verb} " in shown and about.summary in shown for verb, about in VERBS.items())


@pytest.mark.parametrize("verb", VERBS)
def test_each_verb_tells_its_options(verb: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        main([*verb.split(), "--help"])
    assert ended.value.code == 0
    assert f"usage: amazon-ml {verb}" in capsys.readouterr().out


def test_what_options_mean_stands_once() -> None:
    """Short sentences, such as those of `overwrite`, may repeat; longer ones are taken from where they stand."""
    stands: dict[str, list[str]] = {}
    for verb, about in VERBS.items():
        module, _, name = about.target.partition(":")
        call = getattr(importlib.import_module(module), name)
        helps = {action.dest: action.help for action in parser_of(verb, call, about.positionals)._actions}
        for param in docstring_parser.parse(call.__doc__, docstring_parser.DocstringStyle.NUMPYDOC).params:
            text, _, there = (param.description or "").partition("; see `amazon_ml.")
            stands.setdefault(text, []).append(f"{verb} {param.arg_name}")
            assert not there or helps[param.arg_name] not in ("", None, param.description)
        assert not [option for option, text in helps.items() if "see `amazon_ml" in (text or "")]
    assert {text: where for text, where in stands.items() if len(where) > 1 and len(text) > 60} == {}


def test_every_option_of_train_says_what_it_means() -> None:
    silent = [action.dest for action in TRAIN_PARSER._actions if not (action.help or "").strip()]
    assert silent == []


def test_version(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--version"]) == 0
    assert capsys.readouterr().out.strip() == amazon_ml.__version__


@pytest.mark.parametrize(
    ("words", "hint"),
    [(["trian"], "train"), (["submit"], "submit make"), (["data", "dmo"], "data demo"), (["xyzzy"], "--help")],
)
def test_unknown_verbs_are_refused_with_the_nearest(
    words: list[str], hint: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(words) == 2
    assert hint in capsys.readouterr().err


@pytest.mark.parametrize(
    ("command", "option"),
    [
        ("data check", "--labels_file"),
        ("data pack", "--labels_file"),
        ("data folds", "--labels_file"),
        ("train", "--data.labels_file"),
    ],
)
def test_a_remedy_is_an_option_of_the_verb(
    command: str, option: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "tiles").mkdir()
    for name in ("a.csv", "b.csv"):
        (tmp_path / "tiles" / name).write_text("image_name,tags\n1,a\n")
    folder = ["--data.root", "tiles"] if command == "train" else ["tiles"]
    assert main([*command.split(), *folder]) == 2
    assert holds(capsys.readouterr().err, option, "tiles/a.csv", "tiles/b.csv")


def test_no_verb_shows_the_overview_and_fails(capsys: pytest.CaptureFixture[str]) -> None:
    assert main([]) == 2
    assert "usage: amazon-ml VERB" in capsys.readouterr().out


def test_modules_that_never_import_torch() -> None:
    modules = (
        "labels", "decisions.thresholds", "decisions.rules", "runs.tune", "kaggle.download", "kaggle.make",
        "kaggle.lint", "kaggle.diff", "kaggle.send", "kaggle.scores", "report.comparison", "cli.main",
    )  # fmt: skip
    code = "; ".join(f"import amazon_ml.{name}; assert 'torch' not in sys.modules, {name!r}" for name in modules)
    done = subprocess.run([sys.executable, "-c", f"import sys; {code}"], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


def test_importing_prints_nothing() -> None:
    modules = {path.relative_to(PACKAGE.parent).with_suffix("").as_posix() for path in PACKAGE.rglob("*.py")}
    names = {module.removesuffix("/__init__").replace("/", ".") for module in modules}
    code = f"import sys; sys.exit(not {names!r} <= sys.modules.keys())"
    assert forked.run(["-c", code]).returncode == 0  # the process that forks has imported them
    assert forked.printed_by_imports() == ""


def test_limits_of_the_process_are_told_from_other_errors() -> None:
    import numpy as np
    import torch

    for allocate in (lambda: np.empty(1 << 50), lambda: torch.empty(1 << 50)):
        with pytest.raises((MemoryError, RuntimeError)) as full:
            allocate()
        assert "ulimit -v" in str(_limit_reached(full.value))
    assert "ulimit -n" in str(_limit_reached(RuntimeError("unable to open shared memory: Too many open files (24)")))
    assert _limit_reached(RuntimeError("shapes do not fit")) is None


@pytest.mark.parametrize("fault", ["bad_alloc", "Too many open files", "can't start new thread"])
def test_remedy_for_a_limit_names_the_options_of_the_verb(fault: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(wording, "_options", wording._options)
    monkeypatch.setattr(wording, "_by_place", wording._by_place)
    for options, named in ((["num_workers"], "--num_workers"), (["data.num_workers"], "--data.num_workers")):
        wording.use_options(options, [])
        assert holds(wording.worded(str(_limit_reached(RuntimeError(fault)))), named)


@pytest.mark.parametrize("words", [["data", "check", ""], ["train", "--data.root", ""], ["train", "--data.root="]])
def test_an_empty_argument_is_no_path(words: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert main(words) == 2
    assert "is empty" in capsys.readouterr().err


def test_devices_that_the_cpu_lacks_are_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    words = ["train", "--run", str(tmp_path), "--data.root", str(tmp_path), "--trainer.accelerator=cpu"]
    assert main([*words, "--trainer.devices=-1"]) == 2
    assert "devices" in capsys.readouterr().err


def test_text_that_a_terminal_cannot_show_is_escaped(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "amazon_ml.cli", "data", "check", str(tmp_path / "forêt")]
    done = subprocess.run(command, env={**os.environ, "PYTHONIOENCODING": "ascii"}, capture_output=True)
    assert done.returncode == 2 and b"Traceback" not in done.stderr and b"for\\xeat" in done.stderr
