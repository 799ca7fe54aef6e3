"""Runs side by side: sheets of text, and the page that holds them."""

import logging
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from html import escape
from pathlib import Path
from typing import Any

from amazon_ml.decisions.rules import DEFAULT_RULE, RULES
from amazon_ml.errors import InputError
from amazon_ml.report.page.document import Section, document
from amazon_ml.report.page.html import Cell, paragraph, table, words
from amazon_ml.runs.access import own_paths
from amazon_ml.runs.compare import compare_runs
from amazon_ml.runs.folder import Run
from amazon_ml.runtime.files import write_json, write_text
from amazon_ml.runtime.outputs import check_outputs

log = logging.getLogger(__name__)

_NONE = "\N{EN DASH}"
#: What a verdict means, where more is better and where less is.
_MORE = {"higher": "better", "lower": "worse", "noise": "noise"}
_LESS = {"higher": "worse", "lower": "better", "noise": "noise"}
#: How a tag's difference is marked.
_MARKS = {"higher": "+", "lower": "\N{MINUS SIGN}", "noise": " "}

#: How a verdict is drawn, by the classes of the pages' style.
_COLOURS = {"better": "blue", "worse": "orange", "noise": "faint"}


@dataclass(frozen=True)
class Sheet:
    """A table of text.

    Parameters
    ----------
    title, note
        Above and below it.
    headings, rows
        Its cells.
    words
        Its cells are words rather than numbers.
    """

    title: str
    headings: Sequence[str]
    rows: Sequence[Sequence[str]]
    note: str = ""
    words: bool = False


def compare(
    runs: list[Path], *, rule: str = DEFAULT_RULE, json: Path | None = None, page: Path | None = None,
    overwrite: bool = False,
) -> dict[str, Any]:  # fmt: skip
    """Compare runs to the first of them, tile by tile, on the labelled tiles that all of them held out.

    Every run is predicted anew by one rule, so that a difference is one of networks. It is noise where
    its interval, a bootstrap's over tiles, holds 0; the more runs are compared, the wider intervals are.
    The runs are not changed.

    Parameters
    ----------
    runs
        Run folders of the same tags and labels, blends among them if need be; the first is the one
        that the others are compared to.
    rule
        Rule that decides: fixed, global, shrunk, bagged, per_class, expected, expected_constrained or stacked.
    json
        File for all that was found.
    page
        HTML file of the same tables and a drawing; it needs no other file.
    overwrite
        Replace files that are there.

    Returns
    -------
    Plain data: the scores of each run, its paired differences to the first with intervals and verdicts, the F-beta of
    each tag, and the options that differ. `amazon_ml.runs.compare` lists the keys.

    Raises
    ------
    InputError
        For fewer than two runs, and for runs that cannot be compared.

    Examples
    --------
    >>> found = compare([Path("runs/demo"), Path("runs/other")])
    >>> found["runs"][1]["minus_first"]["cross_fitted"]["verdict"]  # or "higher", or "lower"
    'noise'
    """
    if rule not in RULES:
        raise InputError(f"`rule` {rule}: there are {', '.join(RULES)}")
    if len({path.resolve() for path in runs}) < max(2, len(runs)):
        raise InputError("name two different runs or more")
    inputs = [path for run in runs for path in own_paths(Run(run))]
    check_outputs({"json": json, "page": page}, inputs, overwrite=overwrite)
    found = compare_runs([Run(path) for path in runs], rule)
    if json is not None:
        write_json(json, found)
    if page is not None:
        write_comparison_page(page, found)
        log.info("wrote %s", page)
    return found


def write_comparison_page(path: Path, found: dict[str, Any]) -> None:
    """Write a comparison as an HTML page that needs no other file."""
    sections = [
        Section(anchor, sheet.title, _html(sheet))
        for anchor, sheet in zip(("scores", "differences", "tags", "options"), sheets(found), strict=True)
    ]
    sections.insert(2, Section("intervals", "The differences drawn", _drawn(found) + paragraph(escape(caution(found)))))
    title = f"Runs compared to {found['runs'][0]['run']}"
    write_text(path, document(title, paragraph(escape(lead(found))), sections))


def lead(found: dict[str, Any]) -> str:
    """Give the sentence above a comparison: which tiles, which rule."""
    source = "GENERATED tiles, which say nothing about Kaggle: " if found["generated"] else ""
    most = max(run["held_out"] for run in found["runs"])
    part = "that every run held out" + (f"; one held out {most:,}" if most > found["tiles"] else "")
    return (
        f"{source}{found['tiles']:,} tiles {part}. All runs are predicted by one rule, {found['rule']}, cross-fitted: "
        "each tile by a rule that was fitted on other tiles."
    )


def caution(found: dict[str, Any]) -> str:
    """Give the sentence below a comparison: what its intervals do not cover."""
    told = "Intervals tell what other tiles could change, with the networks as they are; another seed changes more."
    others = len(found["runs"]) - 1
    if others < 2:
        return told
    return (
        f"{told} {others} comparisons are made, so each is at {_level(found)}: together they hold in 95 % of "
        f"cases. The best of {others + 1} runs is flattered by being chosen on these tiles."
    )


def sheets(found: dict[str, Any]) -> list[Sheet]:
    """Give the tables of a comparison: scores, differences, tags, options."""
    return [sheet(found) for sheet in (_scores, _differences, _tags, _options)]


