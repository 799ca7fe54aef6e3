"""`data check` and `train` over the same folders: what one of them refuses, the other does not take."""

import unicodedata
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt
import pandas as pd
import pytest
import rasterio
from PIL import Image

from amazon_ml.cli.main import main

TILES, SIZE = 24, 16
TAGS = ("forest river", "field", "forest")
#: As little training as there is.
LITTLE = [
    "--data.size=16", "--data.batch_size=8", "--data.n_folds=2", "--model.backbone=test_resnet",
    "--model.pretrained=false", "--model.tta=none", "--trainer.accelerator=cpu", "--trainer.max_steps=1",
]  # fmt: skip
Make = Callable[[Path], None]


@dataclass(frozen=True)
class Folder:
    """A folder of tiles.

    Parameters
    ----------
    make
        Writes it.
    tags
        The tags that training must learn; none where both verbs must refuse the folder.
    options
        Options of reading, the same for both verbs.
    others
        How many tiles have other tags than `TAGS` says, or are left out.
    """

    make: Make
    tags: tuple[str, ...] | None = None
    options: Mapping[str, str] = field(default_factory=dict)
    others: int = 0


def name(number: int) -> str:
    return f"t{number:03}"


def pixels(number: int, bands: int = 3, dtype: str = "uint8", top: int = 256) -> npt.NDArray[Any]:
    return np.random.default_rng(number).integers(0, top, (SIZE, SIZE, bands)).astype(dtype)


def write_tif(path: Path, values: npt.NDArray[Any], **profile: Any) -> None:
    height, width, count = values.shape
    with rasterio.open(
        path, "w", driver="GTiff", height=height, width=width, count=count, dtype=values.dtype,
        transform=rasterio.Affine(3, 0, 0, 0, -3, 0), **profile,
    ) as file:  # fmt: skip
        file.write(np.moveaxis(values, -1, 0))


def jpgs(root: Path, names: Callable[[int], str] = name, tiles: int = TILES) -> None:
    for number in range(tiles):
        path = root / f"{names(number)}.jpg"
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(pixels(number)).save(path, quality=95, subsampling=0)


def rows(cell: Callable[[str], str] = str, names: Callable[[int], str] = name, tiles: int = TILES) -> list[str]:
    return [f"{names(number)},{cell(TAGS[number % len(TAGS)])}" for number in range(tiles)]


def table(
    root: Path, lines: list[str], header: str = "image_name,tags", file: str = "labels.csv", **how: Any
) -> None:  # fmt: skip
    with (root / file).open("w", **{"encoding": "utf-8", "newline": "", **how}) as stream:
        stream.write("\n".join([header, *lines, ""]))


def with_table(**how: Any) -> Make:
    """Tiles as JPGs, beside a table whose rows are written in some way."""
    reading = {key: how.pop(key) for key in ("cell", "names") if key in how}

    def make(root: Path) -> None:
        jpgs(root)
        table(root, rows(**reading), **how)

    return make


def with_lines(change: Callable[[list[str]], list[str]], header: str = "image_name,tags") -> Make:
    """Tiles as JPGs, beside a table whose lines are changed."""

    def make(root: Path) -> None:
        jpgs(root)
        table(root, change(rows()), header)

    return make


def with_files(write: Callable[[Path, int], None]) -> Make:
    """A plain table, beside tiles that are written one by one."""

    def make(root: Path) -> None:
        for number in range(TILES):
            write(root, number)
        table(root, rows())

    return make


def with_change(change: Make) -> Make:
    """Tiles and a table as they should be, and then changed."""

    def make(root: Path) -> None:
        jpgs(root)
        table(root, rows())
        change(root)

    return make


def tifs(**how: Any) -> Make:
    profile = {key: how.pop(key) for key in ("nodata", "photometric", "alpha") if key in how}
    return with_files(lambda root, number: write_tif(root / f"{name(number)}.tif", pixels(number, **how), **profile))


def first(change: Callable[[str], str], at: int = 3) -> Callable[[list[str]], list[str]]:
    return lambda lines: [change(line) if number == at else line for number, line in enumerate(lines)]


def one_hot(lines: list[str]) -> list[str]:
    return [
        ",".join([line.split(",")[0], *(str(int(tag in line.split(",")[1].split())) for tag in KNOWN)])
        for line in lines
    ]


def a_row_a_tag(lines: list[str]) -> list[str]:
    return [f"{line.split(',')[0]},{tag}" for line in lines for tag in line.split(",")[1].split()]


def float_with_nodata(root: Path, number: int) -> None:
    values = np.random.default_rng(number).uniform(0.01, 0.3, (SIZE, SIZE, 3)).astype(np.float32)
    values[:3] = -9999
    write_tif(root / f"{name(number)}.tif", values, nodata=-9999)


def deep_png(root: Path, number: int) -> None:
    cv2.imwrite(str(root / f"{name(number)}.png"), pixels(number, dtype="uint16", top=2000))


