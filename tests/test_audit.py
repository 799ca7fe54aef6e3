"""The audit: planted wrong labels are found, by hand-computed rules, through the command line, and given back."""

import json
from html.parser import HTMLParser
from io import StringIO
from pathlib import Path
from unittest.mock import Mock

import numpy as np
import pandas as pd
import pytest
from conftest import run_of
from refused import refused
from rich.console import Console

from amazon_ml.cli.main import main
from amazon_ml.cli.show.scores import _score_table
from amazon_ml.data.catalog.catalog import read_catalog
from amazon_ml.data.config import DataConfig, ReadingConfig
from amazon_ml.data.soft_labels import soft_targets
from amazon_ml.decisions.label_errors import contradictions
from amazon_ml.decisions.synthetic import draw_rows
from amazon_ml.errors import InputError, WorkError
from amazon_ml.report.audit import _Contents, audit
from amazon_ml.report.comparison import caution, compare
from amazon_ml.report.page.write import write_report
from amazon_ml.runs.folder import Run, read_oof
from amazon_ml.runs.former_audit import clear_audit, warn_of_former_lists
from amazon_ml.runs.hashes import write_json, write_table
from amazon_ml.runs.tune import tune


def test_contradictions_by_hand() -> None:
    # t_on = (.9 + .8 + .1) / 3 = .6 ; t_off = (.9 + .7 + .3) / 3 = .6333
    p = np.array([[0.9], [0.8], [0.1], [0.1], [0.3], [0.7]])
    on = np.array([[1], [1], [1], [0], [0], [0]])
    found = contradictions(p, on)
    # Tile 5 lacks the tag with p = .7 >= .6; tile 2 carries it with 1 - p = .9 >= .6333.
    assert found["tile"].tolist() == [2, 5]
    assert found["given"].tolist() == [1, 0]
    np.testing.assert_allclose(found["contradiction"], [0.6 - 0.1, 1.9 / 3 - 0.3])


def test_a_tag_of_all_or_of_no_tiles_is_not_contradicted() -> None:
    p = np.random.default_rng(0).random((20, 2))
    assert contradictions(p, np.column_stack([np.ones(20), np.zeros(20)])).empty


def test_shapes_that_do_not_fit_are_refused() -> None:
    with pytest.raises(ValueError, match=r"\(3, 2\) and \(2, 3\)"):
        contradictions(np.zeros((3, 2)), np.zeros((2, 3)))


@pytest.mark.parametrize("odd", [np.nan, np.inf, -0.1, 1.1])
def test_what_is_no_probability_is_refused_by_its_place(odd: float) -> None:
    p = np.full((4, 2), 0.5)
    p[3, 1] = odd
    with pytest.raises(ValueError, match=rf"\(3, 1\).* {odd:g}\b"):
        contradictions(p, np.eye(4, 2))


@pytest.mark.parametrize("odd", [np.nan, 2, 0.5])
def test_what_is_no_tag_is_refused(odd: float) -> None:
    with pytest.raises(ValueError, match="0 or 1"):
        contradictions(np.full((4, 2), 0.5), np.full((4, 2), odd))


