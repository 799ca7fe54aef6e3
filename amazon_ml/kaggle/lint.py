"""Check a submission for faults that Kaggle would refuse, and for what looks wrong, with lines of the file."""

import difflib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import chain
from math import sqrt
from pathlib import Path
from typing import NotRequired, TypedDict

import numpy as np
import pandas as pd

from amazon_ml.data.checks.findings import REMARK, Case, Finding, Kind, weigh
from amazon_ml.errors import InputError, WorkError
from amazon_ml.kaggle.form import Form, find_form, run_around
from amazon_ml.kaggle.rows import HEADER, Submission, read_submission
from amazon_ml.labels import PLANET_COUNTS, PLANET_TILES, MultiHot, TagSet
from amazon_ml.runs.folder import Run
from amazon_ml.runs.hashes import changed_sources, read_recorded

KINDS = {
    "unreadable": Kind("parts that are not CSV in UTF-8", "write the file again"),
    "header": Kind(f"the first line is not {','.join(HEADER)}", "write it like that"),
    "columns": Kind("rows without exactly a name and tags", "mend these lines"),
    "missing": Kind("missing names", "add these rows"),
    "unexpected": Kind("rows with names that are not in the list", "remove these lines"),
    "repeated": Kind("rows with a name of an earlier row", "keep one row of each"),
    "untagged": Kind("rows without a tag", "give each its most probable tag"),
    "unknown_tags": Kind("tags that are not in the tag list", "mend these lines"),
    "repeated_tags": Kind("tags that occur twice in a row", "keep one of each"),
    "order": Kind("rows in another order", "nothing: rows are matched by name", REMARK),
    "form": Kind("lines that another program may read differently", "write the file again", REMARK),
    "label_logic": Kind("rows that break the label logic", "check whether the decision rule intends it", REMARK),
    "former": Kind(
        "files that changed since the submission was made of them", "make it again with amazon-ml submit make", REMARK
    ),
    "drift": Kind("tags that are much more or much less frequent than expected", "check the decision rule", REMARK),
}

#: A tag drifts where its share differs by this factor and by this number of standard errors, which is rare by chance.
_FACTOR, _DEVIATIONS = 2.0, 4.0

#: Number of unknown spellings for which the nearest tag is searched.
_GUESSED = 20


@dataclass(frozen=True)
class Expected:
    """Expected frequencies of tags.

    Parameters
    ----------
    counts
        Number of tiles with each tag.
    tiles
        Number of all tiles.
    source
        The tiles that were counted, for messages.
    """

    counts: Mapping[str, int]
    tiles: int
    source: str


class TagShare(TypedDict):
    """How frequent a tag is.

    ``tag``; ``tiles``, its number of rows; ``share`` of the rows, in 0..1; where the expected share is known,
    ``expected``, in 0..1, and ``z``, the difference in standard errors of two samples of tiles.
    """

    tag: str
    tiles: int
    share: float
    expected: NotRequired[float]
    z: NotRequired[float]


@dataclass(frozen=True)
class Lint:
    """The content of a submission, and its faults.

    Parameters
    ----------
    file
        The submission.
    rows
        Number of rows below the header.
    order
        Where the names and the order come from that it is compared with.
    tags_per_tile
        Mean number of tags of a row.
    expected
        Where the expected shares come from; None where they are not known.
    tags
        A record for each tag.
    logic
        Number of rows that break each rule of the label logic; broken rules only.
    findings
        Faults, and then remarks.
    """

    file: str
    rows: int
    order: str
    tags_per_tile: float
    expected: str | None
    tags: tuple[TagShare, ...]
    logic: dict[str, int]
    findings: tuple[Finding, ...]

    @property
    def faults(self) -> list[Finding]:
        """The findings that Kaggle would refuse, or score as wrong."""
        return [finding for finding in self.findings if finding.severity == "fault"]


def lint_submission(file: Path, *, run: Path | None = None, sample: Path | None = None) -> Lint:
    """Check a submission before it is sent: names, order, tags, label logic, and how frequent tags are.

    Parameters
    ----------
    file
        The submission.
    run
        The run of the submission: it gives tags, names, and how frequent its decision gave tags on held-out tiles. By
        default the folder of the file, where that is a run; else those of the competition are used.
    sample
        Sample submission with the names and their order.
    """
    run = run or run_around(file)
    return lint(read_submission(file), find_form(run, sample), expect(run), changed_sources(file))


def check_faults(found: Lint) -> None:
    """Raise a `WorkError` with the kinds of faults, where there are any."""
    if found.faults:
        raise WorkError(f"{found.file} has faults: {', '.join(finding.kind for finding in found.faults)}")


def expect(run: Path | None) -> Expected | None:
    """Give the expected frequencies of tags.

    For a run, they are those that its decision gave on held-out tiles, since a rule for F2 gives more tags than there
    are in truth. Without a run, they are those of the competition's training table.
    """
    if run is None:
        return Expected(PLANET_COUNTS, PLANET_TILES, "the competition's training tiles")
    if not Run(run).metrics.exists():
        return None
    metrics = read_recorded(Run(run).metrics)
    try:
        counts = {record["tag"]: int(record["predicted"]) for record in metrics["tags"]}
        return Expected(counts, int(metrics["tiles"]), "what the run predicted on held-out tiles")
    except (KeyError, TypeError, ValueError):
        raise InputError("the file does not hold how often tags were predicted", file=Run(run).metrics) from None


