"""The guide: it builds, its links lead somewhere, and the commands, options, files and targets that it names exist."""

import contextlib
import functools
import io
import itertools
import os
import re
import shlex
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from requested import TRAIN_PARSER, config_of

from amazon_ml.cli.main import main
from amazon_ml.cli.verbs import VERBS
from amazon_ml.report.options import options_page
from amazon_ml.report.weights import weights_page

ROOT = Path(__file__).parents[1]
DOCS = ROOT / "docs"
PAGES = sorted(
    [
        *DOCS.glob("*.md"),
        ROOT / "README.md",
        ROOT / "SECURITY.md",
        ROOT / "data" / "README.md",
        ROOT / "notebooks" / "README.md",
    ]
)
every_page = pytest.mark.parametrize("page", PAGES, ids=lambda page: page.relative_to(ROOT).as_posix())

FENCED = re.compile(r"^```(\w*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)


def code(text: str) -> Iterator[str]:
    """Give the lines of a page's blocks of commands, and its spans of code."""
    for language, block in FENCED.findall(text):
        if language in ("", "bash"):
            yield from block.replace("\\\n", " ").splitlines()  # one command may have several lines
    for span in re.findall(r"`([^`]+)`", FENCED.sub("", text)):
        yield " ".join(span.split())


def commands(text: str) -> Iterator[str]:
    """Give what follows ``amazon-ml`` in each command, without the remark that may stand behind it."""
    for line in code(re.sub(r"\\\n\s*", "", text)):  # a command may go on in the next line
        for found in re.findall(r"\bamazon-ml ([a-z].*)|\bamazon_ml\.cli ([a-z].*)", line):
            yield re.split(r" {3,}(?!-)|\s#\s|\s\|\|\s", "".join(found))[0].strip()


def verbs(command: str) -> list[str]:
    """Give the verbs that a command is one of, such as two for ``submit lint|diff FILE``; none where one is unknown."""
    words = [word.split("|") for word in command.split()[:2]]
    for length in (2, 1):
        named = [" ".join(choice) for choice in itertools.product(*words[:length])]
        if set(named) <= set(VERBS):
            return named
    return []


@functools.cache
def options(verb: str) -> set[str]:
    """Give the options that a verb says it has."""
    shown = io.StringIO()
    with contextlib.redirect_stdout(shown), contextlib.suppress(SystemExit):
        main([*verb.split(), "--help"])
    return set(re.findall(r"^  (?:-\w, )?(--[\w.]+)", shown.getvalue(), re.MULTILINE))


def wrong_commands(text: str) -> list[str]:
    wrong = []
    for command in commands(text):
        group = any(verb.startswith(f"{command} ") for verb in VERBS)
        known = [options(verb) for verb in verbs(command)]
        if not group and (not known or not set(re.findall(r"--[\w.]+", command)) <= set.intersection(*known)):
            wrong.append(command)
    return wrong


def wrong_targets(text: str) -> list[str]:
    makefile = (ROOT / "Makefile").read_text()
    targets = set(re.findall(r"^([a-z-]+):", makefile, re.MULTILINE))
    variables = set(re.findall(r"^(?:override )?([A-Z_]+) [?:]?=", makefile, re.MULTILINE))
    variables |= set(re.findall(r"\$\(([A-Z]+)\)", makefile))
    wrong = []
    for line in code(text):
        if line.startswith("make "):
            words = re.split(r"\s{2,}|\s#", line)[0].split()[1:]
            asked = set(itertools.takewhile(lambda word: "=" not in word, words))
            given = set(re.findall(r"\b([A-Z_]+)=", line))
            wrong += sorted((asked - targets) | (given - variables))
    return wrong


def anchors(page: Path) -> set[str]:
    headings = re.findall(r"^#+ (.*)$", FENCED.sub("", page.read_text()), re.MULTILINE)
    return {re.sub(r"[^\w -]", "", heading.lower()).strip().replace(" ", "-") for heading in headings}


def broken_links(text: str, folder: Path) -> list[str]:
    plain = re.sub(r"`[^`]*`", "", FENCED.sub("", text))
    broken = []
    for link in re.findall(r"\]\(([^)\s]+)\)|^\[[^\]]+\]: (\S+)$", plain, re.MULTILINE):
        path, _, anchor = "".join(link).partition("#")
        there = folder / path
        if not path.startswith("https://") and (not there.exists() or (anchor and anchor not in anchors(there))):
            broken.append("".join(link))
    return broken


def test_what_is_wrong_is_found() -> None:
    text = (
        "```\namazon-ml trian --config x.yaml     a remark --of sorts\namazon-ml predict RUN --tile DIR\n"
        "amazon-ml submit lint|dif FILE\namazon-ml tune RUN [--rule NAME|best]\nmake trian CONFIG=x\n"
        "make train COFIG=x\n```\n"
        "`amazon-ml slurm`, [one](README.md), [two](REEDME.md), [three](README.md#nowhere), `make lint test`\n"
    )
    assert wrong_commands(text) == ["trian --config x.yaml", "predict RUN --tile DIR", "submit lint|dif FILE"]
    assert wrong_targets(text) == ["trian", "COFIG"]
    assert broken_links(text, ROOT) == ["REEDME.md", "README.md#nowhere"]


@every_page
def test_commands_are_of_verbs_and_options_that_exist(page: Path) -> None:
    assert wrong_commands(page.read_text()) == []


@every_page
def test_links_lead_somewhere(page: Path) -> None:
    assert broken_links(page.read_text(), page.parent) == []


@every_page
def test_targets_of_make_exist(page: Path) -> None:
    assert wrong_targets(page.read_text()) == []


@every_page
def test_configs_and_options_of_training_exist(page: Path) -> None:
    known = {name for verb in ("train", "slurm train") for name in options(verb)}
    text = page.read_text()
    named = {name for name in re.findall(r"configs/[\w./-]+\.yaml", text) if not Path(name).stem.isupper()}
    assert [name for name in named if not (ROOT / name).is_file()] == []
    assert {f"--{name}" for name in re.findall(r"--((?:data|model|trainer)\.\w+)", text)} <= known


@every_page
def test_whole_commands_of_training_parse(page: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(ROOT)
    for command in commands(page.read_text()):
        named = re.findall(r"--config (\S+)", command)
        stand_ins = [name for name in named if name.startswith("/") or name == "X.yaml"]
        if command.startswith("train ") and named and not stand_ins:
            config_of(shlex.split(command)[1:])  # ends the test by SystemExit, were it refused


def test_page_on_options_is_what_the_code_says() -> None:
    assert (DOCS / "configuration.md").read_text() == options_page(), "make guide writes it anew"


def test_page_on_weights_is_what_the_table_says() -> None:
    assert (DOCS / "weights.md").read_text() == weights_page(), "make guide writes it anew"


def test_page_on_options_has_each_with_its_default() -> None:
    page, defaults = options_page(), TRAIN_PARSER.get_defaults()
    rows = dict(re.findall(r"^\| `([\w.]+)` \| `.*?` \| (\S.*?) \|", page, re.MULTILINE))
    asked = {name.removeprefix("--") for name in options("train")} - {
        "help", "config", "print_config", "data", "model", "trainer", "rounds",
    }  # fmt: skip
    assert set(rows) == {name for name in asked if not name.endswith(".help")}
    assert rows["data.root"] == "required"
    assert rows["data.size"] == f"`{defaults['data.size']}`"
    assert rows["model.pretrained"] == "`true`" and defaults["model.pretrained"] is True


def test_guide_builds_without_a_warning_and_without_other_hosts(tmp_path: Path) -> None:
    for needed in ("mkdocs", "material", "mkdocstrings"):
        pytest.importorskip(needed, reason=f"{needed} is not installed: pip install 'amazon-ml[docs]'")
    built = subprocess.run(
        [sys.executable, "-m", "mkdocs", "build", "--strict", "--site-dir", str(tmp_path)],
        cwd=ROOT, capture_output=True, text=True, env={**os.environ, "NO_MKDOCS_2_WARNING": "1"},
    )  # fmt: skip
    assert built.returncode == 0 and "WARNING" not in built.stderr, built.stderr
    for page in DOCS.glob("*.md"):
        html = (tmp_path / page.with_suffix(".html").name).read_text()
        assert not re.findall(r'(?:src|<link[^>]*href)="(?:https?:)?//', html)
        # Lists and blocks of code that MkDocs took for running text, as it does where no blank line is before them.
        assert not re.findall(r"<p>[^<]*\n(?:[-*] |\d\. |\|)|```", html), page.name


def test_security_names_tests_that_are_there() -> None:
    named = re.findall(r"`((?:hostile/)?test_\w+\.py)`", (ROOT / "SECURITY.md").read_text())
    assert named and [name for name in named if not (ROOT / "tests" / name).is_file()] == []
