"""`amazon-ml blend`: a blend is a run like any other, of members that fit together, or a message that says why not."""

import hashlib
import json
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from conftest import TINY, as_written, leave_out_pages, run_of
from refused import holds, refused
from sklearn.metrics import fbeta_score

from amazon_ml.cli.main import main
from amazon_ml.decisions.blending import WAYS, Blender, LogitMean, Mixture, RankMean, cross_blend
from amazon_ml.decisions.logistic import logit, sigmoid
from amazon_ml.decisions.rules import rule_to_dict
from amazon_ml.decisions.synthetic import draw_rows
from amazon_ml.labels import PLANET
from amazon_ml.pipeline.blend import blend as blend_runs
from amazon_ml.pipeline.gather import gather
from amazon_ml.runs import blend as blend_module
from amazon_ml.runs.bundle import Blended, Networks, open_bundle
from amazon_ml.runs.export import export
from amazon_ml.runs.folder import Run, probability_table, read_oof, write_tested
from amazon_ml.runs.hashes import remove, write_table, write_text
from amazon_ml.runs.predict import made_of


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
    assert holds(told(capsys), tmp_path / "alone" / "a")
    table = pd.read_parquet(there / "b" / "oof.parquet")
    table.iloc[1:].to_parquet(there / "b" / "oof.parquet", index=False)
    assert main(["predict", str(there / "blend"), "--tiles", str(tiles), "--out", str(out)]) == 2
    assert holds(told(capsys), there / "b")


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
    assert holds(told(capsys), run / "blend.json") and not out.exists()