def lint(submission: Submission, form: Form, expected: Expected | None = None, changed: Sequence[Path] = ()) -> Lint:
    """Compare a submission with its form, and its tags with their expected frequencies.

    `changed` are the files that have changed since it was made of them.
    """
    rows = submission.rows
    tagged = rows[rows["tags"].notna()]
    given = [[tag for tag in tags.split(form.separator) if tag] for tags in tagged["tags"]]
    lines = tagged["line"].tolist()
    encoded = _encode(given, form.tags)
    broken = _broken_rules(given, encoded, form.tags)
    tags = _frequencies(encoded, form.tags, expected)
    cases = chain(
        submission.cases,
        _name_cases(rows, form),
        _tag_cases(given, lines, form.tags),
        _logic_cases(given, lines, broken),
        (Case("former", source.name) for source in changed),
        _drift_cases(tags),
    )
    findings, _ = weigh(cases, len(rows), KINDS)
    return Lint(
        file=str(submission.path),
        rows=len(rows),
        order=form.source,
        tags_per_tile=float(encoded.sum(axis=1).mean()) if len(encoded) else 0.0,
        expected=expected.source if expected else None,
        tags=tuple(tags),
        logic={rule: len(rows) for rule, rows in broken.items()},
        findings=findings,
    )


def _name_cases(rows: pd.DataFrame, form: Form) -> Iterator[Case]:
    first: dict[str, int] = {}
    requested = set(form.names)
    for name, line in zip(rows["image_name"], rows["line"], strict=True):
        if name in first:
            yield Case("repeated", f"line {line}: {name}, as on line {first[name]}")
        elif name not in requested:
            yield Case("unexpected", f"line {line}: {name!r}")
        first.setdefault(name, line)
    for place, name in enumerate(form.names, start=2):
        if name not in first:
            yield Case("missing", f"{name}, line {place} in {form.source}")
    there = [name for name in first if name in requested]
    wanted = [name for name in form.names if name in first]
    for name, other in zip(there, wanted, strict=True):
        if name != other:
            yield Case("order", f"line {first[name]}: {name}, where {form.source} has {other}")


def _tag_cases(given: list[list[str]], lines: list[int], tags: TagSet) -> Iterator[Case]:
    known = set(tags.names)
    guesses: dict[str, str] = {}
    for line, row in zip(lines, given, strict=True):
        if not row:
            yield Case("untagged", f"line {line}")
        if len(set(row)) < len(row):
            again = sorted({tag for tag in row if row.count(tag) > 1})
            yield Case("repeated_tags", f"line {line}: {', '.join(again)}")
        for tag in dict.fromkeys(row):
            if tag not in known:
                if len(guesses) < _GUESSED and tag not in guesses:
                    guesses[tag] = _nearest(tag, tags)
                yield Case("unknown_tags", f"line {line}: {tag!r}{guesses.get(tag, '')}")


def _nearest(tag: str, tags: TagSet) -> str:
    near = difflib.get_close_matches(tag, tags.names, n=1)
    return f" (nearest: {near[0]!r})" if near else ""


def _broken_rules(given: list[list[str]], encoded: MultiHot, tags: TagSet) -> dict[str, list[int]]:
    """Find rows that break the label logic, among rows whose tags are all known."""
    whole = [i for i, row in enumerate(given) if row and encoded[i].sum() == len(set(row))]
    return {rule: [whole[i] for i in broken] for rule, broken in tags.logic_faults(encoded[whole]).items()}


def _logic_cases(given: list[list[str]], lines: list[int], broken: Mapping[str, list[int]]) -> Iterator[Case]:
    for rule, rows in broken.items():
        for row in rows:
            yield Case("label_logic", f"line {lines[row]}: {rule}: {' '.join(given[row])}")


def _drift_cases(tags: list[TagShare]) -> Iterator[Case]:
    for record in tags:
        share, expected, z = record["share"], record.get("expected"), record.get("z")
        if z is None or expected is None or abs(z) <= _DEVIATIONS:
            continue
        if share > _FACTOR * expected or expected > _FACTOR * share:
            yield Case("drift", f"{record['tag']}: {share:.2%} of the rows, expected {expected:.2%}, z = {z:+.0f}")


def _encode(given: list[list[str]], tags: TagSet) -> MultiHot:
    """Encode the known tags of each row."""
    column = {tag: i for i, tag in enumerate(tags.names)}
    on = [(i, column[tag]) for i, row in enumerate(given) for tag in row if tag in column]
    encoded = np.zeros((len(given), len(tags)), dtype=np.uint8)
    if on:
        encoded[tuple(np.array(on).T)] = 1
    return encoded


def _frequencies(encoded: MultiHot, tags: TagSet, expected: Expected | None) -> list[TagShare]:
    records: list[TagShare] = []
    for tag, tiles in zip(tags.names, encoded.sum(axis=0, dtype=int).tolist(), strict=True):
        record: TagShare = {"tag": tag, "tiles": tiles, "share": tiles / max(len(encoded), 1)}
        if expected and tag in expected.counts and len(encoded):
            record["expected"] = expected.counts[tag] / expected.tiles
            record["z"] = _deviation(tiles, len(encoded), expected.counts[tag], expected.tiles)
        records.append(record)
    return records


def _deviation(count: int, tiles: int, other: int, other_tiles: int) -> float:
    """Give the two-sample z score of two shares, with their pooled share in the standard error."""
    pooled = (count + other) / (tiles + other_tiles)
    error = sqrt(pooled * (1 - pooled) * (1 / tiles + 1 / other_tiles))
    return (count / tiles - other / other_tiles) / error if error else 0.0