def some_deep_pngs(root: Path, number: int) -> None:
    values = pixels(number, dtype="uint16", top=60_000) if number == 5 else pixels(number)
    cv2.imwrite(str(root / f"{name(number)}.png"), values)


def bmp(root: Path, number: int) -> None:
    cv2.imwrite(str(root / f"{name(number)}.bmp"), pixels(number))


def webp(root: Path, number: int) -> None:
    cv2.imwrite(str(root / f"{name(number)}.webp"), pixels(number))


def npy(root: Path, number: int) -> None:
    np.save(root / f"{name(number)}.npy", pixels(number))


def mixed_band_counts(root: Path, number: int) -> None:
    write_tif(root / f"{name(number)}.tif", pixels(number, 4 if number == 7 else 3))


def cut_short(root: Path) -> None:
    data = (root / f"{name(4)}.jpg").read_bytes()
    (root / f"{name(4)}.jpg").write_bytes(data[: len(data) // 2])


def without_a_file(root: Path) -> None:
    (root / f"{name(4)}.jpg").unlink()


def looping(root: Path) -> None:
    (root / "again").symlink_to(root, target_is_directory=True)


def second_file(root: Path) -> None:
    (root / "more").mkdir()
    (root / "more" / f"{name(3)}.jpg").write_bytes((root / f"{name(3)}.jpg").read_bytes())


def unused_second_file(root: Path) -> None:
    for folder, number in (("a", 50), ("b", 51)):
        (root / folder).mkdir()
        Image.fromarray(pixels(number)).save(root / folder / "extra.jpg", quality=95)


def decomposed(root: Path) -> None:
    """File names in one form of Unicode, the table's in the other, as after a copy from macOS."""
    jpgs(root, lambda number: unicodedata.normalize("NFD", f"forêt_{number}"))
    table(root, rows(names=lambda number: unicodedata.normalize("NFC", f"forêt_{number}")))


KNOWN = ("field", "forest", "river")
FOLDERS = {
    "plain": Folder(with_table(), tags=KNOWN),
    # The file of the table.
    "utf-8 with a mark": Folder(with_table(encoding="utf-8-sig"), tags=KNOWN),
    "utf-16": Folder(with_table(encoding="utf-16"), tags=KNOWN),
    "windows line ends": Folder(with_table(newline="\r\n"), tags=KNOWN),
    "capital ending": Folder(with_table(file="LABELS.CSV"), tags=KNOWN),
    "latin-1": Folder(with_table(cell=lambda tags: tags.replace("river", "rivière"), encoding="latin-1")),
    "header again": Folder(with_lines(lambda lines: [*lines[:9], "image_name,tags", *lines[9:]])),
    "an open quote": Folder(with_lines(first(lambda line: line.replace(",", ',"')))),
    "header only": Folder(with_lines(lambda lines: [])),
    # How tags are written.
    "commas": Folder(
        with_table(cell=lambda tags: f'"{tags.replace(" ", ",")}"'), tags=KNOWN, options={"tag_separator": ","}
    ),
    "commas, not named": Folder(with_table(cell=lambda tags: f'"{tags.replace(" ", ",")}"')),
    "commas and blanks": Folder(with_table(cell=lambda tags: f'"{tags.replace(" ", ", ")}"')),
    "commas and blanks, named": Folder(
        with_table(cell=lambda tags: f'"{tags.replace(" ", ", ")}"'), tags=KNOWN, options={"tag_separator": ","}
    ),
    "bars": Folder(with_table(cell=lambda tags: tags.replace(" ", "|"))),
    "slashes": Folder(with_table(cell=lambda tags: tags.replace(" ", "/"))),
    "numbers as a list": Folder(with_table(cell=lambda tags: '"[1, 0, 1]"')),
    "one column a tag": Folder(with_lines(one_hot, header="image,field,forest,river")),
    "one column a tag, one named": Folder(
        with_lines(one_hot, header="image,field,forest,river"), options={"tags_column": "forest"}
    ),
    "yes and no": Folder(with_table(cell=lambda tags: "yes" if "river" in tags else "no")),
    "one tag on all": Folder(with_table(cell=lambda tags: "forest")),
    "case": Folder(with_lines(first(lambda line: line.replace("field", "Field").replace("forest", "Forest")))),
    "no-break blanks": Folder(with_lines(first(lambda line: f"{line}\N{NO-BREAK SPACE}", at=1))),
    "not a number": Folder(with_lines(first(lambda line: f"{line.split(',')[0]},nan"))),
    "no tag": Folder(with_lines(first(lambda line: f"{line.split(',')[0]},"))),
    "no tag, meant": Folder(
        with_lines(first(lambda line: f"{line.split(',')[0]},")),
        tags=KNOWN,
        options={"allow_untagged": "true"},
        others=1,
    ),
    "a row a tag": Folder(with_lines(a_row_a_tag)),
    "a row a tag, merged": Folder(with_lines(a_row_a_tag), tags=KNOWN, options={"merge_rows": "true"}),
    "a tag that is not listed": Folder(with_table(), options={"tags": "[field, forest]"}),
    # How names are written.
    "dots and slashes": Folder(with_table(names=lambda number: f"./{name(number)}.jpg"), tags=KNOWN),
    "decomposed names": Folder(decomposed, tags=KNOWN),
    "another ending": Folder(with_table(names=lambda number: f"{name(number)}.npy")),
    "lost zeros": Folder(with_table(names=lambda number: str(number))),
    # Files.
    "no image": Folder(lambda root: table(root, rows())),
    "only arrays": Folder(with_files(npy)),
    "bmp": Folder(with_files(bmp), tags=KNOWN),
    "webp": Folder(with_files(webp), tags=KNOWN),
    "a file is missing": Folder(with_change(without_a_file)),
    "a file is missing, meant": Folder(
        with_change(without_a_file), tags=KNOWN, options={"allow_missing": "true"}, others=1
    ),
    "a file is cut short": Folder(with_change(cut_short)),
    "a link to itself": Folder(with_change(looping), tags=KNOWN),
    "a second file of one name": Folder(with_change(second_file)),
    "two more files of one name": Folder(with_change(unused_second_file), tags=KNOWN),
    # Pixels.
    "tif of 1 band": Folder(tifs(bands=1)),
    "tif of 2 bands": Folder(tifs(bands=2)),
    "tif of 3 bands": Folder(tifs(bands=3), tags=KNOWN),
    "tif of 4 bands": Folder(tifs(bands=4, dtype="uint16", top=4000), tags=KNOWN),
    "tif of 12 bands": Folder(tifs(bands=12, dtype="uint16", top=4000)),
    "tif of 12 bands, named": Folder(
        tifs(bands=12, dtype="uint16", top=4000), tags=KNOWN, options={"tif_order": "abgrcdefhijk"}
    ),
    "another number of bands": Folder(with_files(mixed_band_counts)),
    "complex": Folder(tifs(bands=3, dtype="complex64")),
    "nodata": Folder(with_files(float_with_nodata), tags=KNOWN),
    "16-bit png": Folder(with_files(deep_png), tags=KNOWN),
    "a 16-bit png among others": Folder(with_files(some_deep_pngs)),
    "one pixel": Folder(
        with_files(lambda root, number: Image.fromarray(pixels(number)[:1, :1]).save(root / f"{name(number)}.png")),
    ),
}


@pytest.mark.usefixtures("fit_only")
@pytest.mark.parametrize("case", FOLDERS)
def test_check_and_training_agree(case: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = FOLDERS[case]
    monkeypatch.chdir(tmp_path)
    root = tmp_path / "tiles"
    root.mkdir()
    folder.make(root)
    checked = main(["data", "check", "tiles", *(f"--{key}={value}" for key, value in folder.options.items())])
    options = [f"--data.{key}={value}" for key, value in folder.options.items()]
    trained = main(["train", "--run", "run", "--data.root", "tiles", *options, *LITTLE])
    assert (checked == 0, trained) == ((True, 0) if folder.tags else (False, 2))
    if folder.tags:
        assert tuple(pd.read_parquet("run/oof.parquet").columns[1:]) == folder.tags
        learnt = Counter(
            frozenset(tags.split("|")) for tags in pd.read_csv("run/truth.csv", keep_default_na=False)["tags"]
        )
        meant = Counter(frozenset(TAGS[number % len(TAGS)].split()) for number in range(TILES))
        assert (meant - learnt).total() == folder.others


@pytest.mark.usefixtures("short_finish")
def test_tags_with_blanks_are_written_so_that_they_are_read_back(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    root, run, predicted = tmp_path / "tiles", tmp_path / "run", tmp_path / "predicted.csv"
    cells = ("['Broad-leaved forest', 'Sands, dunes']", "['Broad-leaved forest']", "['Sea']")
    jpgs(root)
    table(root, [f'{name(number)},"{cells[number % 3]}"' for number in range(TILES)])
    assert main(["train", f"--data.root={root}", f"--run={run}", *LITTLE]) == 0
    assert main(["predict", str(run), "--tiles", str(root), "--out", str(predicted)]) == 0
    written = {tag for row in pd.read_csv(predicted)["tags"] for tag in row.split(";")}
    assert written <= {"Broad-leaved forest", "Sands, dunes", "Sea"}
    for labels in (predicted, root / "labels.csv"):
        assert main(["evaluate", str(run), "--data", str(root), "--labels_file", str(labels)]) == 0
    (root / "other.csv").write_text("image_name,tags\nt000,Sea/Lake\n")
    assert main(["evaluate", str(run), "--data", str(root), "--labels_file", str(root / "other.csv")]) == 2
    said = capsys.readouterr().err
    assert "other.csv, line 2" in said and "--tag_separator '/'" in said
