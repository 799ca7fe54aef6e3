"""Section on the data: how even the folds are, how they leak, and labels that break the label logic."""

from html import escape

import numpy as np

from amazon_ml.data.folds.folds import leaking, read_folds
from amazon_ml.data.folds.neighbours import NEIGHBOURS, saved_neighbours, touching
from amazon_ml.errors import InputError
from amazon_ml.report.page.document import Section
from amazon_ml.report.page.html import Cell, number, paragraph, table, words
from amazon_ml.report.page.results import Results
from amazon_ml.runs.folder import read_truth
from amazon_ml.runs.hashes import check_recorded
from amazon_ml.runs.provenance_file import FoldProvenance

#: With fewer held-out tiles than this, the scores of a tag are hardly more than chance.
_FEW = 30


def checks_section(results: Results) -> Section:
    """Summarise what a run knows about its data; images are not read again."""
    provenance = results.run.read_provenance()
    rare = [record["tag"] for record in results.metrics["tags"] if record["support"] < _FEW]
    rows = [
        [words("labelled tiles"), _count(provenance["data"]["labelled"]), words("")],
        [words("of these, held out and scored"), _count(len(results.p)), words(_coverage(results))],
        [words("untagged tiles"), _count(provenance["data"]["unlabelled"]), words("")],
        [words(f"tags with fewer than {_FEW} scored tiles"), _count(len(rare)), words(", ".join(rare))],
        *_fold_rows(results, provenance.get("folds")),
        *_logic_rows(results),
    ]
    root = escape(results.config.data.root)
    note = f"<code>amazon-ml data check {root}</code> finds broken, repeated and mismatched files."
    return Section("data", "Data and leakage", table(("", "count", "remark"), rows) + paragraph(note, "note"))


def _coverage(results: Results) -> str:
    if not results.metrics["held_out"]:
        return "trained on, not held out: no honest score"
    folds = len(results.run.finished_folds())
    return f"in {folds} {'fold' if folds == 1 else 'folds'}" if folds else ""


def _fold_rows(results: Results, provenance: FoldProvenance | None) -> list[list[Cell]]:
    if not provenance or not results.metrics["held_out"] or not results.run.folds.exists():
        return []
    rows = []
    worst = provenance.get("worst_relative_deviation")
    if isinstance(worst, float):
        remark = "largest difference between the share of a tag in a fold and its share in all tiles"
        rows.append([words("unevenness of folds"), number(worst, ".1%"), words(remark)])
    remark, share = _leakage(results)
    rows.append([words("tiles that touch a tile of another fold"), share, words(remark)])
    return rows


def _leakage(results: Results) -> tuple[str, Cell]:
    """Give the leakage by stored neighbours; to search for them would take minutes."""
    stored, unknown = results.run.path / NEIGHBOURS, Cell("", -1.0)
    if not stored.exists():
        return (
            "not known: amazon-ml data folds finds tiles that touch; data.fold_by: scenes keeps them together",
            unknown,
        )
    names = read_truth(results.run).index.to_series()
    try:
        pairs = touching(saved_neighbours(stored, names.rename("image_name").to_frame()))
    except InputError as error:
        return str(error), unknown
    check_recorded(results.run.folds)
    fold = read_folds(results.run.folds, names)
    leaks = leaking(fold, pairs)[(fold >= 0).to_numpy()]
    return "their surroundings were trained on", number(float(np.mean(leaks)), ".2%")


def _logic_rows(results: Results) -> list[list[Cell]]:
    faults = results.metrics["logic_faults"]
    return [
        [words(f"{fault}, {name}"), _count(tiles), words("tiles that break the label logic")]
        for counts, name in ((faults["truth"], "in the labels"), (faults["predicted"], "as predicted"))
        for fault, tiles in counts.items()
    ]


def _count(value: int) -> Cell:
    return number(value, ",")