@pytest.mark.parametrize("seed", range(3))
def test_flipped_labels_lead_the_list(seed: int) -> None:
    rng = np.random.default_rng(seed)
    true = rng.random((4000, 5)) < [0.9, 0.5, 0.3, 0.1, 0.02]
    p = 1 / (1 + np.exp(-(6 * (true - 0.5) + rng.normal(0, 1.2, true.shape))))
    flipped = rng.random(true.shape) < 0.01
    found = contradictions(p, true ^ flipped).head(int(flipped.sum()))
    right = flipped[found["tile"], found["column"]]
    assert right.mean() > 0.75  # a listed label taken at random would be a flipped one in 1 of 100 cases
    assert right[: len(right) // 2].mean() > 0.95


def test_a_tag_that_the_network_cannot_see_does_not_fill_the_list() -> None:
    rng = np.random.default_rng(0)
    seen = rng.random(2000) < 0.4
    p = np.column_stack([np.where(seen, 0.95, 0.05), np.full(2000, 0.02) + rng.random(2000) / 100])
    labels = np.column_stack([seen, rng.random(2000) < 0.02])
    labels[:10, 0] ^= True
    assert contradictions(p, labels).head(10)["column"].tolist() == [0] * 10


class _Page(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.images: list[dict[str, str | None]] = []
        self.links: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        if tag == "img":
            self.images.append(dict(attrs))
        self.links += [value for key, value in attrs if key in ("href", "src") and value]


def test_audit_of_a_run_writes_a_table_and_a_page(trained: Path, demo_tiles: Path) -> None:
    assert main(["audit", str(trained), "--top", "40", "--show", "7"]) == 0
    rows = pd.read_csv(trained / "audit.csv")
    assert list(rows.columns) == ["image_name", "tag", "given", "probability", "contradiction"]
    assert 0 < len(rows) <= 40
    assert rows["contradiction"].is_monotonic_decreasing
    truth = pd.read_csv(trained / "truth.csv").set_index("image_name")["tags"]
    for row in rows.to_dict(orient="records"):
        assert (row["tag"] in truth[row["image_name"]].split("|")) == bool(row["given"])
    oof = pd.read_parquet(trained / "oof.parquet").set_index("image_name")
    columns = oof.columns.get_indexer(pd.Index(rows["tag"]))
    stored = oof.loc[rows["image_name"]].to_numpy()[np.arange(len(rows)), columns]
    assert np.abs(rows["probability"].to_numpy() - stored).max() <= 1e-4
    page = _Page()
    page.feed((trained / "audit.html").read_text())
    assert len(page.images) == min(7, rows["image_name"].nunique())
    assert all(image["alt"] for image in page.images)
    assert all(link.startswith("data:") for link in page.links)


def test_tiles_that_have_moved_are_asked_for(trained: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["audit", str(trained), "--tiles", str(tmp_path)]) == 2
    assert "data.root" in capsys.readouterr().err


TAGS = ("a", "b")
NAMES = pd.Series(["x", "y", "z"])
TARGETS = np.array([[1, 0], [0, 1], [1, 1]], dtype=np.uint8)


def stored(folder: Path, text: str) -> Path:
    (folder / "audit.csv").write_text(text)
    return folder / "audit.csv"


def test_softened_labels_are_halfway_to_the_probability(tmp_path: Path) -> None:
    table = stored(tmp_path, "image_name,tag,given,probability\nz,a,1,0.2\nx,b,0,0.9\nheld_out,a,1,0\n")
    soft = soft_targets(TARGETS, NAMES, TAGS, table)
    assert soft.dtype == np.float32
    np.testing.assert_allclose(soft, np.array([[1, 0.45], [0, 1], [0.6, 1]]), rtol=1e-6)


@pytest.mark.parametrize(
    ("text", "line", "values"),
    [
        ("image_name,tag,probability\nx,c,0.1\n", 2, ["'c'", "0.1"]),
        ("image_name,tag,probability\nx,a,0.1\nx,b,1.1\n", 3, ["'b'", "1.1"]),
        ("image_name,tag,probability\nx,a,nan\n", None, ["probability", "'nan'"]),
        ("image_name,tag,probability\nx,a,high\n", None, ["probability", "'high'"]),
        ("image_name,tag\nx,a\n", None, ["'probability'"]),
        ("", None, ["image_name", "tag", "probability"]),
    ],
)
def test_wrong_tables_are_refused(tmp_path: Path, text: str, line: int | None, values: list[str]) -> None:
    with refused(file=tmp_path / "audit.csv", line=line, option="data.soft_labels", says=values):
        soft_targets(TARGETS, NAMES, TAGS, stored(tmp_path, text))


def test_a_table_of_other_tiles_is_warned_of(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    soft = soft_targets(TARGETS, NAMES, TAGS, stored(tmp_path, "image_name,tag,probability\nelsewhere,a,0.2\n"))
    np.testing.assert_array_equal(soft, TARGETS)
    assert "names none of the 3 labelled tiles, such as elsewhere" in caplog.text


def test_a_missing_table_is_named(tmp_path: Path) -> None:
    with refused(file=tmp_path / "none.csv", option="data.soft_labels"):
        soft_targets(TARGETS, NAMES, TAGS, tmp_path / "none.csv")


def test_an_audit_can_be_given_back_as_a_list_to_leave_out(trained: Path, demo_tiles: Path) -> None:
    assert main(["audit", str(trained), "--top", "60", "--show", "0"]) == 0
    listed = set(pd.read_csv(trained / "audit.csv")["image_name"])
    every, kept = read_catalog(demo_tiles), read_catalog(demo_tiles, ReadingConfig(exclude=str(trained / "audit.csv")))
    assert len(listed) < 60  # a tile stands there once for each label
    assert set(every.labelled["image_name"]) - set(kept.labelled["image_name"]) == listed


@pytest.mark.usefixtures("short_finish")
def test_scores_of_networks_that_learnt_soft_labels_are_not_called_honest(tmp_path: Path) -> None:
    p, true = draw_rows(40, seed=2)
    plain, soft = (run_of(tmp_path / name, np.clip(p + shift, 0, 1), true) for name, shift in (("a", 0), ("b", 0.05)))
    for run, sha256 in ((plain, None), (soft, "0" * 64)):
        provenance = json.loads((run / "provenance.json").read_text())
        provenance["data"] |= {"soft_labels_sha256": sha256, "labelled": 40, "unlabelled": 0}
        write_json(run / "provenance.json", provenance)
    blended, nested = tmp_path / "c", tmp_path / "d"
    assert main(["blend", str(plain), str(soft), "--run", str(blended)]) == 0
    assert main(["blend", str(plain), str(blended), "--run", str(nested)]) == 0
    printed = []
    for run in (plain, soft, blended, nested):
        metrics = tune(run, rule="fixed")
        assert metrics.get("soft_labels") is (None if run == plain else True)
        Console(file=(file := StringIO())).print(_score_table(metrics, "F2"))
        write_report(Run(run), None, saliency=False)
        printed.append((file.getvalue().count("honest"), (run / "report.html").read_text().count('class="warning"')))
    assert printed == [(1, 0), (0, 1), (0, 1), (0, 1)]
    found = compare([plain, soft])
    assert [run["soft_labels"] for run in found["runs"]] == [False, True]
    assert len(caution(found)) > len(caution(compare([plain, run_of(tmp_path / "e", p, true)])))


@pytest.fixture
def audited(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Run:
    """Audit a run without networks; its page stands for one with tiles."""

    def page(folder: Run, rows: pd.DataFrame, show: int, data: DataConfig) -> _Contents:
        if not Path(data.root).is_dir():
            raise InputError("there is no such folder", file=data.root)
        return _Contents(rows, [np.zeros((2, 2, 3), dtype=np.uint8)] * rows["image_name"].nunique(),
                     [[]] * rows["image_name"].nunique())  # fmt: skip

    monkeypatch.setattr("amazon_ml.report.audit._page", page)
    p, true = draw_rows(200, seed=2)
    run = Run(run_of(tmp_path / "run", p, true))
    audit(run.path, top=9, tiles=tmp_path)
    assert run.audit_page.is_file()
    return run


def contents(run: Run) -> list[bytes | None]:
    return [file.read_bytes() if file.exists() else None for file in (run.audit, run.audit_page)]


def test_a_list_that_leaves_out_labels_says_of_how_many(audited: Run, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("INFO")
    every = len(contradictions(*read_oof(audited)[2:]))
    for top, part in ((3, f"the strongest 3 of {every}"), (every, str(every)), (every + 1, str(every))):
        caplog.clear()
        audit(audited.path, top=top, tiles=audited.path)
        rows = pd.read_csv(audited.audit)
        assert len(rows) == min(top, every) > 2
        for text in (caplog.text, audited.audit_page.read_text()):
            assert f" {part} contradicted labels, in {rows['image_name'].nunique()} tiles" in text
            assert ("the strongest 3 of" in text) == (top < every)


@pytest.mark.parametrize("name", ["audit.csv", "audit.html"])
@pytest.mark.parametrize("show", [0, 5])
def test_an_edited_list_or_page_stays_unless_it_may_be_replaced(audited: Run, name: str, show: int) -> None:
    file = audited.path / name
    file.write_text(file.read_text() + "seen ")
    before = contents(audited)
    if name == "audit.html" and show == 0:  # no page is to be written
        audit(audited.path, top=5, show=show, tiles=audited.path)
        after = contents(audited)
        assert after[0] != before[0] and after[1] == before[1]
        return
    with refused(file=file, says="`overwrite`"):
        audit(audited.path, top=5, show=show, tiles=audited.path)
    assert contents(audited) == before
    audit(audited.path, top=5, show=show, tiles=audited.path, overwrite=True)
    after = contents(audited)
    assert after[0] != before[0] and after[1] != before[1]


def test_a_folder_in_place_of_the_page_is_named(audited: Run) -> None:
    audited.audit_page.unlink()
    audited.audit_page.mkdir()
    with refused(file=audited.audit_page):
        audit(audited.path, top=5, tiles=audited.path)
    before = audited.audit.read_bytes()
    audited.oof.write_bytes(audited.oof.read_bytes())
    clear_audit(audited)
    assert audited.audit.read_bytes() == before and audited.audit_page.is_dir()


def test_a_page_that_cannot_be_made_leaves_the_former_audit(audited: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    before = contents(audited)
    with refused(file=audited.path / "gone"):
        audit(audited.path, top=5, tiles=audited.path / "gone")
    assert contents(audited) == before
    monkeypatch.setattr("amazon_ml.report.audit.write_audit_page", Mock(side_effect=KeyboardInterrupt))
    with pytest.raises(KeyboardInterrupt):
        audit(audited.path, top=5, tiles=audited.path)
    assert contents(audited) == before
    monkeypatch.undo()


def test_a_call_that_fails_between_list_and_page_leaves_no_page_of_another_list(
    audited: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    write = Path.replace

    def full(self: Path, target: Path) -> Path:
        if Path(target) == audited.audit_page:
            raise OSError(28, "No space left on device")
        return write(self, target)

    before = contents(audited)
    monkeypatch.setattr(Path, "replace", full)
    with pytest.raises(WorkError):
        audit(audited.path, top=5, tiles=audited.path)
    after = contents(audited)
    assert after[0] != before[0] and after[1] is None


def test_probabilities_that_are_replaced_meanwhile_get_no_list(audited: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    before = contents(audited)

    def replaced(run: Run) -> object:
        found = read_oof(run)
        write_table(run.oof, pd.read_parquet(run.oof).iloc[::-1])
        return found

    monkeypatch.setattr("amazon_ml.report.audit.read_oof", replaced)
    with pytest.raises(WorkError):
        audit(audited.path, top=5, show=0)
    assert contents(audited) == before


@pytest.mark.usefixtures("short_finish")
def test_labels_that_change_leave_the_list_and_no_page(
    audited: Run, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    tune(audited.path, rule="fixed")
    assert None not in contents(audited) and str(audited.audit) not in caplog.text
    made = audited.audit.read_bytes()
    config = DataConfig(root="/tiles", exclude=str(audited.audit))
    warn_of_former_lists(config)
    assert str(audited.audit) not in caplog.text
    truth = pd.read_csv(audited.truth)
    truth["tags"] = list(truth["tags"][::-1])
    write_table(audited.truth, truth)
    warn_of_former_lists(config)
    assert str(audited.truth) in caplog.text
    with monkeypatch.context() as patch:
        patch.setattr("amazon_ml.runs.hashes.sha256_of", Mock(side_effect=PermissionError(13, "Permission denied")))
        caplog.clear()
        warn_of_former_lists(config)  # a training goes on
        assert str(audited.oof) in caplog.text or str(audited.truth) in caplog.text
    tune(audited.path, rule="fixed")
    assert contents(audited) == [made, None]
    assert str(audited.audit) in caplog.text and str(audited.audit_page) in caplog.text
