"""Tables as people bring them: each is read as it was meant or refused, by training and by the check alike."""

import json
import unicodedata
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image

from amazon_ml.cli.main import main
from amazon_ml.data.catalog.catalog import Catalog, read_catalog
from amazon_ml.data.check.report import Report, check
from amazon_ml.errors import InputError

NAMES = [f"t{i:03}" for i in range(4)]
#: What most tables below mean.
MEANT = {"t000": {"forest", "river"}, "t001": {"river"}, "t002": {"field"}, "t003": {"field", "forest"}}


@pytest.fixture(scope="module")
def tiles(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Make a folder of four tiles without any fault, and no table."""
    root = tmp_path_factory.mktemp("tables") / "tiles"
    (root / "images").mkdir(parents=True)
    rng = np.random.default_rng(0)
    for name in NAMES:
        Image.fromarray(rng.integers(256, size=(16, 16, 3), dtype=np.uint8)).save(root / "images" / f"{name}.png")
    return root


@pytest.fixture
def write(tiles: Path, tmp_path: Path) -> Callable[[str | bytes], Path]:
    """Write a table beside nothing else."""

    def written(content: str | bytes) -> Path:
        table = tmp_path / "labels.csv"
        table.write_bytes(content if isinstance(content, bytes) else content.encode())
        return table

    return written


def meaning(catalog: Catalog) -> dict[str, set[str]]:
    return {
        Path(path).stem: {catalog.tags.names[i] for i in np.flatnonzero(row)}
        for path, row in zip(catalog.labelled["path"], catalog.targets, strict=True)
    }


def both(root: Path, **options: Any) -> tuple[Catalog | InputError, Report | InputError]:
    """Read a folder as training does and as the check does, and see that they agree."""
    read: list[Any] = []
    for call in (read_catalog, check):
        try:
            read.append(call(root, **options))
        except InputError as error:
            read.append(error)
    catalog, report = read
    faulty = isinstance(report, InputError) or bool(report.faults)
    assert faulty == isinstance(catalog, InputError), (catalog, report)
    return catalog, report


def refused(root: Path, **options: Any) -> tuple[str, list[str]]:
    """Give the message of training and the kinds that the check finds; none where it refuses, too."""
    catalog, report = both(root, **options)
    assert isinstance(catalog, InputError), meaning(catalog)
    return str(catalog), [] if isinstance(report, InputError) else [finding.kind for finding in report.faults]


def plain(cells: Sequence[str], header: str = "image,tags", between: str = ",") -> str:
    quoted = [f'"{cell}"' if between in cell else cell for cell in cells]
    return "\n".join([header, *(f"{name}.png{between}{cell}" for name, cell in zip(NAMES, quoted, strict=True)), ""])


READ: Mapping[str, tuple[str | bytes, dict[str, Any]]] = {
    "plain": (plain(["forest river", "river", "field", "field forest"]), {}),
    "repeated within a row": (plain(["forest river forest", "river river", "field", "field forest"]), {}),
    "tabs and lines between tags": (plain(["forest\triver", "river", "field", '"field\nforest"']), {}),
    "commas": (plain(["forest,river", "river", "field", "field, forest"]), {"tag_separator": ","}),
    "commas with blanks given": (plain(["forest, river", "river", "field", "field, forest"]), {"tag_separator": ", "}),
    "bars": (plain(["forest|river", "river", "field ", " field | forest"]), {"tag_separator": "|"}),
    "slashes": (plain(["forest/river", "river", "field", "field/forest"]), {"tag_separator": "/"}),
    "lists of Python": (plain(["['forest', 'river']", "['river']", "['field']", "['field', 'forest']"]), {}),
    "lists of JSON": (
        "image,tags\n" + "".join(f't00{i},"[{tags}]"\n' for i, tags in enumerate(
            ('""forest"",""river""', '""river""', '""field""', '""field"", ""forest""'))), {}),
    "lists beside a separator": (
        plain(["['forest', 'river']", "['river']", "['field']", "['field', 'forest']"]), {"tag_separator": ","}),
    "semicolons between columns": (plain(["forest river", "river", "field", "field forest"], "image;tags", ";"), {}),
    "tabs between columns": (plain(["forest river", "river", "field", "field forest"], "image\ttags", "\t"), {}),
    "bars between columns": (plain(["forest river", "river", "field", "field forest"], "image|tags", "|"), {}),
    "a spreadsheet's sep": (
        "sep=;\n" + plain(["forest river", "river", "field", "field forest"], "image;tags", ";"), {}),
    "UTF-8 with a mark": (b"\xef\xbb\xbf" + plain(["forest river", "river", "field", "field forest"]).encode(), {}),
    "UTF-16": (plain(["forest river", "river", "field", "field forest"]).encode("utf-16"), {}),
    "UTF-16, big": (b"\xfe\xff" + plain(["forest river", "river", "field", "field forest"]).encode("utf-16-be"), {}),
    "UTF-16 without a mark": (plain(["forest river", "river", "field", "field forest"]).encode("utf-16-le"), {}),
    "CRLF": (plain(["forest river", "river", "field", "field forest"]).replace("\n", "\r\n"), {}),
    "CR": (plain(["forest river", "river", "field", "field forest"]).replace("\n", "\r"), {}),
    "empty columns behind": (plain(["forest river,,", "river,,", "field,,", "field forest,,"], "image,tags").replace(
        '"', ""), {}),
    "./ in front": ("image,tags\n./images/t000.png,forest river\n./images/t001.png,river\n"
                    "./images/t002.png,field\n./images/t003.png,field forest\n", {}),
    "backslashes": ("image,tags\nimages\\t000.png,forest river\nimages\\t001.png,river\n"
                    "images\\t002.png,field\nimages\\t003.png,field forest\n", {}),
    "a number beside the path": ("id,image_path,tags\n0,t000.png,forest river\n1,t001.png,river\n"
                                 "2,t002.png,field\n3,t003.png,field forest\n", {}),
    "marks beside tags": ("image,tags,cloud,snow\nt000,forest river,1,0\nt001,river,0,0\nt002,field,0,1\n"
                          "t003,field forest,0,0\n", {}),
    "an index of pandas": (",image,tags\n0,t000,forest river\n1,t001,river\n2,t002,field\n3,t003,field forest\n", {}),
    "one of the tags beside them": (
        "image,tags,first,name\nt000,forest river,forest,t000\nt001,river,river,t001\nt002,field,field,t002\n"
        "t003,field forest,field,t003\n", {}),
    "the named one of two": ("image,tags,label\nt000,forest river,river\nt001,river,field\nt002,field,a\n"
                             "t003,field forest,b\n", {"tags_column": "tags"}),
    "boxes": ("image,tags,x,y,w,h\nt000,forest,0.1,0.2,0.3,0.4\nt000,river,0.2,0.1,0.1,0.1\nt001,river,0,0,1,1\n"
              "t002,field,1,1,0,0\nt003,field,0.1,0,0,1\nt003,forest,0.1,0,0.5,0.1\n", {"merge_rows": True}),
    "a row a tag": ("image,tags\nt000,forest\nt000,river\nt001,river\nt002,field\nt003,field\nt003,forest\n",
                    {"merge_rows": True}),
    "rows twice": (plain(["forest river", "river", "field", "field forest"]) + "t001,river\n", {"merge_rows": True}),
}  # fmt: skip


@pytest.mark.parametrize("case", READ)
def test_a_table_is_read_as_it_was_meant(case: str, tiles: Path, write: Callable[[str | bytes], Path]) -> None:
    content, options = READ[case]
    catalog, report = both(tiles, table=write(content), **options)
    assert isinstance(catalog, Catalog), catalog
    assert meaning(catalog) == MEANT
    assert isinstance(report, Report)
    assert report.tags == {"field": 2, "forest": 2, "river": 2}


#: Content, options, the kinds that the check finds (none where it refuses the table, too), and what the message names.
REFUSED: Mapping[str, tuple[str | bytes, dict[str, Any], list[str], Sequence[str]]] = {
    "a column a tag": ("image,field,forest,river\nt000.png,1,0,1\nt001.png,0,1,1\n", {}, [], ["field", "line 2"]),
    "the same in words": ("image,field,forest\nt000,Yes,no\nt001,No,YES\n", {}, [], ["field", "forest"]),
    "the same as decimals": ("image;field;forest\nt000;1.0;0.0\nt001;0.0;1.0\n", {}, [], ["field", "forest"]),
    "the same with tabs": ("IMAGE\\LABEL\tfield\tforest\nt000\t1\t0\nt001\t0\t1\n", {}, [], ["field", "forest"]),
    "the same with ticks": ("image,field,forest\nt000,x,\nt001,,x\n", {}, [], ["field", "forest"]),
    "one of them named": (
        "image,field,forest\nt000,1,0\nt001,0,1\n", {"tags_column": "forest"}, ["marks"], ["'0'", "tags_column"]),
    "a label beside them": ("image,label,field,forest\nt000,1,1,0\nt001,1,0,1\n", {}, ["marks"], ["field", "line 2"]),
    "a number beside them": ("image,label,field,forest\nt000,7,1,0\nt001,3,0,1\n", {}, ["marks"], ["field", "'7'"]),
    "0 and 1 as the list": ("image,label\nt000,1\nt001,0\n", {"tags": ["0", "1"]}, ["marks"], ["'1'"]),
    "shares": ("image,label\nt000,0.93\nt001,0.02\n", {}, ["marks"], ["0.93"]),
    "digits": ("image,label\nt000,0110\nt001,1000\n", {}, ["marks"], ["0110"]),
    "digits in a row": ("image,label\nt000,0 1 1 0\nt001,1 0 0 1\n", {}, ["marks"], ["'0'"]),
    "one tag everywhere": ("image,label\nt000,tile\nt001,tile\n", {}, ["one_tag"], ["'tile'", "tags_column"]),
    "lists of numbers": ('image,tags\nt000,"[1, 0, 1]"\nt001,"[0, 1, 1]"\n', {}, [], ["line 2", "[1, 0, 1]"]),
    "lists without quotes": ('image,tags\nt000,a\nt001,"{river,field}"\n', {}, ["lists"], ["line 3", "{river,field}"]),
    "lists of numpy": ("image,tags\nt000,['river' 'field']\nt001,river\n", {}, ["lists"], ["line 2"]),
    "some lists": ("image,tags\nt000,\"['a', 'b']\"\nt001,b\n", {}, ["lists"], ["line 2"]),
    "brackets": ("image,tags\nt000,\"(a, b)\"\nt001,b\n", {}, ["lists"], ["line 2", "(a, b)"]),
    "bars": ("image,tags\nt000,river|field\nt001,river\n", {}, ["separators"], ["line 2", "--data.tag_separator '|'"]),
    "slashes": ("image,tags\nt000,a b\nt001,b/c\n", {}, ["separators"], ["line 3", "--data.tag_separator '/'"]),
    "plus": ("image,tags\nt000,a b\nt001,b+c\n", {}, ["separators"], ["line 3", "--data.tag_separator '+'"]),
    "and": ("image,tags\nt000,a and b\nt001,b\n", {}, ["separators"], ["line 2"]),
    "ampersands": ("image,tags\nt000,a & b\nt001,b\n", {}, ["separators"], ["line 2", "--data.tag_separator '&'"]),
    "comma and blank": (
        'image,tags\nt000,"forest, river"\nt001,river\n', {}, ["separators"], ["line 2", "--data.tag_separator ','"]),
    "names with blanks": ('image,tags\nt000,"Broad-leaved forest, Sea and ocean"\nt001,"Sea and ocean"\n', {},
                          ["separators"], ["line 2", "--data.tag_separator ','"]),
    "another separator": ("image,tags\nt000,a;b\nt001,b\n", {"tag_separator": ","}, ["separators"],
                          ["line 2", "--data.tag_separator ';'"]),
    "another separator once": ("image,tags\nt000,a|b\nt001,a;b\n", {"tag_separator": "|"}, ["separators"],
                               ["line 3", "--data.tag_separator ';'"]),
    "a blank for a bar": ("image,tags\nt000,a|b\nt001,a b\n", {"tag_separator": "|"}, ["separators"], ["line 3"]),
    "wide commas": ("image,tags\nt000,a\uff0cb\nt001,b\n", {}, ["separators"], ["line 2", "tag_separator '\uff0c'"]),
    "values": ("image,tags\nt000,forest=1 river=0\nt001,forest=0 river=1\n", {}, ["punctuation"], ["line 2"]),
    "shares beside tags": ("image,tags\nt000,forest 60 river 40\nt001,forest\n", {}, ["no_value"], ["line 2", "'60'"]),
    "an empty set": ("image,tags\nt000,set()\nt001,b\n", {}, ["punctuation"], ["line 2"]),
    "a wrong encoding": ("image,tags\nt000,for\u00c3\u00aat b\nt001,b\n", {}, ["odd_characters"], ["for\u00eat"]),
    "two alphabets": ("image,tags\nt000,f\u043erest b\nt001,b\n", {}, ["odd_characters"], ["LATIN", "CYRILLIC"]),
    "numbered columns": ("image,label,label_2\nt000,a,b\nt001,b,\n", {}, [], ["label_2", "tags_column"]),
    "punctuation": ("image,tags\nt000,a.\nt001,b\n", {}, ["punctuation"], ["line 2", "'a.'"]),
    "quotes": ("image,tags\nt000,'a b'\nt001,b\n", {}, ["punctuation"], ["line 2"]),
    "case": ("image,tags\nt000,Forest b\nt001,forest\n", {}, ["spellings"], ["lines 2", "'Forest'", "'forest'"]),
    "underscores": ("image,tags\nt000,bare_ground b\nt001,bare-ground\n", {}, ["spellings"], ["lines 2", "lines 3"]),
    "widths": ("image,tags\nt000,\uff46orest b\nt001,forest\n", {}, ["spellings"], ["lines 2", "lines 3"]),
    "a no-break blank": ("image,tags\nt000,bare\u00a0ground\nt001,b\n", {}, ["odd_characters"], ["line 2", "U+00A0"]),
    "a zero-width blank": ("image,tags\nt000,a b\u200b\nt001,a\n", {}, ["odd_characters"], ["line 2", "U+200B"]),
    "repeated header": ("image,tags\nt000,a\nimage,tags\nt001,b\n", {}, ["header_again"], ["line 3"]),
    "a row a tag": ("image,tags\nt000,a\nt000,b\nt001,b\n", {}, ["contradictory_rows"], ["t000", "merge_rows true"]),
    "rows twice": ("image,tags\nt000,a\nt000,a\nt001,b\n", {}, ["repeated_rows"], ["t000", "lines 2, 3"]),
    "no tag": ("image,tags\nt000,a b\nt001,\n", {}, ["untagged_rows"], ["line 3", "allow_untagged true"]),
    "an empty list": ("image,tags\nt000,\"['a','b']\"\nt001,[]\n", {}, ["untagged_rows"], ["line 3"]),
    "Latin-1": ("image,tags\nt000,a b\nt001,for\xeat\n".encode("latin-1"), {}, ["broken_rows"], ["line 3", "UTF-8"]),
    "Latin-1 in the header": ("image,tags,r\xe9gion\nt000,a b,1\n".encode("latin-1"), {}, [], ["line 1", "UTF-8"]),
    "a NUL byte": (b"image,tags\nt000,a b\nt001,a\0b\n", {}, ["broken_rows"], ["line 3", "NUL"]),
    "a spreadsheet": (b"PK\x03\x04" + bytes(40), {}, [], ["spreadsheet"]),
    "a web page": ("<!DOCTYPE html><html></html>", {}, [], ["web page"]),
    "an open quote": ('image,tags\nt000,a b\nt001,"b\n', {}, ["broken_rows"], ["line 3"]),
    "empty": (b"", {}, [], ["empty"]),
    "a header alone": ("image,tags\n", {}, [], ["no rows"]),
    "no header": ("t000.png,a\nt001.png,b\n", {}, [], ["header"]),
    "names for tags": ("image,tags\nt000,a\nt001,b\n", {"tags_column": "image"}, [], ["'image'", "tags_column"]),
    "two columns of a name": ("image,tags,Tags\nt000,a,b\nt001,b,c\n", {}, [], ["2 columns named 'tags'"]),
    "spread tags": ("image,tags,,\nt000,a,b,\nt001,b,,\n", {}, [], ["line 2", "'b'", "column 3"]),
    "spread over short rows": ("image,tags,,\nt000,a\nt001,a,b\n", {}, [], ["line 3", "'b'"]),
    "spread by pandas": ("image,tags,Unnamed: 2\nt000,a,b\nt001,b,\n", {}, [], ["line 2", "'b'"]),
    "a column twice": ("image,label,label.1\nt000,a,b\nt001,b,\n", {}, [], ["label.1", "line 2", "tags_column"]),
    "a second letter": ("image,label,label_b\nt000,a,c\nt001,b,\n", {}, [], ["label_b", "tags_column"]),
    "a second word": ("image,label,second_label\nt000,a,c\nt001,b,\n", {}, [], ["second_label", "tags_column"]),
    "tag and label": ("image,tag,label\nt000,a,c\nt001,b,d\n", {}, [], ["'label'", "'tag'", "tags_column"]),
    "tags under another name": ("image,tags,also\nt000,a,b\nt001,b,b\n", {}, [], ["'also'", "line 2"]),
    "a value beside a tag": (
        "image,tag,value\nt000,a,0\nt000,b,1\nt001,a,1\nt001,b,0\n", {"merge_rows": True}, [], ["'value'"]),
    "a share beside a tag": (
        "image,tag,score\nt000,a,0.9\nt000,b,0.1\nt001,a,0.2\nt001,b,0.8\n", {}, [], ["'score'"]),
    "two columns of names": ("image,filename,tags\nt000,t001,a\nt001,t000,b\nt002,t003,a\nt003,t002,b\n", {}, [],
                             ["'image'", "'filename'", "name_column", "line 2"]),
    "a row cut short": ("image,tags\nt000,a b\nt001\n", {}, ["broken_rows"], ["line 3"]),
    "other delimiters below": ("image,tags\nt000;a b\nt001;b\n", {}, [], ["line 2"]),
    "one tile by two names": (
        "image,tags\nt000,a\nimages/t000,b\nt001,b\n", {}, ["shared_files"], ["line 2", "line 3"]),
}  # fmt: skip


@pytest.mark.parametrize("case", REFUSED)
def test_a_table_is_refused_with_line_and_remedy(case: str, tiles: Path, write: Callable[[str | bytes], Path]) -> None:
    content, options, kinds, named = REFUSED[case]
    table = write(content)
    message, found = refused(tiles, table=table, **options)
    assert str(table) in message and "\n" not in message
    assert [name for name in named if name not in message] == []
    assert found == kinds


@pytest.mark.parametrize(
    "word", ["nan", "NaN", "NA", "N/A", "n/a", "None", "null", "-", "--", "?", "#N/A", "<NA>", "unknown"]
)
def test_a_word_for_no_value_is_a_tag_only_where_the_list_has_it(
    word: str, tiles: Path, write: Callable[[str | bytes], Path]
) -> None:
    table = write(f"image,tags\nt000,a b\nt001,{word}\nt002,a\n")
    message, kinds = refused(tiles, table=table)
    assert "line 3" in message and repr(word) in message and kinds == ["no_value"]
    catalog, _ = both(tiles, table=table, tags=["a", "b", word])
    assert isinstance(catalog, Catalog) and meaning(catalog)["t001"] == {word}


@pytest.mark.parametrize("tag", ["x.y", "type-2", "river/field", "c++", "Forest", "forêt", "森林", "лес", "🌲"])
def test_a_tag_that_the_list_has_is_a_tag(tag: str, tiles: Path, write: Callable[[str | bytes], Path]) -> None:
    catalog, _ = both(tiles, table=write(f"image,tags\nt000,forest {tag}\nt001,forest\n"), tags=["forest", tag])
    assert isinstance(catalog, Catalog) and meaning(catalog) == {"t000": {"forest", tag}, "t001": {"forest"}}


@pytest.mark.parametrize("tag", ["x.y", "type-2", "bare_ground", "forêt", "森林", "лес", "a:b", "l'eau"])
def test_letters_of_any_script_and_inner_marks_make_a_tag(
    tag: str, tiles: Path, write: Callable[[str | bytes], Path]
) -> None:
    forms: tuple[Literal["NFC", "NFD"], ...] = ("NFC", "NFD")
    for form in forms:
        table = write(unicodedata.normalize(form, f"image,tags\nt000,forest {tag}\nt001,forest\n"))
        catalog, _ = both(tiles, table=table)
        assert isinstance(catalog, Catalog) and meaning(catalog)["t000"] == {"forest", tag}


def test_the_forms_of_an_accent_are_one_tag_and_one_name(tmp_path: Path) -> None:
    rng = np.random.default_rng(1)
    names = [unicodedata.normalize("NFC", "été0"), unicodedata.normalize("NFD", "été1")]
    for name in names:
        Image.fromarray(rng.integers(256, size=(16, 16, 3), dtype=np.uint8)).save(tmp_path / f"{name}.png")
    swapped = [unicodedata.normalize("NFD", "été0,forêt b"), unicodedata.normalize("NFC", "été1,forêt b")]
    (tmp_path / "t.csv").write_text("\n".join(["image,tags", *swapped]))
    catalog, _ = both(tmp_path)
    assert isinstance(catalog, Catalog)
    assert list(meaning(catalog).values()) == [{"forêt", "b"}] * 2


def test_options_say_what_is_meant(tiles: Path, write: Callable[[str | bytes], Path], tmp_path: Path) -> None:
    table = write("image,tags\nt000,a b\nt001,\nt777,b\nt002,b\n")
    catalog, report = both(tiles, table=table, allow_untagged=True, allow_missing=True)
    assert isinstance(catalog, Catalog) and isinstance(report, Report)
    assert meaning(catalog) == {"t000": {"a", "b"}, "t001": set(), "t002": {"b"}}
    remarks = {finding.kind: finding.count for finding in report.findings}
    assert remarks["untagged_tiles"] == remarks["missing_tiles"] == 1
    names = tmp_path / "names.csv"
    names.write_text("image_name\nt001.png\nt777\n")
    catalog, _ = both(tiles, table=table, leave_out=names)
    assert isinstance(catalog, Catalog) and list(meaning(catalog)) == ["t000", "t002"]


#: Names in the table for files t000 … t003, and what the message says beside the first two.
FAR_NAMES: Mapping[str, tuple[str, Sequence[str]]] = {
    "numbers": ("{i}", ["'0'", "'t000'"]),
    "decimals": ("{i}.0", ["'0.0'", "'t000'"]),
    "zeros lost": ("t{i}", ["'t0'", "'t000'", "zeros"]),
    "case": ("T00{i}", ["'T000'", "'t000'", "case"]),
    "a folder": ("/data/set/t00{i}.png", ["'/data/set/t000'", "'t000'", "folder"]),
    "an ending": ("t00{i}.npy", ["'t000.npy'", "'t000'", "ending"]),
    "a blank": ("t 00{i}", ["'t 000'", "'t000'", "blank"]),
}


@pytest.mark.parametrize("case", FAR_NAMES)
def test_a_join_that_fails_says_what_differs(case: str, tiles: Path, write: Callable[[str | bytes], Path]) -> None:
    form, named = FAR_NAMES[case]
    table = write("image,tags\n" + "".join(f"{form.format(i=i)},a {'b' * (i % 2)}\n" for i in range(4)))
    message, kinds = refused(tiles, table=table)
    assert [name for name in named if name not in message] == []
    assert kinds == ["missing_files"]


def test_another_column_that_fits_is_named(tiles: Path, write: Callable[[str | bytes], Path]) -> None:
    table = write("id,where,tags\n" + "".join(f"{i},t00{i},a {'b' * (i % 2)}\n" for i in range(4)))
    message, _ = refused(tiles, table=table)
    assert "--data.name_column 'where'" in message
    catalog, _ = both(tiles, table=table, name_column="where")
    assert isinstance(catalog, Catalog)


def test_a_name_in_two_folders_is_asked_for_with_its_folder(tmp_path: Path) -> None:
    rng = np.random.default_rng(2)
    for name in ("x/a", "y/a", "y/b"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        Image.fromarray(rng.integers(256, size=(16, 16, 3), dtype=np.uint8)).save(tmp_path / f"{name}.png")
    (tmp_path / "t.csv").write_text("image,tags\na,p q\ny/b,q\n")
    message, _ = refused(tmp_path)
    assert "x/a" in message and "y/a" in message
    (tmp_path / "t.csv").write_text("image,tags\nx/a,p q\ny/b,q\ny/a,p\n")
    catalog, _ = both(tmp_path)
    assert isinstance(catalog, Catalog)


@pytest.mark.parametrize(
    ("content", "option"),
    [
        ("image,label,field,forest\nt000,1,1,0\nt001,1,0,1\n", "tags_column"),
        ('image,tags\nt000,"forest, river"\nt001,river\n', "tag_separator ','"),
        ("image,tags\nt000,a\nt000,b\nt001,b\n", "merge_rows true"),
        ("image,tags\nt000,a b\nt001,\n", "allow_untagged true"),
    ],
)
def test_each_verb_names_its_own_option(
    content: str, option: str, tiles: Path, write: Callable[[str | bytes], Path], capsys: pytest.CaptureFixture[str],
    tmp_path: Path,
) -> None:  # fmt: skip
    table = str(write(content))
    assert main(["train", f"--data.root={tiles}", f"--data.table={table}", f"--run={tmp_path / 'run'}"]) == 2
    assert f"--data.{option}" in capsys.readouterr().err
    assert main(["data", "pack", str(tiles), "--table", table, "--out", str(tmp_path / "store")]) == 2
    assert f"--{option}" in capsys.readouterr().err
    assert main(["data", "check", str(tiles), "--table", table]) == 1


def test_the_check_takes_the_options_of_training(
    tiles: Path, write: Callable[[str | bytes], Path], tmp_path: Path
) -> None:
    table = write("image,tags\nt000,a\nt000,b\nt001,\nt888,b\nt999,c|d\n")
    names, out = tmp_path / "names.csv", tmp_path / "check.json"
    names.write_text("image_name\nt999\n")
    call = ["data", "check", str(tiles), "--table", str(table), "--json", str(out), "--exclude", str(names)]
    assert main(call) == 1
    assert main([*call, "--overwrite", "--merge_rows", "--allow_untagged", "--allow_missing"]) == 0
    assert json.loads(out.read_text())["tags"] == {"a": 1, "b": 2}


# Random tables -------------------------------------------------------------------------------------------------------

CLEAN = ["forest", "river", "field", "bare_ground", "type-2", "forêt"]
TAGS = [*CLEAN, "Forest", "bare ground", "N/A", "nan", "0", "1", "yes"]
JOINERS = [" ", ",", ", ", ";", "|", "/", "\t", " and ", "+"]


def as_list(tags: Sequence[str]) -> str:
    return str(list(tags))


@st.composite
def tables(draw: st.DrawFn) -> tuple[bytes, list[dict[str, set[str]]], str | None, bool]:
    """Draw a table, what it may mean, the separator that is given, and whether rows are joined."""
    pool = draw(st.sampled_from([CLEAN, CLEAN, TAGS]))
    rows = [draw(st.lists(st.sampled_from(pool), max_size=3, unique=True)) for _ in NAMES]
    joiner = draw(st.sampled_from(JOINERS))
    form = draw(st.sampled_from([joiner.join, joiner.join, joiner.join, as_list, json.dumps]))
    pairs = list(zip(NAMES, rows, strict=True))
    if draw(st.integers(0, 5)) == 0:
        pairs = [(name, [tag]) for name, tags in pairs for tag in tags] or pairs
    style, between = draw(st.sampled_from(["tags", "tags", "tags", "marks"])), draw(st.sampled_from([",", ";", "\t"]))
    name_form = draw(st.sampled_from(["{}", "{}.png", "./{}.PNG", "images\\{}.png"]))
    if style == "marks":
        columns = [tag for tag in TAGS if any(tag in tags for _, tags in pairs)]
        lines = [["image", *columns], *([name_form.format(n), *(str(int(c in t)) for c in columns)] for n, t in pairs)]
    else:
        lines = [["image", "tags"], *([name_form.format(name), form(tags)] for name, tags in pairs)]
    if draw(st.integers(0, 8)) == 0:
        lines.insert(draw(st.integers(1, len(lines))), lines[0])
    text = "".join(between.join('"' + cell.replace('"', '""') + '"' for cell in line) + "\n" for line in lines)
    if draw(st.booleans()):
        text = unicodedata.normalize("NFD", text)
    text = text.replace("\n", draw(st.sampled_from(["\n", "\r\n", "\r"])))
    encoding = draw(st.sampled_from(["utf-8", "utf-8-sig", "utf-16", "utf-16-le", "latin-1"]))
    separator = draw(st.sampled_from([None, None, joiner.strip() or None, joiner, ",", ";"]))
    meant: list[dict[str, set[str]]] = [{}, {}]
    for name, tags in pairs:
        meant[0].setdefault(name, set()).update(tags)
        # Who gives a separator says that blanks part no tags.
        blank = joiner in (" ", " and ") and separator is not None and separator.strip() not in ("", joiner.strip())
        whole = {joiner.join(tags)} - {""} if blank else set(tags)
        meant[1].setdefault(name, set()).update(whole)
    return text.encode(encoding, errors="replace"), meant, separator, draw(st.booleans())


@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(drawn=tables(), untagged=st.booleans())
def test_random_tables_are_read_as_meant_or_refused(
    drawn: tuple[bytes, list[dict[str, set[str]]], str | None, bool], untagged: bool, tiles: Path, tmp_path: Path
) -> None:
    content, meant, separator, merge = drawn
    table = tmp_path / "labels.csv"
    table.write_bytes(content)
    catalog, _ = both(tiles, table=table, tag_separator=separator, merge_rows=merge, allow_untagged=untagged)
    if isinstance(catalog, Catalog):
        assert meaning(catalog) in meant
        assert not {"0", "1", "yes", "nan", "N/A"} & set(catalog.tags.names)