def _scores(found: dict[str, Any]) -> Sheet:
    beta = f"F{found['beta']:g}"
    headings = ("run", f"{beta} at 0.2", f"{beta} {found['rule']}", "95 % interval", "log loss", "epochs", "images/s",
                "seconds")  # fmt: skip
    rows = [
        (
            run["run"],
            f"{run['fixed']['value']:.4f}",
            f"{run['cross_fitted']['value']:.4f}",
            _between(run["cross_fitted"]["interval"], ".4f"),
            f"{run['log_loss']['value']:.4f}",
            *(_known(run[key]) for key in ("epochs", "images_per_second", "train_seconds")),
        )
        for run in found["runs"]
    ]
    return Sheet("Scores", headings, rows, f"seconds: of training steps, all folds; {_NONE}: not known")


def _measures(found: dict[str, Any]) -> dict[str, tuple[str, dict[str, str]]]:
    beta = f"F{found['beta']:g}"
    return {
        "fixed": (f"{beta} at 0.2", _MORE),
        "cross_fitted": (f"{beta} {found['rule']}", _MORE),
        "log_loss": ("log loss", _LESS),
    }


def _differences(found: dict[str, Any]) -> Sheet:
    rows = []
    for run in found["runs"][1:]:
        for key, (name, meaning) in _measures(found).items():
            one = run["minus_first"][key]
            rows.append((run["run"], name, f"{one['value']:+.4f}", f"{one['standard_error']:.4f}",
                         _between(one["interval"], "+.4f"), meaning[one["verdict"]]))  # fmt: skip
    headings = ("run", "of", "difference", "std. error", f"{_level(found)} interval", "verdict")
    return Sheet(f"Minus {found['runs'][0]['run']}, tile by tile", headings, rows,
                 "noise: the interval holds 0, so that chance alone could make the difference")  # fmt: skip


def _tags(found: dict[str, Any]) -> Sheet:
    rows = []
    for record in found["tags"]:
        first, *others = (f"{value:.3f}" for value in record["fbeta"])
        marks = (_MARKS[difference["verdict"]] for difference in record["minus_first"])
        marked = (f"{value} {mark}" for value, mark in zip(others, marks, strict=True))
        rows.append((record["tag"], f"{record['support']:,}", f"{first}  ", *marked))
    beta, names = f"F{found['beta']:g}", [run["run"] for run in found["runs"]]
    chance = (1 - found["level"]) * len(rows) * (len(names) - 1)
    note = f"+ and \N{MINUS SIGN}: the interval of the difference to {names[0]} leaves out 0"
    note += f"; by chance alone about {chance:.1f} such marks are to be expected"
    return Sheet(f"{beta} of each tag, over tiles", ("tag", "support", *names), rows, note)


def _options(found: dict[str, Any]) -> Sheet:
    rows = [(one["option"], *map(_value, one["values"])) for one in found["options"]]
    names = [run["run"] for run in found["runs"]]
    note = f"{_NONE}: none, or the run is a blend or older than the option" if rows else "none differs"
    return Sheet("Options that differ", ("option", *names), rows, note, words=True)


def _level(found: dict[str, Any]) -> str:
    return f"{100 * found['level']:.4g} %"


def _value(value: Any) -> str:
    return _NONE if value is None else str(value)


def _known(value: float | None) -> str:
    return _NONE if value is None else f"{value:,.0f}"


def _between(ends: Sequence[float], form: str) -> str:
    return " to ".join(format(end, form) for end in ends)


def _html(sheet: Sheet) -> str:
    cells = words if sheet.words else _cell
    rows = [[words(first), *map(cells, rest)] for first, *rest in sheet.rows]
    return table(sheet.headings, rows) + paragraph(escape(sheet.note), "note")


def _cell(text: str) -> Cell:
    """Show a figure, sorted as a number where it is one."""
    try:
        return Cell(escape(text), float(text.split()[0].replace(",", "")))
    except (ValueError, IndexError):
        return words(text)


def _drawn(found: dict[str, Any]) -> str:
    """Draw the intervals of the cross-fitted differences over a line at 0."""
    name, meaning = _measures(found)["cross_fitted"]
    differences = [(run["run"], run["minus_first"]["cross_fitted"]) for run in found["runs"][1:]]
    reach = max(max(map(abs, one["interval"])) for _, one in differences) or 1e-4
    lines = list(_dots(differences, meaning, reach))
    height = 34 * len(lines) + 30
    return (
        f'<svg viewBox="0 0 720 {height}" role="img" aria-label="differences of {escape(name)} with intervals">'
        f'<line x1="460" x2="460" y1="0" y2="{height - 24}" class="faint"/>'
        f'<text x="460" y="{height - 6}" text-anchor="middle">{escape(found["runs"][0]["run"])}</text>'
        f'<text x="700" y="{height - 6}" text-anchor="end">{reach:+.4f}</text>'
        f'<text x="220" y="{height - 6}">{-reach:+.4f}</text>{"".join(lines)}</svg>'
    )


def _dots(differences: Sequence[tuple[str, dict[str, Any]]], meaning: dict[str, str], reach: float) -> Iterator[str]:
    for place, (name, one) in enumerate(differences):
        low, high = one["interval"]
        left, middle, right = (460 + 240 * value / reach for value in (low, one["value"], high))
        y, colour = 20 + 34 * place, _COLOURS[meaning[one["verdict"]]]
        yield (
            f'<text x="200" y="{y + 4}" text-anchor="end">{escape(name)}</text>'
            f'<line class="{colour}" x1="{left:.1f}" x2="{right:.1f}" y1="{y}" y2="{y}" stroke-width="3"/>'
            f'<circle class="{colour}" cx="{middle:.1f}" cy="{y}" r="5"/>'
        )