def test_a_blend_is_not_trained_gathered_nor_exported(
    blended: Path, demo_tiles: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    before = (blended / "config.yaml").read_bytes()
    assert main(["train", "--run", str(blended), "--data.root", str(demo_tiles), *TINY]) == 2
    assert holds(told(capsys), blended, "--run")
    with refused(file=blended, option="run"):
        gather(blended)
    for onnx in (None, tmp_path / "blend.onnx"):
        with refused(file=blended, option="run"):
            export(blended, onnx=onnx)
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
    assert holds(told(capsys), 15, 35)
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
    def train_on(members: list[Run]) -> None:
        rest = pd.read_parquet(pair[1] / "oof.parquet")
        rest.iloc[:50].to_parquet(pair[1] / "oof.parquet", index=False)
        as_written(pair[1])

    monkeypatch.setattr(blend_module, "_tested_table", train_on)
    assert main(["blend", *map(str, pair), "--run", str(tmp_path / "blend")]) == 1
    assert holds(told(capsys), pair[1])
    assert not (tmp_path / "blend" / "oof.parquet").exists()


def test_runs_that_do_not_fit_together_are_refused(
    pair: tuple[Path, Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    p, true = draw_rows(60, seed=2)
    changed = true.copy()
    changed[7, 5] ^= 1
    longer, longer_true = draw_rows(61, seed=2)
    members: dict[Path, list[object]] = {
        run_of(tmp_path / "tags", p, true, ("clean", *PLANET.names[1:])): ["clean, clear"],
        run_of(tmp_path / "labels", p, changed): [1, "tile_7"],
        run_of(tmp_path / "tiles", longer, longer_true): [1, "tile_60"],
        tmp_path / "nothing": ["config.yaml"],
    }
    for member, values in members.items():
        assert main(["blend", str(pair[0]), str(member), "--run", str(tmp_path / "blend")]) == 2, member
        assert holds(told(capsys), *values, member)
        assert not (tmp_path / "blend" / "config.yaml").exists()
    untested = run_of(tmp_path / "all", p, true, held_out=False)
    with refused(file=untested, option="data.validate"):
        blend_runs([pair[0], untested], run=tmp_path / "blend")
    assert not (tmp_path / "blend" / "config.yaml").exists()


def test_a_member_that_is_no_run_or_not_finished_is_named(
    trained: Path, pair: tuple[Path, Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ["--run", str(tmp_path / "blend")]
    assert main(["blend", str(trained / "bundle"), str(pair[0]), *words]) == 2
    assert holds(told(capsys), trained / "bundle")
    assert not (tmp_path / "blend").exists()
    (pair[1] / "oof.parquet").unlink()
    assert main(["blend", *map(str, pair), *words]) == 2
    assert holds(told(capsys), pair[1] / "oof.parquet")


def test_calls_that_make_no_sense_are_refused(
    pair: tuple[Path, Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    a, b = map(str, pair)
    for runs in (pair[:1], (pair[0], pair[0] / ".." / "a")):
        with refused(option="runs"):
            blend_runs(list(runs), run=tmp_path / "x")
    before = (pair[1] / "config.yaml").read_bytes()
    for words, values in (
        ([a, b, "--run", str(tmp_path / "x"), "--how", "magic"], ["--how magic", "mean, logit_mean"]),
        ([a, b, "--run", b], ["--run", b]),
        ([a, str(tmp_path / "c"), "--run", b], [b]),
    ):
        assert main(["blend", *words]) == 2
        assert holds(told(capsys), *values)
    assert (pair[1] / "config.yaml").read_bytes() == before and not (tmp_path / "x").exists()


def with_test(run: Path, names: list[str]) -> None:
    """Give a run probabilities of untagged tiles."""
    p = draw_rows(len(names), seed=4)[0].astype(np.float32)
    write_table(run / "test.parquet", probability_table(names, TAGS, p))


def content(run: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in run.iterdir()}


def test_a_refused_blend_leaves_the_earlier_one(pair: tuple[Path, Path], tmp_path: Path) -> None:
    p, true = draw_rows(60, seed=2)
    tiles = run_of(tmp_path / "tiles", p, true)
    split = run_of(tmp_path / "split", p, true)
    write_tested(Run(split), pd.Series(["t0"]), PLANET, true[:1])
    for one, names in (*((one, ["t0", "t1"]) for one in (*pair, split)), (tiles, ["t0"])):
        with_test(one, names)
    run = tmp_path / "blend"
    assert main(["blend", *map(str, pair), "--run", str(run)]) == 0
    before = content(run)
    assert {"oof.parquet", "test.parquet", "decision.json"} <= before.keys()
    for other in (tiles, split):
        assert main(["blend", str(pair[0]), str(other), "--run", str(run)]) == 2
        assert content(run) == before
    decision = json.loads((run / "decision.json").read_text())
    (run / "decision.json").write_text(json.dumps({**decision, "beta": 1.0}))
    before = content(run)
    assert main(["blend", *map(str, pair), "--run", str(run), "--how", "logit_mean"]) == 2
    assert content(run) == before


def test_a_blend_that_a_member_changes_meanwhile_leaves_the_earlier_one(
    pair: tuple[Path, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = tmp_path / "blend"
    assert main(["blend", *map(str, pair), "--run", str(run)]) == 0
    before = content(run)
    monkeypatch.setattr(blend_module, "_tested_table", lambda _: (pair[1] / "oof.parquet").write_bytes(b""))
    assert main(["blend", *map(str, pair), "--run", str(run), "--how", "logit_mean"]) == 1
    assert content(run) == before


def test_no_submission_of_a_former_blend_is_left(pair: tuple[Path, Path], tmp_path: Path) -> None:
    run = tmp_path / "blend"
    file, sample = run / "submission.csv", tmp_path / "sample.csv"
    sample.write_text("image_name,tags\nt1,primary\nt0,primary\n")

    def blend(how: str = "mean") -> None:
        assert main(["blend", *map(str, pair), "--run", str(run), "--how", how]) == 0

    for one in pair:
        with_test(one, ["t0", "t1"])
    blend()
    assert main(["submit", "make", str(run), "--sample", str(sample)]) == 0
    made = file.read_bytes()
    blend()  # of the same probabilities, where the official names cannot be submitted
    assert file.read_bytes() == made
    blend("logit_mean")
    assert not file.exists()
    assert main(["submit", "make", str(run), "--sample", str(sample)]) == 0
    (run / "tiles.png").touch()
    (pair[1] / "test.parquet").unlink()
    blend("logit_mean")
    assert not (run / "test.parquet").exists() and not file.exists() and not (run / "tiles.png").exists()
    file.write_bytes(made)  # by hand
    blend()
    assert file.read_bytes() == made
    with_test(pair[1], ["t0", "t1"])
    blend()
    assert main(["submit", "make", str(run), "--sample", str(sample)]) == 0
    file.write_bytes(made + b"t2,primary\n")  # edited
    (pair[1] / "test.parquet").unlink()
    blend("logit_mean")
    assert file.read_bytes() == made + b"t2,primary\n"


def test_no_audit_of_a_former_blend_is_left(
    trained: Path, blended: Path, demo_tiles: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    run = Run(tmp_path / "blend")
    members = [str(trained), str(blended)]

    def blend(how: str = "mean") -> None:
        assert main(["blend", *members, "--run", str(run.path), "--how", how]) == 0

    blend()
    assert main(["audit", str(run.path), "--top=5"]) == 0
    made = run.audit.read_bytes()
    blend()  # of the same probabilities
    assert run.audit.read_bytes() == made and run.audit_page.exists()
    blend("logit_mean")
    assert run.audit.read_bytes() == made and not run.audit_page.exists()  # another run may read the list
    assert main(["audit", str(run.path), "--top=5"]) == 0 and run.audit_page.exists()
    assert main(["audit", str(run.path), "--top=4", "--show=0"]) == 0 and not run.audit_page.exists()
    run.audit.write_bytes(made[:-1])
    caplog.clear()
    blend("logit_mean")
    assert str(run.audit) not in caplog.text  # it is of the present probabilities
    blend()
    assert run.audit.read_bytes() == made[:-1] and str(run.audit) in caplog.text
    assert main(["audit", str(run.path), "--show=0"]) == 2
    remove(run.audit)
    run.audit.write_bytes(made)  # by hand
    blend()
    assert run.audit.read_bytes() == made


def test_what_is_blended_differently_has_another_identity(trained: Path) -> None:
    """And that of a run is the hash of its weights and its decision alone."""
    bundle = open_bundle(trained)
    networks = bundle.networks
    assert isinstance(networks, Networks)
    weights = [hashlib.sha256(file.read_bytes()).hexdigest() for file in networks.weights]
    plain = json.dumps([weights, [bundle.decision.tags, rule_to_dict(bundle.decision.rule)]])
    assert made_of(bundle) == hashlib.sha256(plain.encode()).hexdigest()

    reference = np.random.default_rng(0).random((2, 20, len(networks.tags)))
    blenders = (
        Mixture((0.5, 0.5)), Mixture((0.25, 0.75)), LogitMean(), RankMean(reference), RankMean(reference / 2),
    )  # fmt: skip

    def blend(blender: Blender, *members: Networks | Blended) -> Blended:
        return Blended(trained, members, networks.tags, blender)

    blends = [blend(one, networks, networks) for one in blenders]
    half = blend(blenders[0], networks, networks)
    nested = [blend(LogitMean(), half, networks), blend(LogitMean(), networks, half)]
    everything: list[Networks | Blended] = [networks, *blends, *nested]
    identities = [made_of(replace(bundle, networks=one)) for one in everything]
    assert len(set(identities)) == len(identities)
    again = [blend(one, networks, networks) for one in (Mixture((0.5, 0.5)), RankMean(reference.copy()))]
    assert [made_of(replace(bundle, networks=one)) for one in again] == [identities[1], identities[4]]
