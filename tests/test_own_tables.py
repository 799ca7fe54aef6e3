"""What a user writes by hand, with the lines of Python that the documentation gives: a table, and folds."""

import re
from pathlib import Path

import pandas as pd
import pytest
from conftest import TINY
from made_tiles import rgb8, write_png
from refused import command_refused, holds, refused

from amazon_ml.cli.main import main
from amazon_ml.data.catalog.catalog import read_catalog
from amazon_ml.data.folds.folds import read_folds

DOCS = Path(__file__).parents[1] / "docs"


def lines_of(page: str, table: str, tiles: Path, run: Path) -> str:
    """Give the Python of a page that names a file, for these folders."""
    blocks = re.findall(r"```python\n(.*?)```", (DOCS / page).read_text(), re.DOTALL)
    (found,) = [block for block in blocks if table in block]
    return str(found).replace("DIR", str(tiles)).replace("runs/x", str(run)).replace("*.jpg", "*.png")


def classes(root: Path) -> Path:
    for i in range(8):
        write_png(root / ("Annual Crop" if i % 2 else "Forest") / f"{i}.png", rgb8(i))
    return root


def test_a_folder_for_each_class_gets_a_table(tmp_path: Path) -> None:
    root = classes(tmp_path / "tiles")
    with refused(file=root, says=["image_name,tags", "Annual Crop/1.png,Annual_Crop"]):
        read_catalog(root)
    exec(lines_of("data.md", "labels.csv", root, tmp_path), {})
    catalog = read_catalog(root)
    assert catalog.tags.names == ("Annual_Crop", "Forest")
    assert [Path(path).parent.name.replace(" ", "_") for path in catalog.labelled["path"]] == [
        catalog.tags.names[row.argmax()] for row in catalog.targets
    ]


def test_one_folder_of_images_is_no_class(tmp_path: Path) -> None:
    write_png(tmp_path / "images" / "a.png", rgb8(0))
    with refused(file=tmp_path, says="`data.labels_file`") as caught:
        read_catalog(tmp_path)
    assert "image_name,tags" not in str(caught.value)


def test_folds_with_endings_are_refused_with_the_ending(tmp_path: Path) -> None:
    path = tmp_path / "folds.csv"
    path.write_text("image_name,fold\nt0.png,0\nt1.png,1\n")
    with refused(file=path, says=["t0.png", ".png"]) as caught:
        read_folds(path, pd.Series(["t0", "t1"]))
    assert "without" in caught.value.remedy
    path.write_text("image_name,fold\nt0.png,0\nt2.png,1\n")
    with refused(file=path, says=4) as caught:  # other tiles
        read_folds(path, pd.Series(["t0.x", "t1"]))
    assert ".png" not in caught.value.remedy


@pytest.mark.usefixtures("fit_only")
def test_a_column_of_groups_becomes_folds(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    root, run = tmp_path / "tiles", tmp_path / "run"
    for i in range(24):
        write_png(root / "im" / f"t{i}.png", rgb8(i))
    rows = [f"t{i}.png,{'forest' if i % 2 else 'river'},{'abc'[i % 3]}" for i in range(24)]
    (root / "labels.csv").write_text("\n".join(["image_name,tags,region", *rows]) + "\n")
    run.mkdir()
    exec(lines_of("folds.md", "folds.csv", root, run), {})
    words = ["train", "--run", run, "--data.root", root, *TINY, "--data.batch_size=4", "--trainer.max_epochs=1"]
    assert main([*map(str, words), "--folds=[0, 1]"]) == 0
    fold = read_folds(run / "folds.csv", pd.Series([f"t{i}" for i in range(24)]))
    assert fold.tolist() == [i % 3 for i in range(24)]
    frame = pd.read_csv(run / "folds.csv")
    (tmp_path / "other").mkdir()
    frame.assign(image_name=frame["image_name"] + ".png").to_csv(tmp_path / "other" / "folds.csv", index=False)
    words[2] = tmp_path / "other"
    assert holds(command_refused(capsys, *words), "t0.png", ".png")
