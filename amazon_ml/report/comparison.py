"""Compare runs: tables of text, and a page with them."""

import logging
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from html import escape
from pathlib import Path

from amazon_ml.data.config import TABLE, Split, TableConfig
from amazon_ml.decisions.macro_micro import TITLES
from amazon_ml.decisions.paired import Difference
from amazon_ml.decisions.rules import DEFAULT_RULE, RULES
from amazon_ml.errors import InputError, listed
from amazon_ml.models.config import Tta
from amazon_ml.report.page.document import Section, document
from amazon_ml.report.page.html import Cell, paragraph, table, words
from amazon_ml.runs.access import own_paths
from amazon_ml.runs.compare import Comparison, compare_runs
from amazon_ml.runs.folder import Run
from amazon_ml.runs.labelled_folder import LabelledFolder
from amazon_ml.runtime.files import write_json, write_text
from amazon_ml.runtime.outputs import check_outputs
from amazon_ml.settings import AnyPath, as_path, as_paths

log = logging.getLogger(__name__)

_NONE = "\N{EN DASH}"
#: The meaning of a verdict, where more is better and where less is better.
_MORE = {"higher": "better", "lower": "worse", "noise": "noise"}
_LESS = {"higher": "worse", "lower": "better", "noise": "noise"}
#: Marks of the differences of tags.
_MARKS = {"higher": "+", "lower": "\N{MINUS SIGN}", "noise": " "}

#: Classes of the pages' style for each verdict.
_COLOURS = {"better": "blue", "worse": "orange", "noise": "faint"}


@dataclass(frozen=True)
class Sheet:
    """A table of text.

    Parameters
    ----------
    title, note
        Text above and below the table.
    headings, rows
        Text of the cells.
    words
        Whether the cells are words, not numbers.
    """

    title: str
    headings: Sequence[str]
    rows: Sequence[Sequence[str]]
    note: str = ""
    words: bool = False


def compare(
    runs: Sequence[AnyPath], table: TableConfig = TABLE, *, rule: str = DEFAULT_RULE, data: AnyPath | None = None,
    split: Split | None = None, tta: Tta | None = None, speed: bool = False, json: AnyPath | None = None,
    page: AnyPath | None = None, overwrite: bool = False,
) -> Comparison:  # fmt: skip
    """Compare runs to the first of them, tile by tile, on labelled tiles that all of them held out, or on a folder.

    One rule predicts the tags of every run, so that differences come from the networks. A difference is noise where its
    interval over tiles holds 0: a percentile bootstrap for F-beta, a normal interval for log loss, average precision
    and F1. The more runs are compared, the wider the intervals are. The runs are not changed.

    Parameters
    ----------
    runs
        Run folders of the same tags and labels; blends are allowed. The others are compared to the first one.
    table
        Options for finding and reading the table of tags in `data`, as in `amazon_ml.runs.evaluate.evaluate`.
    rule
        Decision rule: fixed, global, shrunk, bagged, per_class, expected, expected_constrained or stacked.
    data
        Folder of labelled tiles that all networks of each run predict now. The caller has to make sure that no run was
        trained on them; `exclude` leaves tiles out. By default, tiles that all runs held out are compared: each was
        predicted by the networks that held it out.
    split
        Published split of `data` whose tiles are compared. By default the test split where there is one, else all.
    tta
        Views of each tile of `data` that are averaged, in place of those of the runs: ``none``, ``flips`` or ``d4``.
    speed
        Measure, too, how many images/s the networks of each run predict; it takes some seconds for each run.
    json
        File for the comparison.
    page
        HTML file with the same tables and a drawing; it needs no other file.
    overwrite
        Replace existing files.

    Returns
    -------
    The scores of each run (F-beta, log loss, average precision and F1), its paired differences to the first with
    intervals and verdicts, the F-beta of each tag, and the options that differ: see
    `amazon_ml.runs.compare.Comparison`.

    Raises
    ------
    InputError
        For fewer than two runs, and for runs that cannot be compared.

    Examples
    --------
    >>> found = compare(["runs/demo", "runs/other"])
    >>> found["runs"][1]["minus_first"]["cross_fitted"]["verdict"]  # or "higher", or "lower"
    'noise'
    """
    paths = as_paths("runs", runs)
    json_file, page_file = (
        None if given is None else as_path(name, given) for name, given in (("json", json), ("page", page))
    )
    if rule not in RULES:
        raise InputError(f"`rule` {rule}: there are {', '.join(RULES)}", option="rule")
    if len({path.resolve() for path in paths}) < max(2, len(paths)):
        raise InputError("name two different runs or more", option="runs")
    if data is None:
        given = [name for name, value in (("split", split), ("tta", tta), ("table", None if table == TABLE else table))
                 if value is not None]  # fmt: skip
        if given:
            raise InputError(f"`{given[0]}` is for a folder of labelled tiles", option=given[0],
                             remedy="name the folder with `data`, or leave it out")  # fmt: skip
    folder = None if data is None else LabelledFolder(as_path("data", data), table, split)
    inputs = [*(path for run in paths for path in own_paths(Run(run))), *(folder.tables() if folder else [])]
    check_outputs({"json": json_file, "page": page_file}, inputs, overwrite=overwrite)
    found = compare_runs([Run(path) for path in paths], rule, folder=folder, tta=tta, speed=speed)
    if json_file is not None:
        write_json(json_file, found)
    if page_file is not None:
        write_comparison_page(page_file, found)
        log.info("wrote %s", page_file)
    return found


