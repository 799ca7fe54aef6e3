"""Tags that no training tile has are named: in training, and in `data check`."""

from pathlib import Path
from typing import Any

import pytest
from conftest import TINY
from refused import holds
from test_several_tables import write_tile

from amazon_ml.cli.main import main
from amazon_ml.data.checks.check import Report, check
from amazon_ml.data.config import ReadingConfig
from amazon_ml.data.datamodule import PlanetDataModule
from amazon_ml.errors import WorkError
from amazon_ml.settings import build

SPLITS = ("train", "train", "val", "test")


def write_set(root: Path, having: dict[str, list[int]], lacking: tuple[int, ...] = ()) -> Path:
    """Write 36 tiles of three splits, some with further tags, and rows without a file."""
    rows = []
    for number in range(36):
        tags = [("river", "field")[number % 2], *(tag for tag, numbers in having.items() if number in numbers)]
        rows.append(f"{number},{' '.join(tags)},{SPLITS[number % 4]}")
        if number not in lacking:
            write_tile(root / "tiles" / f"{number}.png")
    (root / "labels.csv").write_text("\n".join(["image,tags,split", *rows, ""]))
    return root


def untrained(caplog: pytest.LogCaptureFixture) -> list[str]:
    return [record.getMessage() for record in caplog.records if record.name.endswith("untrained")]


def items(report: Report, kind: str) -> list[str]:
    found = [finding for finding in report.findings if finding.kind == kind]
    assert all(finding.severity == "remark" for finding in found)
    return [item for finding in found for item in finding.items]


def test_a_tag_of_other_splits_alone_is_named(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    root = write_set(tmp_path, {"glacier": [2, 3, 6], "mine": [7], "beach": [0, 2]})
    PlanetDataModule(root, size=16, split_column="split").setup("fit")
    (said,) = untrained(caplog)
    assert holds(said, "glacier", "mine") and not holds(said, "beach")
    report = check(root, build(ReadingConfig, {"split_column": "split"}), num_workers=1)
    assert items(report, "untrained_tags") == ["glacier", "mine"] and items(report, "unseen_tags") == []
    assert items(check(root, num_workers=1), "untrained_tags") == []


@pytest.mark.parametrize(("folds", "named"), [("[0]", True), ("[0,1]", False), (None, True)])
def test_a_rare_tag_is_named_where_no_network_of_the_run_is_trained_on_it(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch, folds: str | None, named: bool
) -> None:
    """Of fold 0 alone, which is the default, this tag has no tile in training."""
    root, run = write_set(tmp_path / "set", {"mine": [0, 3]}), tmp_path / "run"
    run.mkdir()
    rows = [f"{number},{number % 3}" for number in range(36)]
    (run / "folds.csv").write_text("\n".join(["image_name,fold", *rows, ""]))

    def stop(*_: Any) -> None:
        raise WorkError("the tiles were read")

    monkeypatch.setattr("amazon_ml.pipeline.train.fit_fold", stop)
    options = [] if folds is None else [f"--folds={folds}"]
    assert main(["train", f"--run={run}", f"--data.root={root}", *TINY, *options]) == 1
    assert [holds(text, "mine") for text in untrained(caplog)] == [True] * named


def test_rows_without_a_file_count_for_no_tag(tmp_path: Path) -> None:
    root = write_set(tmp_path, {"glacier": [5], "mine": [5, 6]}, lacking=(5, 9))
    report = check(root, build(ReadingConfig, {"split_column": "split", "allow_missing": True}), num_workers=1)
    assert report.tags == {"field": 16, "glacier": 0, "mine": 1, "river": 18}
    assert report.splits == {"train": 16, "val": 9, "test": 9} and report.rows == 36
    assert items(report, "unseen_tags") == ["glacier"] and items(report, "untrained_tags") == ["mine"]
    (root / "tiles").rename(tmp_path / "elsewhere")
    write_tile(root / "other" / "x.png")
    for path in (tmp_path / "elsewhere").iterdir():
        path.unlink()
    report = check(root, num_workers=1)  # the fault is that no row has a file
    assert report.tags["field"] == 18 and items(report, "unseen_tags") == []
