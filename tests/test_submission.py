import json
import logging
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd
import pytest
from conftest import as_written, write_config
from refused import refused

from amazon_ml.decisions import FixedThreshold
from amazon_ml.errors import InputError
from amazon_ml.kaggle.form import official_names
from amazon_ml.kaggle.lint import lint_submission
from amazon_ml.kaggle.make import make_submission
from amazon_ml.kaggle.send import prepare
from amazon_ml.labels import PLANET
from amazon_ml.runs import hashes
from amazon_ml.runs.accept import accept
from amazon_ml.runs.access import locked
from amazon_ml.runs.decision import Decision, write_decision
from amazon_ml.runs.folder import Run, probability_table
from amazon_ml.runtime.files import write_table

TAGS = ("clear", "primary", "water")


def run_folder(
    where: Path,
    names: list[str],
    probabilities: npt.ArrayLike,
    *,
    tags: tuple[str, ...] = TAGS,
    stored_tags: tuple[str, ...] | None = None,
    cut: float = 0.5,
    at_least_one: bool = True,
    separator: str | None = None,
) -> Path:
    """A run as far as a submission looks at it; its folder of tiles is `where` / tiles."""
    run = where / "run"
    run.mkdir(parents=True)
    (where / "tiles").mkdir()
    write_config(run, {"data.tag_separator": separator})
    facts = {"root": str(where / "tiles"), "tags": dict.fromkeys(tags, 0)}
    (run / "provenance.json").write_text(json.dumps({"data": facts}))
    row = np.ones((1, len(tags)))
    rule = FixedThreshold(cut).fit(row, row if at_least_one else 0 * row)
    write_decision(Run(run), Decision("fixed", rule, tuple(tags), beta=2.0))
    values = np.asarray(probabilities, dtype=np.float32)
    write_table(run / "test.parquet", probability_table(names, stored_tags or tags, values))
    return as_written(run)


def sample(path: Path, names: list[str]) -> Path:
    path.write_text("\n".join(["image_name,tags", *(f"{name},primary clear" for name in names)]) + "\n")
    return path


def submitted(path: Path) -> list[tuple[str, str]]:
    lines = path.read_text().splitlines()
    assert lines[0] == "image_name,tags"
    rows = [line.split(",") for line in lines[1:]]
    return [(name, tags) for name, tags in rows]


SCORES = [[0.9, 0.8, 0.1], [0.6, 0.4, 0.5], [0.1, 0.2, 0.7]]


def test_rows_follow_the_sample_of_the_folder_of_tiles(tmp_path: Path) -> None:
    run = run_folder(tmp_path, ["test_0", "test_1", "file_0"], SCORES)
    sample(tmp_path / "tiles" / "sample_submission_v2.csv", ["test_1", "file_0", "test_0"])
    make_submission(run)
    assert submitted(run / "submission.csv") == [
        ("test_1", "clear water"),
        ("file_0", "water"),
        ("test_0", "clear primary"),
    ]


def test_named_sample_and_output_win(tmp_path: Path) -> None:
    run = run_folder(tmp_path, ["test_0", "test_1", "file_0"], SCORES)
    sample(tmp_path / "tiles" / "sample_submission_v2.csv", ["test_1", "file_0", "test_0"])
    order = sample(tmp_path / "mine.csv", ["file_0", "test_1", "test_0"])
    make_submission(run, sample=order, out=tmp_path / "deep" / "out.csv")
    assert [name for name, _ in submitted(tmp_path / "deep" / "out.csv")] == ["file_0", "test_1", "test_0"]
    assert not (run / "submission.csv").exists()