def write_comparison_page(path: Path, found: Comparison) -> None:
    """Write a comparison as an HTML page that needs no other file."""
    sections = [
        Section(anchor, sheet.title, _html(sheet))
        for anchor, sheet in zip(
            ("scores", "other-scores", "differences", "tags", "networks", "options"), sheets(found), strict=True
        )
    ]
    sections.insert(3, Section("intervals", "The differences drawn", _drawn(found) + paragraph(escape(caution(found)))))
    title = f"Runs compared to {found['runs'][0]['run']}"
    write_text(path, document(title, paragraph(escape(lead(found))), sections))


def lead(found: Comparison) -> str:
    """Give the sentences above a comparison: its tiles and its rule."""
    source = "GENERATED tiles, which say nothing about Kaggle: " if found["generated"] else ""
    most = max(run["held_out"] for run in found["runs"])
    part = "that every run held out" + (f"; one held out {most:,}" if most > found["tiles"] else "")
    if found["tiles_of"] is not None:
        part = f"of {found['tiles_of']}" + (f", split {found['split']}" if found["split"] else "")
    return (
        f"{source}{found['tiles']:,} tiles {part}. One rule, {found['rule']}, predicts the tags of all runs, "
        "cross-fitted: each tile by a rule that was fitted on other tiles."
    )


def caution(found: Comparison) -> str:
    """Give the sentences below a comparison: what its intervals do not cover."""
    sentence = "Intervals show what other tiles could change, with the networks as they are; another seed changes more."
    soft = [run["run"] for run in found["runs"] if run["soft_labels"]]
    if soft:
        sentence += (
            f" The scores of {listed(soft)} may be too high: their soft labels may come from networks that were "
            "trained on these tiles."
        )
    others = len(found["runs"]) - 1
    if others < 2:
        return sentence
    return (
        f"{sentence} {others} comparisons are made, so each is at {_level(found)}: together they hold in 95 % of "
        f"cases. The score of the best of {others + 1} runs is too high, since it is chosen on these tiles."
    )


def sheets(found: Comparison) -> list[Sheet]:
    """Give the tables of a comparison: scores, other scores, differences, tags, networks, options."""
    return [sheet(found) for sheet in (_scores, _other_scores, _differences, _tags, _networks, _options)]


def _scores(found: Comparison) -> Sheet:
    beta = f"F{found['beta']:g}"
    headings = ("run", f"{beta} at 0.2", f"{beta} {found['rule']}", "95 % interval", "log loss", "epochs",
                "images/s", "seconds")  # fmt: skip
    rows = [
        (
            run["run"],
            f"{run['fixed']['value']:.4f}",
            f"{run['cross_fitted']['value']:.4f}",
            _between(run["cross_fitted"]["interval"], ".4f"),
            f"{run['log_loss']['value']:.4f}",
            *(_known(value) for value in (run["epochs"], run["images_per_second"], run["train_seconds"])),
        )
        for run in found["runs"]
    ]
    note = f"images/s and seconds: of training steps, all folds; {_NONE}: not known"
    return Sheet("Scores", headings, rows, note)


def _other_scores(found: Comparison) -> Sheet:
    """Give average precision and F1, which papers print: a row for each, since their names are long."""
    runs = found["runs"]
    rows = [(TITLES[name], *(f"{run['other_scores'][name]:.4f}" for run in runs)) for name in runs[0]["other_scores"]]
    left_out = found["tags_without_positive"]
    note = f"macro averages leave out {', '.join(left_out)}, which no tile carries" if left_out else ""
    return Sheet("Other scores", ("score", *(run["run"] for run in runs)), rows, note)


