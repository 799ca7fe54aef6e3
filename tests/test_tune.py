"""`amazon-ml tune` on stored probabilities: what it compares, keeps, and refuses."""

import hashlib
import json
import logging
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd
import pytest
from conftest import as_written, write_config
from refused import holds
from sklearn.metrics import fbeta_score as sklearn_fbeta_score

from amazon_ml.cli.main import main
from amazon_ml.decisions.calibration import calibration_error
from amazon_ml.decisions.constraints import LabelConstraints
from amazon_ml.decisions.crossfit import cross_predict
from amazon_ml.decisions.logistic import sigmoid
from amazon_ml.decisions.rules import DEFAULT_RULE, RULES, make_rules
from amazon_ml.decisions.shrink import bootstrap
from amazon_ml.decisions.synthetic import draw_rows
from amazon_ml.decisions.threshold_rules import PerClassThresholds
from amazon_ml.labels import PLANET, TagSet
from amazon_ml.runs.access import locked
from amazon_ml.runs.decision import read_decision
from amazon_ml.runs.folder import Run, probability_table, write_truth
from amazon_ml.runs.scores import Metrics
from amazon_ml.runs.tune import tune
from amazon_ml.runtime.files import write_table


def run_of(
    folder: Path, p: npt.NDArray[np.float64], true: npt.NDArray[np.uint8], tags: tuple[str, ...] = PLANET.names
) -> Path:
    """A run as far as tuning looks at it."""
    folder.mkdir()
    names = [f"tile_{n}" for n in range(len(p))]
    write_config(folder, {"seed": 3})
    facts = {"root": "/tiles", "generated": False, "sha256": "abc", "tags": dict.fromkeys(tags, 0)}
    (folder / "provenance.json").write_text(json.dumps({"data": facts}))
    write_truth(Run(folder), pd.Series(names), TagSet(tags), true)
    write_table(folder / "oof.parquet", probability_table(names, tags, p.astype(np.float32)))
    return as_written(folder)


@pytest.fixture(scope="module")
def tuned(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Metrics]:
    """A run of 400 synthetic tiles, tuned to the best rule; not to be changed."""
    run = run_of(tmp_path_factory.mktemp("runs") / "run", *draw_rows(400, seed=6))
    return run, tune(run, rule="best")


@pytest.fixture
def tuned_on_few(few: Path, tmp_path: Path) -> Path:
    """Copy a tuned run of 60 tiles."""
    return Path(shutil.copytree(few, tmp_path / "few"))