def test_surplus_tiles_are_left_out_with_a_warning(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    run = run_folder(tmp_path, ["test_0", "test_1", "file_0"], SCORES)
    order = sample(tmp_path / "s.csv", ["file_0"])
    with caplog.at_level(logging.WARNING):
        make_submission(run, order)
    assert submitted(run / "submission.csv") == [("file_0", "water")]
    (record,) = caplog.records
    assert record.getMessage().startswith("2 tiles of ")
    assert str(order) in record.getMessage()


def test_missing_tiles_are_refused_with_their_number_and_a_name(tmp_path: Path) -> None:
    run = run_folder(tmp_path, ["test_0", "test_1", "file_0"], SCORES)
    order = sample(tmp_path / "s.csv", ["test_0", "file_8", "test_1", "file_9"])
    with refused(file=run / "test.parquet", says=["2", "4", order, "file_8"]):
        make_submission(run, order)
    assert not (run / "submission.csv").exists()


def test_without_a_sample_the_official_list_is_asked_for(tmp_path: Path) -> None:
    p = np.full((3, len(PLANET)), 0.7)
    run = run_folder(tmp_path, ["test_0", "test_1", "file_0"], p, tags=PLANET.names)
    with refused(file=run / "test.parquet", says=["61,188", "61,191", "test_2"]):
        make_submission(run)


def test_without_a_sample_other_tags_keep_the_order_of_the_tiles_and_their_separator(tmp_path: Path) -> None:
    run = run_folder(tmp_path, ["b", "a", "c"], SCORES, tags=("bare soil", "soil", "sand"), separator=";")
    make_submission(run)
    assert submitted(run / "submission.csv") == [("b", "bare soil;soil"), ("a", "bare soil;sand"), ("c", "sand")]


def test_tile_below_every_threshold_gets_its_most_probable_tag(tmp_path: Path) -> None:
    run = run_folder(tmp_path, ["a", "b"], [[0.1, 0.3, 0.2], [0.02, 0.01, 0.0]])
    make_submission(run, sample(tmp_path / "s.csv", ["a", "b"]))
    assert submitted(run / "submission.csv") == [("a", "primary"), ("b", "clear")]


def test_empty_answers_are_refused_where_the_rule_gives_them(tmp_path: Path) -> None:
    run = run_folder(tmp_path, ["a", "b"], [[0.9, 0.3, 0.2], [0.0, 0.1, 0.0]], at_least_one=False)
    with refused(says=["1", "b"]):
        make_submission(run, sample(tmp_path / "s.csv", ["a", "b"]))
    assert not (run / "submission.csv").exists()


@pytest.mark.parametrize("stored", [("clear", "primary", "road"), ("primary", "clear", "water")])
def test_probabilities_of_other_tags_are_refused(tmp_path: Path, stored: tuple[str, ...]) -> None:
    run = run_folder(tmp_path, ["a"], SCORES[:1], stored_tags=stored)
    with refused(file=run / "test.parquet", says=", ".join(stored)):
        make_submission(run, sample(tmp_path / "s.csv", ["a"]))


@pytest.mark.parametrize("lacking", ["config.yaml", "decision.json", "test.parquet"])
def test_unfinished_run_is_refused_with_what_it_lacks(tmp_path: Path, lacking: str) -> None:
    run = run_folder(tmp_path, ["a"], SCORES[:1])
    (run / lacking).unlink()
    told: dict[str, Any] = {"file": run, "says": lacking} if lacking == "config.yaml" else {"file": run / lacking}
    with refused(**told):
        make_submission(run, sample(tmp_path / "s.csv", ["a"]))


def test_official_names_are_those_of_the_competition() -> None:
    names = official_names()
    assert len(names) == len(set(names)) == 61_191
    assert names[:3] == ["test_0", "test_1", "test_2"]
    assert names[9:11] == ["test_9", "test_10"]
    assert names[40_668:40_673] == ["test_40668", "file_0", "file_1", "file_10", "file_100"]
    assert names[-1] == "file_9999"
    assert {int(name[5:]) for name in names if name.startswith("file_")} == set(range(20_522))
    assert [int(name[5:]) for name in names if name.startswith("test_")] == list(range(40_669))


def test_network_library_is_not_needed() -> None:
    modules = ("labels", "decisions.fbeta", "decisions.thresholds", "decisions.rules", "kaggle.make")
    never = "not {'torch', 'timm', 'pytorch_lightning', 'sklearn'} & sys.modules.keys()"
    program = "; ".join(f"import amazon_ml.{name}; assert {never}, {name!r}" for name in modules)
    done = subprocess.run([sys.executable, "-c", f"import sys; {program}"], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


def test_full_submission_is_whole_and_quick(tmp_path: Path) -> None:
    names = official_names()
    rng = np.random.default_rng(0)
    shuffled = [names[i] for i in rng.permutation(len(names))]
    p = rng.random((len(names), 17))
    run = run_folder(tmp_path, shuffled, p, tags=PLANET.names, cut=0.8)
    began = time.process_time()
    make_submission(run)
    assert time.process_time() - began < 6
    table = pd.read_csv(run / "submission.csv", keep_default_na=False)
    assert table["image_name"].tolist() == names
    row = {name: i for i, name in enumerate(shuffled)}
    for name, tags in list(zip(table["image_name"], table["tags"], strict=True))[::5000]:
        scores = p[row[name]].astype(np.float32)
        on = [tag for tag, score in zip(PLANET.names, scores, strict=True) if score >= 0.8]
        assert tags.split() == (on or [PLANET.names[int(scores.argmax())]])


def test_a_file_of_a_former_decision_is_noticed_until_it_is_made_again(tmp_path: Path) -> None:
    run = run_folder(tmp_path, ["a", "b", "c"], SCORES)
    order = sample(tmp_path / "s.csv", ["a", "b", "c"])
    file, other = run / "submission.csv", tmp_path / "other.csv"

    def former(path: Path = file) -> list[tuple[str, str]]:
        found = lint_submission(path, run=run, sample=order)
        return [(one.severity, item) for one in found.findings if one.kind == "former" for item in one.items]

    def decide(cut: float) -> None:
        rule = FixedThreshold(cut).fit(np.ones((1, 3)), np.ones((1, 3)))
        write_decision(Run(run), Decision("fixed", rule, TAGS, beta=2.0))

    make_submission(run, order)
    make_submission(run, order, other)
    first = file.read_bytes()
    assert other.read_bytes() == first and former() == []
    assert prepare(file, message="m", sample=order).summary["decision"] == "fixed"
    assert prepare(other, message="m", run=run, sample=order).summary["decision"] == "fixed"  # a copy
    decide(0.3)
    assert former() == [("remark", "decision.json")] and former(other) == []
    with pytest.raises(InputError) as refused:
        prepare(file, message="m", sample=order)
    assert refused.value.file == file and refused.value.remedy is not None
    file.write_bytes(first.replace(b"clear", b"water"))  # an edited file is no newer, and may be sent
    assert former() == [("remark", "decision.json")]
    summary = prepare(file, message="m", sample=order).summary
    assert "edited" in summary and "decision" not in summary
    make_submission(run, order, run / ".." / "run" / "submission.csv")
    assert former() == [] and file.read_bytes() != first
    counts = [{"tag": tag, "predicted": 1} for tag in TAGS]
    scores = {"beta": 2.0, "fbeta": {"cross_fitted": {"value": 0.9}}, "tags": counts, "tiles": 3}
    hashes.write_json(run / "metrics.json", scores)
    scored = prepare(file, message="m", sample=order).summary
    unknown = prepare(other, message="m", run=run, sample=order).summary  # of a decision before the present one
    assert unknown["decision"] != "fixed" and scored.keys() - unknown.keys() == {"F2, cross-fitted"}
    other.write_bytes(file.read_bytes())
    decide(0.5)
    assert prepare(other, message="m", run=run, sample=order).summary["decision"] != "fixed"
    decide(0.3)
    assert former() == []
    hashes.write_table(run / "test.parquet", pd.read_parquet(run / "test.parquet").iloc[::-1])
    assert former() == [("remark", "test.parquet")]


def test_a_file_that_no_run_has_recorded_is_sent_as_before(tmp_path: Path) -> None:
    run = run_folder(tmp_path, ["a", "b", "c"], SCORES)
    order = sample(run / "submission.csv", ["a", "b", "c"])
    parcel = prepare(order, message="m", sample=order)
    assert parcel.summary["decision"] != "fixed" and parcel.lint.faults == []


def test_a_score_that_is_not_that_of_the_file_is_not_shown_as_one(tmp_path: Path) -> None:
    run = run_folder(tmp_path, ["a", "b", "c"], SCORES)
    order = sample(tmp_path / "s.csv", ["a", "b", "c"])
    counts = [{"tag": tag, "predicted": 1} for tag in TAGS]
    scores = {"beta": 2.0, "fbeta": {"cross_fitted": {"value": 0.9}}, "tags": counts, "tiles": 3}

    def shown(**more: object) -> str | None:
        hashes.write_json(run / "metrics.json", {**scores, **more})
        make_submission(run, order)
        return prepare(run / "submission.csv", message="m", sample=order).summary.get("F2, cross-fitted")

    assert shown() == shown(held_out=True) == "0.9000"
    for more in ({"soft_labels": True}, {"held_out": False}):
        said = shown(**more)
        assert said is not None and said.startswith("0.9000 (")
    rule = FixedThreshold(0.4).fit(np.ones((1, 3)), np.ones((1, 3)))
    decided = Decision("fixed", rule, TAGS, beta=2.0)
    write_decision(Run(run), decided)
    assert shown() == "0.9000"
    hashes.write_json(run / "provenance.json", {**json.loads((run / "provenance.json").read_text()), "task": "t"})
    decision = run / "decision.json"
    decision.write_text(decision.read_text().replace("0.4", "0.5"))
    accept(run)
    assert shown() is None
    write_decision(Run(run), decided)
    assert shown() == "0.9000"
    test = pd.read_parquet(run / "test.parquet")
    test[test.columns[-1]] /= 2
    write_table(run / "test.parquet", test)
    accept(run)
    assert shown() is None


def test_a_file_is_written_elsewhere_while_another_process_holds_the_run(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    run = run_folder(tmp_path, ["a", "b", "c"], SCORES)
    order = sample(tmp_path / "s.csv", ["c", "a", "b"])
    with locked(Run(run)), caplog.at_level(logging.WARNING):
        make_submission(run, order, tmp_path / "out.csv")
    assert len(submitted(tmp_path / "out.csv")) == 3
    (record,) = caplog.records
    assert str(run) in record.getMessage()


def test_a_file_that_was_made_elsewhere_is_known_until_its_decision_changes(tmp_path: Path) -> None:
    run = run_folder(tmp_path, ["a", "b", "c"], SCORES)
    order = sample(tmp_path / "s.csv", ["c", "a", "b"])
    first, second = tmp_path / "first.csv", tmp_path / "second.csv"

    def known(file: Path, form: Path) -> bool:
        return prepare(file, message="m", run=run, sample=form).summary["decision"] == "fixed"

    make_submission(run, order, first)
    make_submission(run, sample(tmp_path / "t.csv", ["b", "c", "a"]), second)
    assert not (run / "submission.csv").exists()
    assert known(first, order) and known(second, tmp_path / "t.csv")
    first.write_bytes(first.read_bytes().replace(b"clear", b"water"))
    assert not known(first, order)
    rule = FixedThreshold(0.3).fit(np.ones((1, 3)), np.ones((1, 3)))
    write_decision(Run(run), Decision("fixed", rule, TAGS, beta=2.0))
    assert not known(second, tmp_path / "t.csv")
    make_submission(run, order, first, overwrite=True)
    assert known(first, order)
    assert list(json.loads((run / "hashes.json").read_text())["files"]["submission.csv elsewhere"][0]["made_of"]) == [
        "decision.json", "test.parquet"
    ]  # fmt: skip