def _measures(found: Comparison) -> dict[str, tuple[str, dict[str, str]]]:
    beta = f"F{found['beta']:g}"
    return {
        "fixed": (f"{beta} at 0.2", _MORE),
        "cross_fitted": (f"{beta} {found['rule']}", _MORE),
        "log_loss": ("log loss", _LESS),
    }


def _differences(found: Comparison) -> Sheet:
    rows = []
    for run in found["runs"][1:]:
        differences = run["minus_first"]
        assert differences is not None  # only the first run has none
        own = (differences["fixed"], differences["cross_fitted"], differences["log_loss"])
        named = [(*about, one) for about, one in zip(_measures(found).values(), own, strict=True)]
        named += [(TITLES[name], _MORE, one) for name, one in differences["other_scores"].items()]
        for name, meaning, one in named:
            rows.append((run["run"], name, f"{one['value']:+.4f}", f"{one['standard_error']:.4f}",
                         _between(one["interval"], "+.4f"), meaning[one["verdict"]]))  # fmt: skip
    headings = ("run", "of", "difference", "std. error", f"{_level(found)} interval", "verdict")
    note = "noise: the interval holds 0, so that the difference may be chance"
    if few := found["tags_with_few_positives"]:
        note += f"; intervals of macro averages are too narrow, since few tiles carry {', '.join(few)}"
    return Sheet(f"Minus {found['runs'][0]['run']}, tile by tile", headings, rows, note)


def _tags(found: Comparison) -> Sheet:
    rows = []
    for record in found["tags"]:
        first, *others = (f"{value:.3f}" for value in record["fbeta"])
        marks = (_MARKS[difference["verdict"]] for difference in record["minus_first"])
        marked = (f"{value} {mark}" for value, mark in zip(others, marks, strict=True))
        rows.append((record["tag"], f"{record['support']:,}", f"{first}  ", *marked))
    beta, names = f"F{found['beta']:g}", [run["run"] for run in found["runs"]]
    chance = (1 - found["level"]) * len(rows) * (len(names) - 1)
    note = f"+ and \N{MINUS SIGN}: the interval of the difference to {names[0]} leaves out 0"
    note += f"; about {chance:.1f} such marks are expected by chance"
    return Sheet(f"{beta} of each tag, over tiles", ("tag", "support", *names), rows, note)


def _networks(found: Comparison) -> Sheet:
    """Give the size of the networks, and their speed where it was measured."""
    rows = []
    for run in found["runs"]:
        size, speed = run["megabytes"], run["predicted_per_second"]
        rows.append((run["run"], _known(run["networks"]), _NONE if size is None else f"{size:.1f}", _known(speed)))
    note = "images/s: of all networks of a run together, with their views; no files are read"
    if found["tiles_of"] is None:
        note += ". The scores are those of the networks that held out each tile, which may be one of several"
    if found["runs"][0]["predicted_per_second"] is None:
        note = f"{_NONE}: not measured, or the networks are gone"
    return Sheet("Networks in prediction", ("run", "networks", "megabytes", "images/s"), rows, note)


def _options(found: Comparison) -> Sheet:
    rows = [(one["option"], *map(_value, one["values"])) for one in found["options"]]
    names = [run["run"] for run in found["runs"]]
    note = f"{_NONE}: none, or the run is a blend" if rows else "no option differs"
    return Sheet("Options that differ", ("option", *names), rows, note, words=True)


def _level(found: Comparison) -> str:
    return f"{100 * found['level']:.4g} %"


def _value(value: object) -> str:
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
    """Make a cell that is sorted as a number where its text is one."""
    try:
        return Cell(escape(text), float(text.split()[0].replace(",", "")))
    except (ValueError, IndexError):
        return words(text)


def _drawn(found: Comparison) -> str:
    """Draw the intervals of the cross-fitted differences over a line at 0."""
    name, meaning = _measures(found)["cross_fitted"]
    differences = [
        (run["run"], run["minus_first"]["cross_fitted"]) for run in found["runs"] if run["minus_first"] is not None
    ]
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


def _dots(differences: Sequence[tuple[str, Difference]], meaning: dict[str, str], reach: float) -> Iterator[str]:
    for place, (name, one) in enumerate(differences):
        low, high = one["interval"]
        left, middle, right = (460 + 240 * value / reach for value in (low, one["value"], high))
        y, colour = 20 + 34 * place, _COLOURS[meaning[one["verdict"]]]
        yield (
            f'<text x="200" y="{y + 4}" text-anchor="end">{escape(name)}</text>'
            f'<line class="{colour}" x1="{left:.1f}" x2="{right:.1f}" y1="{y}" y2="{y}" stroke-width="3"/>'
            f'<circle class="{colour}" cx="{middle:.1f}" cy="{y}" r="5"/>'
        )