@pytest.fixture(scope="module")
def few(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Make a run of 60 tiles, tuned to thresholds of 0.2; not to be changed."""
    run = run_of(tmp_path_factory.mktemp("runs") / "few", *draw_rows(60, seed=2))
    tune(run, rule="fixed")
    return run


def stored(run: Path, name: str) -> Any:
    return json.loads((run / name).read_text())


def test_every_rule_is_compared_cross_fitted_and_paired(tuned: tuple[Path, Metrics]) -> None:
    run, metrics = tuned
    assert list(metrics["rules"]) == [*RULES, "best"] and metrics == stored(run, "metrics.json")
    p = pd.read_parquet(run / "oof.parquet")[list(PLANET.names)].to_numpy()
    _, true = draw_rows(400, seed=6)
    fixed = p >= np.float64(0.2)
    fixed[np.arange(len(p)), p.argmax(axis=1)] |= ~fixed.any(axis=1)
    baseline = sklearn_fbeta_score(true, fixed, beta=2, average="samples")
    rules = make_rules(constraints=LabelConstraints.of(PLANET))
    for name in ("fixed", "shrunk", "stacked"):
        score = metrics["rules"][name]
        f2 = sklearn_fbeta_score(true, cross_predict(rules[name], p, true, seed=3), beta=2, average="samples")
        assert score["value"] == pytest.approx(f2, abs=1e-12)
        assert score["minus_fixed"]["value"] == pytest.approx(f2 - baseline, abs=1e-12)
        assert score["interval"][0] < f2 < score["interval"][1]
    assert metrics["rules"]["fixed"]["minus_fixed"]["standard_error"] == 0


def test_best_is_fitted_on_all_tiles_and_scored_by_the_nested_choice(tuned: tuple[Path, Metrics]) -> None:
    run, metrics = tuned
    decision = stored(run, "decision.json")
    # The label logic is worth more here than whatever simpler rules know.
    assert decision["rule"] == metrics["rule"] == "expected_constrained" and decision["requested"] == "best"
    assert decision["cross_fitted"] == metrics["rules"]["best"]
    assert metrics["fbeta"]["cross_fitted"]["value"] == metrics["rules"]["best"]["value"]
    assert metrics["fbeta"]["fitted"]["value"] > metrics["fbeta"]["cross_fitted"]["value"]
    p = pd.read_parquet(run / "oof.parquet")[list(PLANET.names)].to_numpy()
    fitted = make_rules(constraints=LabelConstraints.of(PLANET))["expected_constrained"].fit(
        p, draw_rows(400, seed=6)[1]
    )
    assert read_decision(Run(run)).rule.to_dict() == fitted.to_dict()


def test_decision_names_what_it_was_fitted_on(tuned: tuple[Path, Metrics]) -> None:
    run, _ = tuned
    assert stored(run, "decision.json")["tuned_on"] == {
        "tiles": 400,
        "held_out": True,
        "data_sha256": "abc",
        "oof_sha256": hashlib.sha256((run / "oof.parquet").read_bytes()).hexdigest(),
    }


def test_where_the_score_is_lost_is_told(tuned: tuple[Path, Metrics]) -> None:
    metrics = tuned[1]
    _, true = draw_rows(400, seed=6)
    assert [record["tag"] for record in metrics["tags"]] == list(PLANET.names)
    for record, support in zip(metrics["tags"], true.sum(axis=0), strict=True):
        assert record["support"] == support and record["gain_if_perfect"] >= -1e-9
        low, high = record["own_threshold"]
        assert 0 <= low <= high <= 1.0001 and 0 <= record["ece"] <= 1
        assert record["threshold"] is None  # the rule that is best here has none
    assert metrics["logic_faults"]["truth"] == {}
    assert metrics["confusions"][0]["tiles"] >= metrics["confusions"][-1]["tiles"] > 0


def test_everything_told_of_a_rule_is_of_its_cross_fitted_answers(tmp_path: Path) -> None:
    p, true = draw_rows(200, seed=2)
    p = p.astype(np.float32)
    run = run_of(tmp_path / "run", p, true)
    metrics = tune(run, rule="per_class")
    predicted, fitted = cross_predict(PerClassThresholds(), p, true, seed=3), PerClassThresholds().fit(p, true)
    f2 = {name: entry["value"] for name, entry in metrics["fbeta"].items()}
    assert f2["cross_fitted"] == pytest.approx(sklearn_fbeta_score(true, predicted, beta=2, average="samples"))
    assert f2["cross_fitted_minus_fixed"] == pytest.approx(f2["cross_fitted"] - f2["fixed_0.2"])
    assert f2["fitted"] == pytest.approx(sklearn_fbeta_score(true, fitted.predict(p), beta=2, average="samples"))
    table = pd.DataFrame(metrics["tags"])
    assert table["predicted"].tolist() == predicted.sum(axis=0).tolist() != fitted.predict(p).sum(axis=0).tolist()
    assert table["threshold"].tolist() == fitted.thresholds_.tolist()
    np.testing.assert_allclose(table["ece"], calibration_error(p, true))
    own = sigmoid(np.quantile(bootstrap(p, true, random_state=3).own, [0.05, 0.95], axis=0))
    np.testing.assert_allclose(np.array(table["own_threshold"].tolist()), own.T)
    faults = {fault: len(rows) for fault, rows in PLANET.logic_faults(predicted).items()}
    assert metrics["logic_faults"] == {"truth": {}, "predicted": faults} and faults
    for pair in metrics["confusions"]:
        missed, surplus = (PLANET.names.index(pair[key]) for key in ("missed", "false_positive"))
        both = (true[:, missed] > predicted[:, missed]) & (true[:, surplus] < predicted[:, surplus])
        assert pair["tiles"] == both.sum()


@pytest.mark.parametrize("untagged", [0, 40, 150])
def test_the_constant_is_the_best_of_all_sets_of_tags(untagged: int, tmp_path: Path) -> None:
    p, true = draw_rows(200, seed=2)
    true[:untagged] = 0
    metrics = tune(run_of(tmp_path / "run", p, true), rule="fixed")
    sets = (np.arange(2**17)[:, None] >> np.arange(17) & 1).astype(np.float32)
    total = np.zeros(len(sets))
    for truth in true:
        size = 4 * truth.sum() + sets.sum(axis=1)
        total += np.where(size > 0, 5 * (sets @ truth) / np.maximum(size, 1), 1)
    assert metrics["fbeta"]["constant"]["value"] == pytest.approx(total.max() / 200, abs=1e-6)


def test_best_is_scored_by_the_nested_choice_where_the_rule_it_ends_with_scores_higher(tmp_path: Path) -> None:
    metrics = tune(run_of(tmp_path / "run", *draw_rows(60, seed=2)), rule="best")
    nested, kept = metrics["rules"]["best"]["value"], metrics["rules"][metrics["rule"]]["value"]
    assert metrics["fbeta"]["cross_fitted"]["value"] == nested < kept - 0.01


def test_command_keeps_the_named_rule_and_shows_all(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run = run_of(tmp_path / "run", *draw_rows(200, seed=2))
    assert main(["tune", str(run), "--rule", "per_class"]) == 0
    shown = capsys.readouterr().out
    assert "per_class *" in shown and "most frequent confusions" in shown
    assert all(f"{name} " in shown for name in (*PLANET.names, *RULES))
    assert stored(run, "decision.json")["rule"] == "per_class"
    assert main(["tune", str(run)]) == 0
    assert stored(run, "decision.json")["rule"] == "per_class"  # the requested rule stays until another is requested


@pytest.mark.parametrize("rule", RULES)
def test_every_rule_can_be_kept(rule: str, tmp_path: Path) -> None:
    p, true = draw_rows(120, seed=2)
    run = run_of(tmp_path / "run", p, true)
    metrics = tune(run, rule=rule)
    assert metrics["rule"] == rule
    assert metrics["fbeta"]["cross_fitted"]["value"] == metrics["rules"][rule]["value"]
    answer = read_decision(Run(run)).rule.predict(p)
    assert answer.shape == true.shape and answer.any(axis=1).all()


def test_ten_tiles_are_enough_and_nine_are_not(tmp_path: Path) -> None:
    p, true = draw_rows(10, seed=2)
    assert tune(run_of(tmp_path / "ten", p, true), rule="best")["tiles"] == 10
    run = run_of(tmp_path / "nine", p[:9], true[:9])
    assert main(["tune", str(run)]) == 2


def test_other_tags_have_no_constraints(tmp_path: Path) -> None:
    tags = tuple(f"kind {n}" for n in range(17))
    metrics = tune(run_of(tmp_path / "run", *draw_rows(200, seed=2), tags), rule="expected_constrained")
    assert metrics["rules"]["expected"] == metrics["rules"]["expected_constrained"]
    assert metrics["logic_faults"] == {"truth": {}, "predicted": {}}


def test_tags_of_the_competition_in_another_order_keep_their_constraints(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def needed(**options: Any) -> dict[str, Any]:
        rules = make_rules(**options)
        return {name: rules[name] for name in ("fixed", DEFAULT_RULE, "expected", "expected_constrained")}

    monkeypatch.setattr("amazon_ml.runs.tune.make_rules", needed)
    p, true = draw_rows(400, seed=2)
    metrics = [
        tune(run_of(tmp_path / str(step), p[:, ::step], true[:, ::step], PLANET.names[::step])) for step in (1, -1)
    ]
    scores = [entry["rules"]["expected_constrained"]["value"] for entry in metrics]
    assert scores[0] == pytest.approx(scores[1], abs=1e-3) and scores[0] > metrics[0]["rules"]["expected"]["value"]


def test_unknown_rule_is_refused_with_those_there_are(
    tuned: tuple[Path, Metrics], capsys: pytest.CaptureFixture[str]
) -> None:
    before = (tuned[0] / "decision.json").read_bytes()
    assert main(["tune", str(tuned[0]), "--rule", "oracle"]) == 2
    told = capsys.readouterr().err
    assert "--rule oracle" in told and all(name in told for name in (*RULES, "best"))
    assert (tuned[0] / "decision.json").read_bytes() == before


@pytest.mark.parametrize(
    ("tags", "values"),
    [
        (PLANET.names[::-1], [1, PLANET.names[-1], PLANET.names[0]]),
        (("clean", *PLANET.names[1:]), ["clear, clean"]),
        (PLANET.names[:-1], ["conventional_mine"]),
    ],
)
@pytest.mark.parametrize("verb", [["evaluate", "--data"], ["predict", "--out=x.csv", "--tiles"]])
def test_decision_for_other_tags_is_refused(
    tuned_on_few: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], tags: tuple[str, ...], values: list[str],
    verb: list[str],
) -> None:  # fmt: skip
    run = tuned_on_few
    content = stored(run, "decision.json")
    (run / "decision.json").write_text(json.dumps({**content, "tags": tags}))
    as_written(run)
    assert main([verb[0], str(run), *verb[1:], str(tmp_path)]) == 2
    assert holds(capsys.readouterr().err, run / "decision.json", *values)


THRESHOLDS: dict[str, Any] = {"kind": "PerClassThresholds", "beta": 2, "at_least_one": True}
MAXIMISER: dict[str, Any] = {
    "kind": "ExpectedFBeta", "beta": 2, "columns": 17, "constraints": {"exactly_one": [], "alone": []},
}  # fmt: skip


@pytest.mark.parametrize(
    "broken",
    [
        {"parameters": {"kind": "oracle"}},
        {"parameters": None},
        {"beta": "two"},
        {"beta": 0},
        {"beta": 1e200},
        {"tags": 3},
        {"parameters": {**THRESHOLDS, "thresholds": [0.2] * 16}},
        {"parameters": {**MAXIMISER, "calibration": {"kind": "platt", "slope": [1] * 17, "intercept": [0]}}},
        {"parameters": {**MAXIMISER, "calibration": {"kind": "stack", "weights": [[0] * 17] * 17, "intercept": [0]}}},
        {"parameters": {**MAXIMISER, "calibration": {"kind": "stack", "weights": [[0] * 17], "intercept": [0]}}},
        {"parameters": {**MAXIMISER, "calibration": {"kind": "stack", "weights": [], "intercept": []}}},
        {"parameters": {**MAXIMISER, "calibration": {"kind": "temperature", "value": 1},
                        "constraints": {"exactly_one": [17], "alone": []}}},
    ],
)  # fmt: skip
def test_broken_decision_is_refused_with_the_remedy(
    tuned: tuple[Path, Metrics], tmp_path: Path, capsys: pytest.CaptureFixture[str], broken: dict[str, Any]
) -> None:
    run = Path(shutil.copytree(tuned[0], tmp_path / "run"))
    (run / "decision.json").write_text(json.dumps({**stored(run, "decision.json"), **broken}))
    as_written(run)
    assert main(["predict", str(run), "--tiles", str(tmp_path), "--out", str(tmp_path / "x.csv")]) == 2
    assert holds(capsys.readouterr().err, run / "decision.json", f"amazon-ml tune {run}")


def test_decision_with_what_json_lacks_is_refused(
    tuned_on_few: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """A threshold that is not a number would be reached by no probability, and nobody would be told."""
    run = tuned_on_few
    text = (run / "decision.json").read_text()
    (run / "decision.json").write_text(text.replace("0.2,", "NaN,", 1))
    as_written(run)
    assert main(["predict", str(run), "--tiles", str(tmp_path), "--out", str(tmp_path / "x.csv")]) == 2
    assert holds(capsys.readouterr().err, "decision.json", "NaN")


@pytest.mark.parametrize("requested", ["oracle", ["best"], None])
def test_a_decision_that_is_broken_can_be_made_anew(tmp_path: Path, requested: object) -> None:
    run = run_of(tmp_path / "run", *draw_rows(60, seed=2))
    (run / "decision.json").write_text(json.dumps({"requested": requested}))
    as_written(run)
    assert tune(run)["rule"] == DEFAULT_RULE


def put(value: object, column: str) -> Callable[[pd.DataFrame], pd.DataFrame]:
    return lambda table: table.assign(**{column: [*table[column][:7], value, *table[column][8:]]})


@pytest.mark.parametrize("verb", ["tune", "audit"])
@pytest.mark.parametrize(
    ("change", "told"),
    [
        (put(np.nan, "road"), "1 of 60 tiles, such as tile_7"),
        (put(1.01, "road"), "1 of 60 tiles, such as tile_7"),
        (put("high", "road"), "is not a table of probabilities"),
        (put("tile_6", "image_name"), "tile_6 is not exactly once"),
        (put("stranger", "image_name"), "stranger"),
        (put(None, "image_name"), "does not fit"),
    ],
)
def test_damaged_probabilities_are_refused(
    verb: str,
    change: Callable[[pd.DataFrame], pd.DataFrame],
    told: str,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    run = run_of(tmp_path / "run", *draw_rows(60, seed=2))
    table = change(pd.read_parquet(run / "oof.parquet"))
    table.astype({"road": str} if told.startswith("is not") else {}).to_parquet(run / "oof.parquet", index=False)
    as_written(run)
    assert main([verb, str(run)]) == 2
    assert "oof.parquet" in (shown := capsys.readouterr().err) and told in shown
    assert not (run / "decision.json").exists() and not (run / "audit.csv").exists()


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("truth.csv", b""),
        ("truth.csv", b"tile,labels\na,b\n"),
        ("truth.csv", b"image_name,tags\ntile_0,clear\ntile_0,haze\n"),
        ("truth.csv", b"\xff\xfe"),
        ("provenance.json", b"[]"),
        ("provenance.json", b'{"data": {}}'),
        ("config.yaml", b"data:\nmodel: {}\n"),
        ("config.yaml", b"\xff\xff"),
        ("config.yaml", b"{beta: .nan, seed: 0, data: {validate: true}, model: {}}"),
    ],
)
def test_broken_files_of_a_run_are_named(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], name: str, content: bytes
) -> None:
    run = run_of(tmp_path / "run", *draw_rows(60, seed=2))
    (run / name).write_bytes(content)
    assert main(["tune", str(run)]) == 2
    assert str(run / name) in capsys.readouterr().err


def test_a_run_that_another_process_works_on_is_left_alone(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Of two at once, one would keep its decision.json and the other its metrics.json."""
    run = run_of(tmp_path / "run", *draw_rows(60, seed=2))
    with locked(Run(run)):
        assert main(["tune", str(run)]) == 2
    assert holds(capsys.readouterr().err, run) and not (run / "decision.json").exists()
    assert main(["tune", str(run)]) == 0


def test_a_folder_that_is_not_there_is_not_made(tmp_path: Path) -> None:
    assert main(["tune", str(tmp_path / "typo")]) == 2
    assert not (tmp_path / "typo").exists()


def test_tags_are_shown_as_they_are_spelt(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Square brackets are markup to the library that draws the tables."""
    tags = ("[/road]", "[bold]", *PLANET.names[2:])
    assert main(["tune", str(run_of(tmp_path / "run", *draw_rows(60, seed=2), tags)), "--rule", "fixed"]) == 0
    shown = capsys.readouterr().out
    assert all(f"{tag} " in shown for tag in tags)


def test_help_lists_every_rule(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        main(["tune", "--help"])
    shown = capsys.readouterr().out
    assert all(name in shown for name in (*RULES, "best"))


def test_times_are_told(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.INFO):
        tune(run_of(tmp_path / "run", *draw_rows(60, seed=2)))
    assert [message.split()[1] for message in caplog.messages] == list(RULES)
