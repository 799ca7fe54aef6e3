"""`amazon-ml blend`: a blend is a run like any other, of members that fit together, or a message that says why not."""

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from conftest import TINY, as_written, leave_out_pages, run_of
from sklearn.metrics import fbeta_score

from amazon_ml.cli.main import main
from amazon_ml.decisions.blending import WAYS, cross_blend
from amazon_ml.decisions.logistic import logit, sigmoid
from amazon_ml.decisions.synthetic import draw_rows
from amazon_ml.labels import PLANET
from amazon_ml.runs import blend as blend_module
from amazon_ml.runs.folder import Run, read_oof
from amazon_ml.runs.hashes import write_table, write_text


@pytest.fixture(autouse=True)
def without_pages_and_most_rules(monkeypatch: pytest.MonkeyPatch) -> None:
    """Leave out pages, and all rules but two, in each test; the blends that tests share are made with all rules."""
    leave_out_pages(monkeypatch)


TAGS = list(PLANET.names)


@pytest.fixture(scope="module")
def other(demo_tiles: Path, trained: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run of the same folds at another size, its tags in another order; not to be changed."""
    run = tmp_path_factory.mktemp("runs") / "other"
    tags = f"--data.tags={list(reversed(TAGS))}"
    options = ["--run", str(run), "--data.root", str(demo_tiles), "--folds=[0, 2]", *TINY, "--data.size=40", tags]
    run.mkdir()
    shutil.copy(trained / "folds.csv", run)
    assert main(["train", *options, "--trainer.max_epochs=1"]) == 0
    return run


@pytest.fixture(scope="module")
def blended(trained: Path, other: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The mean of the two; not to be changed."""
    run = tmp_path_factory.mktemp("runs") / "blend"
    assert main(["blend", str(trained), str(other), "--run", str(run)]) == 0
    return run


def told(capsys: pytest.CaptureFixture[str]) -> str:
    return capsys.readouterr().err.splitlines()[-1]


def rows(run: Path, name: str) -> pd.DataFrame:
    return pd.read_parquet(run / name).set_index("image_name")


def predicted(run: Path, tiles: Path, out: Path) -> pd.DataFrame:
    assert main(["predict", str(run), "--tiles", str(tiles), "--out", str(out)]) == 0
    return pd.read_parquet(out).set_index("image_name")


# ---------------------------------------------------------------- a run like any other


def test_mean_of_runs_holds_what_a_run_holds(trained: Path, other: Path, blended: Path) -> None:
    for name in ("oof.parquet", "test.parquet"):
        first, second, mean = rows(trained, name), rows(other, name), rows(blended, name)
        assert list(mean.columns) == TAGS and mean.index.equals(first.index)
        np.testing.assert_allclose(mean, (first + second.loc[first.index, TAGS]) / 2, atol=1e-7)
    for name in ("decision.json", "submission.csv", "tiles.png"):
        assert (blended / name).stat().st_size > 0
    _, _, p, true = read_oof(Run(blended))
    on = p >= np.float64(0.2)
    on[np.arange(len(p)), p.argmax(axis=1)] |= ~on.any(axis=1)
    metrics = json.loads((blended / "metrics.json").read_text())
    assert metrics["held_out"] is True and metrics["generated"] is True
    assert metrics["fbeta"]["fixed_0.2"]["value"] == pytest.approx(fbeta_score(true, on, beta=2, average="samples"))


def test_every_verb_takes_a_blend(blended: Path, demo_tiles: Path, tmp_path: Path) -> None:
    scores = tmp_path / "e.json"
    assert main(["evaluate", str(blended), "--data", str(demo_tiles), "--json", str(scores)]) == 0
    assert json.loads(scores.read_text())["tiles"] == 200
    out = tmp_path / "s.csv"
    assert main(["submit", "make", str(blended), "--out", str(out)]) == 0
    assert out.read_bytes() == (blended / "submission.csv").read_bytes()
    before = (blended / "decision.json").read_bytes()
    assert main(["tune", str(blended)]) == 0
    assert (blended / "decision.json").read_bytes() == before
    assert main(["audit", str(blended), "--top", "20"]) == 0
    assert len(pd.read_csv(blended / "audit.csv")) == 20


@pytest.mark.parametrize("how", WAYS)
def test_predicting_gives_the_probabilities_and_tags_of_the_untagged_tiles(
    trained: Path, other: Path, demo_tiles: Path, tmp_path: Path, how: str
) -> None:
    run = tmp_path / "blend"
    assert main(["blend", str(trained), str(other), "--run", str(run), "--how", how]) == 0
    table = predicted(run, demo_tiles / "test-jpg", tmp_path / "p.parquet")
    np.testing.assert_allclose(table[TAGS], rows(run, "test.parquet").loc[table.index], atol=2e-6)
    submission = pd.read_csv(run / "submission.csv").set_index("image_name")["tags"]
    assert table["tags"].tolist() == submission.loc[table.index].tolist()


def test_a_blend_of_a_blend_predicts(trained: Path, blended: Path, demo_tiles: Path, tmp_path: Path) -> None:
    run = tmp_path / "again"
    assert main(["blend", str(blended), str(trained), "--run", str(run)]) == 0
    np.testing.assert_allclose(
        rows(run, "oof.parquet"), (rows(blended, "oof.parquet") + rows(trained, "oof.parquet")) / 2, atol=1e-7
    )
    table = predicted(run, demo_tiles / "test-jpg", tmp_path / "p.parquet")
    np.testing.assert_allclose(table[TAGS], rows(run, "test.parquet").loc[table.index], atol=2e-6)


def test_blend_and_members_may_be_moved_together_but_not_apart(
    trained: Path, other: Path, demo_tiles: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    here, there = tmp_path / "here", tmp_path / "there"
    for name, run in (("a", trained), ("b", other)):
        shutil.copytree(run, here / name)
    assert main(["blend", str(here / "a"), str(here / "b"), "--run", str(here / "blend")]) == 0
    here.rename(there)
    tiles, out = demo_tiles / "test-jpg", tmp_path / "p.parquet"
    assert predicted(there / "blend", tiles, out).index.isin(rows(there / "blend", "test.parquet").index).all()
    shutil.copytree(there / "blend", tmp_path / "alone" / "blend")
    assert main(["predict", str(tmp_path / "alone" / "blend"), "--tiles", str(tiles), "--out", str(out)]) == 2
    assert f"a blend of {tmp_path / 'alone' / 'a'}, which is missing" in told(capsys)
    table = pd.read_parquet(there / "b" / "oof.parquet")
    table.iloc[1:].to_parquet(there / "b" / "oof.parquet", index=False)
    assert main(["predict", str(there / "blend"), "--tiles", str(tiles), "--out", str(out)]) == 2
    assert f"{there / 'b'}: the run changed since" in told(capsys)


@pytest.mark.parametrize(
    "change",
    [
        {"how": "magic"},
        {"members": 3},
        {"parameters": {"weights": [2, -1]}},
        {"parameters": {"weights": [1.0]}},
        {"how": "stacked", "parameters": {"weights": [[1.0]], "intercept": [0.0]}},
        {"how": "stacked", "parameters": {"weights": [[0.5] * 34] * 16, "intercept": [0.0] * 16}},
    ],
)
def test_broken_blend_json_is_named(
    blended: Path, tmp_path: Path, demo_tiles: Path, capsys: pytest.CaptureFixture[str], change: dict[str, Any]
) -> None:
    content = json.loads((blended / "blend.json").read_text())
    for member in content["members"]:
        member["path"] = str((blended / member["path"]).resolve())
    run = Path(shutil.copytree(blended, tmp_path / "blend"))
    write_text(run / "blend.json", json.dumps({**content, **change}))
    for name in ("oof.parquet", "test.parquet"):
        write_table(run / name, pd.read_parquet(run / name), made_of=[run / "blend.json"])
    as_written(run)
    out = tmp_path / "p.csv"
    assert main(["predict", str(run), "--tiles", str(demo_tiles / "test-jpg"), "--out", str(out)]) == 2
    assert "blend.json: the file does not describe a blend" in told(capsys) and not out.exists()


def test_a_blend_is_not_trained_gathered_nor_exported(
    blended: Path, demo_tiles: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    before = (blended / "config.yaml").read_bytes()
    assert main(["train", "--run", str(blended), "--data.root", str(demo_tiles), *TINY]) == 2
    assert "is a blend of other runs; choose another --run" in told(capsys)
    assert main(["gather", str(blended)]) == 2
    assert "is a blend of other runs" in told(capsys)
    for more in ([], ["--onnx", str(tmp_path / "blend.onnx")]):
        assert main(["export", str(blended), *more]) == 2
        assert "is a blend, which has no networks of its own; export its members" in told(capsys)
    assert (blended / "config.yaml").read_bytes() == before


# ---------------------------------------------------------------- runs as far as blending looks at them


@pytest.fixture
def pair(tmp_path: Path) -> tuple[Path, Path]:
    """Two runs of 60 tiles that differ in their noise."""
    p, true = draw_rows(60, seed=2)
    noise = np.random.default_rng(0).normal(size=(2, *p.shape))
    a, b = (run_of(tmp_path / name, sigmoid(logit(p) + one), true) for name, one in zip("ab", noise, strict=True))
    return a, b


@pytest.mark.parametrize("how", ["weighted", "stacked"])
def test_stored_rows_are_blended_by_what_was_fitted_on_other_tiles(
    pair: tuple[Path, Path], tmp_path: Path, how: str
) -> None:
    run = tmp_path / "blend"
    assert main(["blend", *map(str, pair), "--run", str(run), "--how", how]) == 0
    p = np.stack([rows(one, "oof.parquet").to_numpy(np.float64) for one in pair])
    true = draw_rows(60, seed=2)[1]
    stored = rows(run, "oof.parquet").to_numpy()
    np.testing.assert_allclose(stored, cross_blend(WAYS[how], p, true, seed=3), atol=1e-7)
    fitted = WAYS[how].fit(p, true)
    assert json.loads((run / "blend.json").read_text())["parameters"] == json.loads(json.dumps(fitted.to_dict()))
    assert np.abs(stored - fitted.apply(p)).max() > 1e-4


def test_rows_that_all_runs_held_out_are_blended_where_they_are_enough(
    pair: tuple[Path, Path], tmp_path: Path, caplog: pytest.LogCaptureFixture, capsys: pytest.CaptureFixture[str]
) -> None:
    p, true = draw_rows(60, seed=2)
    part = run_of(tmp_path / "c", p[:40], true)
    assert main(["blend", str(pair[1]), str(part), "--run", str(tmp_path / "blend")]) == 0
    assert "blending on the 40 tiles that all runs held out; one held out 60" in caplog.text
    both = (rows(pair[1], "oof.parquet").iloc[:40] + rows(part, "oof.parquet")) / 2
    np.testing.assert_allclose(rows(tmp_path / "blend", "oof.parquet"), both, atol=1e-7)
    rest = pd.read_parquet(pair[1] / "oof.parquet")
    rest.iloc[25:].to_parquet(pair[1] / "oof.parquet", index=False)
    as_written(pair[1])
    assert main(["blend", str(pair[1]), str(part), "--run", str(tmp_path / "next")]) == 2
    assert "have 15 held-out tiles in common, and one has 35" in told(capsys)
    assert not (tmp_path / "next" / "oof.parquet").exists()


def test_an_earlier_blend_is_replaced_and_both_commands_are_kept(pair: tuple[Path, Path], tmp_path: Path) -> None:
    run = tmp_path / "blend"
    for how in ("mean", "logit_mean"):
        assert main(["blend", *map(str, pair), "--run", str(run), "--how", how]) == 0
    assert json.loads((run / "blend.json").read_text())["how"] == "logit_mean"
    assert len(json.loads((run / "provenance.json").read_text())["starts"]) == 2


def test_a_member_that_is_written_to_meanwhile_is_noticed(
    pair: tuple[Path, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    describe = blend_module._describe

    def train_on(run: Run, first: Run) -> None:
        describe(run, first)
        rest = pd.read_parquet(pair[1] / "oof.parquet")
        rest.iloc[:50].to_parquet(pair[1] / "oof.parquet", index=False)
        as_written(pair[1])

    monkeypatch.setattr(blend_module, "_describe", train_on)
    assert main(["blend", *map(str, pair), "--run", str(tmp_path / "blend")]) == 1
    assert f"{pair[1]} was written to while it was blended" in told(capsys)
    assert not (tmp_path / "blend" / "oof.parquet").exists()


def test_runs_that_do_not_fit_together_are_refused(
    pair: tuple[Path, Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    p, true = draw_rows(60, seed=2)
    changed = true.copy()
    changed[7, 5] ^= 1
    longer, longer_true = draw_rows(61, seed=2)
    members = {
        "other tags than": run_of(tmp_path / "tags", p, true, ("clean", *PLANET.names[1:])),
        "clean, clear": tmp_path / "tags",
        "those of 1 tiles differ, such as tile_7": run_of(tmp_path / "labels", p, changed),
        "1 are in only one of them, such as tile_60": run_of(tmp_path / "tiles", longer, longer_true),
        "was trained on every tile": run_of(tmp_path / "all", p, true, held_out=False),
        "is not a run": tmp_path / "nothing",
    }
    for message, member in members.items():
        assert main(["blend", str(pair[0]), str(member), "--run", str(tmp_path / "blend")]) == 2, message
        shown = told(capsys)
        assert message in shown and str(member) in shown
        assert not (tmp_path / "blend" / "config.yaml").exists()


def test_a_member_that_is_no_run_or_not_finished_is_named(
    trained: Path, pair: tuple[Path, Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ["--run", str(tmp_path / "blend")]
    assert main(["blend", str(trained / "bundle"), str(pair[0]), *words]) == 2
    assert f"{trained / 'bundle'}: this is not a run" in told(capsys)
    assert not (tmp_path / "blend").exists()
    (pair[1] / "oof.parquet").unlink()
    assert main(["blend", *map(str, pair), *words]) == 2
    assert f"{pair[1] / 'oof.parquet'}: there is no such file: the run is not finished" in told(capsys)


def test_calls_that_make_no_sense_are_refused(
    pair: tuple[Path, Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    a, b = map(str, pair)
    before = (pair[1] / "config.yaml").read_bytes()
    for words, message in (
        ([a, "--run", str(tmp_path / "x")], "two different runs or more"),
        ([a, f"{a}/../a", "--run", str(tmp_path / "x")], "two different runs or more"),
        ([a, b, "--run", str(tmp_path / "x"), "--how", "magic"], "--how magic is unknown; there are mean, logit_mean"),
        ([a, b, "--run", b], "is one of the runs to blend"),
        ([a, str(tmp_path / "c"), "--run", b], "holds another run"),
    ):
        assert main(["blend", *words]) == 2
        assert message in told(capsys)
    assert (pair[1] / "config.yaml").read_bytes() == before and not (tmp_path / "x").exists()
