"""Runs whose files were changed: every verb that reads such a file refuses it, until the change is accepted."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import yaml
from conftest import TINY, as_written

from amazon_ml.cli.main import main
from amazon_ml.runs.folder import Run

pytestmark = pytest.mark.usefixtures("short_finish")

Change = Callable[[Path], None]


@pytest.fixture
def run(trained: Path, tmp_path: Path) -> Path:
    """A finished run that may be changed."""
    return Path(shutil.copytree(trained, tmp_path / "run"))


# ---------------------------------------------------------------- changes


def half_the_rows(path: Path) -> None:
    table = pd.read_parquet(path)
    table.iloc[: len(table) // 2].to_parquet(path, index=False)


def shuffled_names(path: Path) -> None:
    table = pd.read_parquet(path)
    table.assign(image_name=table["image_name"].sample(frac=1, random_state=0).to_numpy()).to_parquet(path, index=False)


def inverted(path: Path) -> None:
    table = pd.read_parquet(path)
    table.iloc[:, 1:] = 1 - table.iloc[:, 1:]
    table.to_parquet(path, index=False)


def reversed_tags(path: Path) -> None:
    table = pd.read_parquet(path)
    table.iloc[:, 1:] = table.iloc[:, :0:-1].to_numpy()
    table.to_parquet(path, index=False)


def of_another_run(path: Path) -> None:
    table = pd.read_parquet(path)
    table.iloc[:, 1:] = np.random.default_rng(0).random(table.iloc[:, 1:].shape, dtype=np.float32)
    table.to_parquet(path, index=False)


def reordered_rows(path: Path) -> None:
    pd.read_parquet(path).iloc[::-1].to_parquet(path, index=False)


def one_tag_less(path: Path) -> None:
    table = pd.read_csv(path)
    table["tags"] = table["tags"].str.replace("|primary", "", regex=False)
    table.to_csv(path, index=False)


def swapped_folds(path: Path) -> None:
    table = pd.read_csv(path)
    table.assign(fold=2 - table["fold"]).to_csv(path, index=False)


def swapped_bands(path: Path) -> None:
    content = json.loads(path.read_text())
    path.write_text(json.dumps({**content, "bands": content["bands"][::-1]}))


def other_thresholds(path: Path) -> None:
    content = json.loads(path.read_text())
    content["parameters"] = json.loads(json.dumps(content["parameters"]).replace("0.", "0.9"))
    path.write_text(json.dumps(content))


def better_score(path: Path) -> None:
    content = json.loads(path.read_text())
    content["fbeta"]["cross_fitted"]["value"] = 0.99
    path.write_text(json.dumps(content))


def other_tags(path: Path) -> None:
    content = json.loads(path.read_text())
    content["data"]["tags"] = dict(reversed(content["data"]["tags"].items()))
    path.write_text(json.dumps(content))


def other_beta(path: Path) -> None:
    path.write_text(path.read_text().replace("beta: 2.0", "beta: 1.0"))


def last_byte(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[-1] ^= 1
    path.write_bytes(content)


TABLES = (half_the_rows, shuffled_names, inverted, reversed_tags, of_another_run, reordered_rows)
#: Of each file: how it may be changed, and the verbs that read it.
READ: dict[str, tuple[tuple[Change, ...], tuple[str, ...]]] = {
    "config.yaml": ((other_beta,), ("tune", "predict", "evaluate", "export", "report", "compare", "blend", "gather",
                                    "audit", "submit make")),
    "provenance.json": ((other_tags,), ("tune", "predict", "evaluate", "export", "report", "compare", "blend",
                                        "gather", "audit", "submit make", "train")),
    "folds.csv": ((swapped_folds,), ("gather", "train")),
    "bands.json": ((swapped_bands,), ("predict", "evaluate", "export", "report", "audit", "blend", "gather", "train")),
    "truth.csv": ((one_tag_less,), ("tune", "evaluate", "report", "compare", "blend", "audit", "gather")),
    "oof.parquet": (TABLES, ("tune", "report", "compare", "blend", "audit")),
    "test.parquet": (TABLES, ("submit make", "blend")),
    "decision.json": ((other_thresholds, last_byte), ("predict", "evaluate", "export", "report", "submit make", "tune",
                                                      "gather", "train")),
    "metrics.json": ((better_score,), ("report", "export", "submit lint")),
    "tiles.parquet": ((last_byte,), ("train",)),
    "fold-2/valid.parquet": ((inverted, of_another_run), ("gather", "tune", "compare", "train")),
    "fold-2/test.parquet": ((inverted,), ("gather", "submit make", "train")),
    "fold-2/model.safetensors": ((last_byte,), ("predict", "evaluate", "export", "gather", "tune", "train")),
}  # fmt: skip
FIXED = [("config.yaml", other_beta), ("folds.csv", swapped_folds), ("bands.json", swapped_bands)]
CASES = [(file, change) for file, (changes, _) in READ.items() for change in changes]


def call(verb: str, run: Path, tiles: Path, other: Path) -> list[str]:
    """Give the arguments of a verb on a run."""
    out = str(run.parent / "out.csv")
    more = {
        "predict": ["--tiles", str(tiles / "test-jpg"), "--out", out],
        "evaluate": ["--data", str(tiles)],
        "gather": ["--partial", "true"],
        "compare": [str(other)],
        "blend": [str(other), "--run", str(run.parent / "blend")],
        "report": ["--saliency", "false"],
    }
    if verb == "train":
        return ["train", "--run", str(run), "--data.root", str(tiles), "--folds=[0, 2]", "--model.tta=flips", *TINY]
    if verb == "submit lint":
        return [*verb.split(), str(run / "submission.csv"), "--run", str(run)]
    return [*verb.split(), str(run), *more.get(verb, [])]


def last_line(capsys: pytest.CaptureFixture[str]) -> str:
    return capsys.readouterr().err.splitlines()[-1]


@pytest.mark.parametrize(("file", "change"), CASES, ids=lambda case: getattr(case, "__name__", case))
def test_every_verb_that_reads_a_changed_file_refuses_it(
    run: Path, trained: Path, demo_tiles: Path, capsys: pytest.CaptureFixture[str], file: str, change: Change
) -> None:
    change(run / file)
    before = {path: path.read_bytes() for path in Run(run).trusted()}
    bundle = (run / "bundle" / "bundle.json").read_bytes()
    for verb in READ[file][1]:
        assert main(call(verb, run, demo_tiles, trained)) == 2, verb
        shown = last_line(capsys)
        assert (str(run / file) in shown and "amazon-ml accept" in shown) or "made of another" in shown, (verb, shown)
    assert {path: path.read_bytes() for path in before} == before
    assert (run / "bundle" / "bundle.json").read_bytes() == bundle


def test_a_file_put_back_is_read_again(run: Path, trained: Path, demo_tiles: Path) -> None:
    inverted(run / "oof.parquet")
    shutil.copy(trained / "oof.parquet", run)
    assert main(["tune", str(run), "--rule", "fixed"]) == 0
    assert main(["compare", str(run), str(trained)]) == 0


# ---------------------------------------------------------------- runs that are moved, mixed, or have no hashes


def test_a_run_that_was_moved_is_read(run: Path, demo_tiles: Path, tmp_path: Path) -> None:
    there = run.rename(tmp_path / "elsewhere")
    assert main(call("predict", there, demo_tiles, there)) == 0
    assert main(["tune", str(there), "--rule", "fixed"]) == 0


def test_options_that_change_no_result_may_be_edited(run: Path, demo_tiles: Path) -> None:
    options = yaml.safe_load((run / "config.yaml").read_text())
    options["data"] |= {"root": "/elsewhere", "num_workers": 2}
    (run / "config.yaml").write_text(yaml.safe_dump(options))
    assert main(["tune", str(run), "--rule", "fixed"]) == 0


@pytest.mark.parametrize("content", [None, "", "[]", '{"format": 9}', '{"format": 1, "task": null, "files": {"a": 1}}'])
def test_a_run_without_hashes_is_refused_until_it_is_accepted(
    run: Path, capsys: pytest.CaptureFixture[str], content: str | None
) -> None:
    for folder in (run, run / "fold-0"):
        (folder / "hashes.json").unlink()
        if content is not None:
            (folder / "hashes.json").write_text(content)
    assert main(["tune", str(run), "--rule", "fixed"]) == 2
    shown = last_line(capsys)
    assert "hashes.json" in shown and f"amazon-ml accept {run}" in shown
    assert main(["accept", str(run)]) == 0
    assert main(["tune", str(run), "--rule", "fixed"]) == 0
    assert {"oof.parquet", "fold-0/model.safetensors"} <= set(accepted(run)[-1]["files"])


def test_a_fold_of_another_run_is_refused_though_its_hashes_fit(
    run: Path, demo_tiles: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    record = json.loads((run / "fold-2" / "hashes.json").read_text())
    (run / "fold-2" / "hashes.json").write_text(json.dumps({**record, "task": "0" * 64}))
    for verb in ("predict", "export", "gather", "train"):
        assert main(call(verb, run, demo_tiles, run)) == 2, verb
        assert str(run / "fold-2") in last_line(capsys)


def test_a_config_that_was_changed_or_lost_is_written_anew_by_the_command_of_the_run(
    run: Path, trained: Path, demo_tiles: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    other_beta(run / "config.yaml")
    assert main([*call("train", run, demo_tiles, run), "--beta=1"]) == 2
    (run / "config.yaml").unlink()
    assert main([*call("train", run, demo_tiles, run), "--beta=1"]) == 2
    assert str(run / "config.yaml") in last_line(capsys)
    assert main(call("train", run, demo_tiles, run)) == 0
    assert (run / "config.yaml").read_bytes() == (trained / "config.yaml").read_bytes()


# ---------------------------------------------------------------- what a person may change


def accepted(run: Path) -> list[dict[str, dict[str, str]]]:
    found: list[dict[str, dict[str, str]]] = json.loads((run / "provenance.json").read_text()).get("accepted", [])
    return found


def test_an_accepted_decision_is_used_and_told_of(run: Path, demo_tiles: Path) -> None:
    other_thresholds(run / "decision.json")
    assert main(["accept", str(run)]) == 0
    (note,) = accepted(run)
    assert set(note["files"]) == {"decision.json"} and note["user"] and note["time"]
    assert main(call("predict", run, demo_tiles, run)) == 0
    bundle = json.loads((run / "bundle" / "bundle.json").read_text())
    assert bundle["decision"] == json.loads((run / "decision.json").read_text())
    assert bundle["accepted"] == [{"time": note["time"], "files": note["files"]}]
    assert main(["accept", str(run)]) == 0 and len(accepted(run)) == 1  # nothing is left to accept


def test_what_is_made_of_an_accepted_file_is_made_anew(
    run: Path, demo_tiles: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    one_tag_less(run / "truth.csv")
    assert main(["accept", str(run)]) == 0
    assert not (run / "bundle" / "bundle.json").exists()
    assert main(call("predict", run, demo_tiles, run)) == 2
    shown = last_line(capsys)
    assert str(run / "decision.json") in shown and f"amazon-ml tune {run}" in shown
    assert main(["tune", str(run), "--rule", "fixed"]) == 0
    assert main(call("predict", run, demo_tiles, run)) == 0


@pytest.mark.parametrize("verb", ["predict", "evaluate", "export", "report", "submit make", "tune"])
def test_what_other_networks_decided_is_refused_after_their_weights_were_accepted(
    run: Path, trained: Path, demo_tiles: Path, capsys: pytest.CaptureFixture[str], verb: str
) -> None:
    shutil.copy(trained / "fold-2" / "model.safetensors", run / "fold-0" / "model.safetensors")
    assert main(["accept", str(run)]) == 0 and not (run / "bundle" / "bundle.json").exists()
    assert main(call(verb, run, demo_tiles, trained)) == 2
    shown = last_line(capsys)
    assert str(run / "fold-0" / "model.safetensors") in shown and "predicts again" in shown
    assert not (run / "bundle" / "bundle.json").exists()


@pytest.mark.parametrize(("file", "change"), FIXED)
def test_what_training_goes_by_is_not_accepted(
    run: Path, capsys: pytest.CaptureFixture[str], file: str, change: Change
) -> None:
    change(run / file)
    other_thresholds(run / "decision.json")
    assert main(["accept", str(run)]) == 2
    assert str(run / file) in last_line(capsys)
    assert accepted(run) == [] and main(["submit", "make", str(run)]) == 2


def test_what_is_no_run_or_at_work_is_not_accepted(run: Path, tmp_path: Path) -> None:
    from amazon_ml.runs.access import locked_fold

    assert main(["accept", str(tmp_path / "typo")]) == 2 and not (tmp_path / "typo").exists()
    assert main(["accept", str(run / "bundle")]) == 2
    other_thresholds(run / "decision.json")
    with locked_fold(Run(run).fold(0)):
        assert main(["accept", str(run)]) == 2
    assert accepted(run) == []


def test_folds_may_be_changed_before_training(run: Path, trained: Path, demo_tiles: Path) -> None:
    """A run that stopped before it trained anything takes folds.csv and bands.json as they are now."""
    new = run.parent / "new"
    options = ["train", "--run", str(new), "--data.root", str(demo_tiles), *TINY, "--trainer.max_epochs=0"]
    assert main(options) == 2  # nothing was trained
    swapped_folds(new / "folds.csv")
    folds = (new / "folds.csv").read_bytes()
    assert main(options) == 2
    assert (new / "folds.csv").read_bytes() == folds
    as_written(new)
    assert Run(new).read_provenance()["folds"]["sizes"]
