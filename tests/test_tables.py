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
from amazon_ml.data.checks.check import Report, check
from amazon_ml.data.config import ReadingConfig
from amazon_ml.errors import InputError
from amazon_ml.settings import build

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


def both(
    root: Path, *, table: Path | None = None, exclude: Path | None = None, **options: Any
) -> tuple[Catalog | InputError, Report | InputError]:
    """Read a folder as training does and as the check does, and see that they agree."""
    read: list[Any] = []
    paths = {"labels_file": table, "exclude": exclude}
    named = {name: str(path) for name, path in paths.items() if path is not None}
    config = build(ReadingConfig, {**named, **options})
    for call in (read_catalog, check):
        try:
            read.append(call(root, config))
        except InputError as error:
            read.append(error)
    catalog, report = read
    faulty = isinstance(report, InputError) or any(fault.kind != "few_tiles" for fault in report.faults)
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
    "a blank before quotes": (
        'image, tags\nt000, "forest river"\nt001, "river"\nt002, field\nt003, "field forest"\n', {}),
    "lines between tags beside a note": (
        'image,tags,note\nt000,"forest\nriver","flat, wet\nand green, too"\nt001,river,\nt002,field,\n'
        't003,"field\nforest",\n', {}),
    "a list over lines": (
        'image,tags\nt000,"[\n""forest"",\n""river""\n]"\nt001,"[""river""]"\nt002,"[""field""]"\n'
        't003,"[""field"",\n""forest""]"\n', {}),
    "commas over lines": (
        'image,tags\nt000,"forest,\nriver"\nt001,river\nt002,field\nt003,"field,\nforest"\n', {"tag_separator": ","}),
    "a tab as two letters": (
        plain(["forest\triver", "river", "field", "field\tforest"]), {"tag_separator": "\\t"}),
    "a line as two letters": (
        plain(['"forest\nriver"', "river", "field", '"field\nforest"']), {"tag_separator": "\\n"}),
    "marks inside of a joined file": (
        "\ufeff\ufeffimage,tags\nt000,forest river\n\ufefft001,river\n\ufeff\"t002\",field\nt003,field forest\n", {}),
    "double slashes": ("image,tags\nimages//t000.png,forest river\nimages/./t001.png,river\n"
                       ".//images/t002.png,field\nimages/../images/t003.png,field forest\n", {}),
    "numbers beside class codes": ("image,label,size\nt000,forest river,3\nt001,river,0\nt002,field,7\n"
                                   "t003,field forest,0\n", {"tags_column": "label"}),
}  # fmt: skip

#: Tables whose tags look odd and are right: content, options, and the tags.
RIGHT: Mapping[str, tuple[str, dict[str, Any], set[str]]] = {
    "a phrase with commas in a list": (
        "image,tags\nt000,\"['Broad-leaved forest', 'Sands, dunes']\"\nt001,\"['Broad-leaved forest']\"\n", {},
        {"Broad-leaved forest", "Sands, dunes"}),
    "a phrase with a comma": ('image,tags\nt000,"Developed, Open Space"\nt001,"Developed, Low"\nt002,Water\n',
                              {"tag_separator": "|"}, {"Developed, Open Space", "Developed, Low", "Water"}),
    "a word of two other tags": ("image,tags\nt000,bare ground\nt001,bare_ground\nt002,bare\n", {},
                                 {"bare", "ground", "bare_ground"}),
    "keys": ("image,tags\nt000,landuse=forest natural=water\nt001,landuse=grass\nt002,water=river\n", {},
             {"landuse=forest", "natural=water", "landuse=grass", "water=river"}),
    "a dash": ("image,tags\nt000,Broad\u2013leaved x\nt001,x\n", {}, {"Broad\u2013leaved", "x"}),
    "the dot of Catalan": ("image,tags\nt000,col\u00b7lina x\nt001,x\n", {}, {"col\u00b7lina", "x"}),
    "an emoji in its form": ("image,tags\nt000,\u2744\ufe0f x\nt001,x\n", {}, {"\u2744\ufe0f", "x"}),
    "Thai": ("image,tags\nt000,\u0e1b\u0e48\u0e32 x\nt001,x\n", {}, {"\u0e1b\u0e48\u0e32", "x"}),
    "Hindi": ("image,tags\nt000,\u0928\u094d\u200d\u092f x\nt001,x\n", {}, {"\u0928\u094d\u200d\u092f", "x"}),
    "codes": ("image,tags\nt000,311 312\nt001,111\nt002,10\n", {}, {"311", "312", "111", "10"}),
    "codes with points": ("image,tags\nt000,1.1 1.2\nt001,1.0\n", {"tags": ["1.1", "1.2", "1.0"]},
                          {"1.1", "1.2", "1.0"}),
    "two versions": ("image,tags\nt000,v1.1 x\nt001,v11\n", {}, {"v1.1", "v11", "x"}),
    "class codes beside a number": ("image,class_id,count\nt000,3,0\nt001,0,4\n", {"tags_column": "class_id"},
                                    {"3", "0"}),
    "numbers as the list": ("image,tags\nt000,5 6\nt001,7\n", {"tags": [5, 6, 7]}, {"5", "6", "7"}),
    "words like those for no value": ("image,tags\nt000,x blank\nt001,void\n", {}, {"x", "blank", "void"}),
}  # fmt: skip


@pytest.mark.parametrize("case", RIGHT)
def test_odd_tags_that_are_right_are_read(case: str, tiles: Path, write: Callable[[str | bytes], Path]) -> None:
    content, options, tags = RIGHT[case]
    catalog, _ = both(tiles, table=write(content), **options)
    assert isinstance(catalog, Catalog), catalog
    assert set(catalog.tags.names) == tags


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
    "a list without its end": (
        "image;tags\nt000;['a', 'b']\nt001;['b']\nt002;['b', 'a'\nt003;['b']\n", {}, ["lists"],
        ["line 4", "t002", "]"]),
    "a list without its beginning": (
        'image,tags\nt000,"[\'a\', \'b\']"\nt001,"\'b\', \'a\']"\nt002,[\'b\']\n', {}, ["lists"],
        ["line 3", "t001", "["]),
    "a word among lists": (
        "image;tags\nt000;['a', 'b']\nt001;forest (dense)\nt002;['b']\n", {}, ["lists"], ["line 3", "t001"]),
    "no value among lists": (
        "image;tags\nt000;['a', 'b']\nt001;nan\nt002;['b']\n", {}, ["no_value"], ["line 3", "'nan'"]),
    "an empty list among words": (
        "image,tags\nt000,a\nt001,[]\nt002,[]\nt003,b\n", {}, ["lists"], ["line 3", "[]"]),
    "some lists": ("image,tags\nt000,\"['a', 'b']\"\nt001,b\n", {}, ["lists"], ["line 2"]),
    "brackets": ("image,tags\nt000,\"(a, b)\"\nt001,b\n", {}, ["lists"], ["line 2", "(a, b)"]),
    "bars": ("image,tags\nt000,river|field\nt001,river\n", {}, ["separators"], ["line 2", "`data.tag_separator` '|'"]),
    "slashes": ("image,tags\nt000,a b\nt001,b/c\n", {}, ["separators"], ["line 3", "`data.tag_separator` '/'"]),
    "plus": ("image,tags\nt000,a b\nt001,b+c\n", {}, ["separators"], ["line 3", "`data.tag_separator` '+'"]),
    "and": ("image,tags\nt000,a and b\nt001,b\n", {}, ["separators"], ["line 2"]),
    "ampersands": ("image,tags\nt000,a & b\nt001,b\n", {}, ["separators"], ["line 2", "`data.tag_separator` '&'"]),
    "comma and blank": (
        'image,tags\nt000,"forest, river"\nt001,river\n', {}, ["separators"], ["line 2", "`data.tag_separator` ','"]),
    "names with blanks": ('image,tags\nt000,"Broad-leaved forest, Sea and ocean"\nt001,"Sea and ocean"\n', {},
                          ["separators"], ["line 2", "`data.tag_separator` ','"]),
    "another separator": ("image,tags\nt000,a;b\nt001,b\n", {"tag_separator": ","}, ["separators"],
                          ["line 2", "`data.tag_separator` ';'"]),
    "another separator once": ("image,tags\nt000,a|b\nt001,a;b\n", {"tag_separator": "|"}, ["separators"],
                               ["line 3", "`data.tag_separator` ';'"]),
    "a blank for a bar": ("image,tags\nt000,a|b\nt001,a b\n", {"tag_separator": "|"}, ["separators"], ["line 3"]),
    "wide commas": ("image,tags\nt000,a\uff0cb\nt001,b\n", {}, ["separators"],
                    ["line 2", "`data.tag_separator` '\uff0c'"]),
    "values": ("image,tags\nt000,forest=1 river=0\nt001,forest=0 river=1\n", {}, ["punctuation"], ["line 2"]),
    "shares beside tags": ("image,tags\nt000,forest 60 river 40\nt001,forest\n", {}, ["no_value"], ["line 2", "'60'"]),
    "an empty set": ("image,tags\nt000,set()\nt001,b\n", {}, ["punctuation"], ["line 2"]),
    "a wrong encoding": ("image,tags\nt000,for\u00c3\u00aat b\nt001,b\n", {}, ["odd_characters"], ["for\u00eat"]),
    "two alphabets": ("image,tags\nt000,f\u043erest b\nt001,b\n", {}, ["odd_characters"], ["LATIN", "CYRILLIC"]),
    "numbered columns": ("image,label,label_2\nt000,a,b\nt001,b,\n", {}, [], ["label_2", "tags_column"]),
    "punctuation": ("image,tags\nt000,a.\nt001,b\n", {}, ["punctuation"], ["line 2", "'a.'"]),
    "quotes": ("image,tags\nt000,'a b'\nt001,b\n", {}, ["punctuation"], ["line 2"]),
    "case": ("image,tags\nt000,Forest b\nt001,forest\n", {}, ["spellings"], ["line 2", "'Forest'", "'forest'"]),
    "underscores": ("image,tags\nt000,bare_ground b\nt001,bare-ground\n", {}, ["spellings"], ["line 2", "line 3"]),
    "widths": ("image,tags\nt000,\uff46orest b\nt001,forest\n", {}, ["spellings"], ["line 2", "line 3"]),
    "a no-break blank": ("image,tags\nt000,bare\u00a0ground\nt001,b\n", {}, ["odd_characters"], ["line 2", "U+00A0"]),
    "a zero-width blank": ("image,tags\nt000,a b\u200b\nt001,a\n", {}, ["odd_characters"], ["line 2", "U+200B"]),
    "repeated header": ("image,tags\nt000,a\nimage,tags\nt001,b\n", {}, ["header_again"], ["line 3"]),
    "a row a tag": ("image,tags\nt000,a\nt000,b\nt001,b\n", {}, ["contradictory_rows"],
                    ["t000", "`data.merge_rows` true"]),
    "rows twice": ("image,tags\nt000,a\nt000,a\nt001,b\n", {}, ["repeated_rows"], ["t000", "line 2", "line 3"]),
    "no tag": ("image,tags\nt000,a b\nt001,\n", {}, ["untagged_rows"], ["line 3", "`data.allow_untagged` true"]),
    "an empty list": ("image,tags\nt000,\"['a','b']\"\nt001,[]\n", {}, ["untagged_rows"], ["line 3"]),
    "Latin-1": ("image,tags\nt000,a b\nt001,for\xeat\n".encode("latin-1"), {}, ["broken_rows"], ["line 3", "UTF-8"]),
    "Latin-1 in the header": ("image,tags,r\xe9gion\nt000,a b,1\n".encode("latin-1"), {}, [], ["line 1", "UTF-8"]),
    "a NUL byte": (b"image,tags\nt000,a b\nt001,a\0b\n", {}, ["broken_rows"], ["line 3", "NUL"]),
    "a spreadsheet": (b"PK\x03\x04" + bytes(40), {}, [], ["spreadsheet"]),
    "a web page": ("<!DOCTYPE html><html></html>", {}, [], ["web page"]),
    "an open quote": ('image,tags\nt000,a b\nt001,"b\n', {}, ["broken_rows", "few_tiles"], ["line 3"]),
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
    "a cell that takes rows": ('image,tags\nt000,"a b\nt001,c\nt002,a"\nt003,b\n', {}, ["broken_rows"],
                               ["line 2", "t001,c"]),
    "a name that takes rows": ('image,tags\n"t000,a b\nt001",c\nt002,a b\nt003,b\n', {}, ["broken_rows"], ["line 2"]),
    "a note that takes rows": (
        'image,tags,note\nt000,a,"x\nt001,b,y"\nt002,a b,\nt003,b,\n', {}, ["broken_rows"], ["line 2", "t001,b"]),
    "a cell that takes rows, with commas": (
        'image,tags\nt000,"a,b\nt001,c"\nt002,a\nt003,"a,b"\n', {"tag_separator": ","}, ["broken_rows"], ["line 2"]),
    "tags that are joined by _": ("image,tags\nt000,a_b\nt001,b_a\nt002,a\nt003,b\n", {}, ["separators"],
                                  ["line 2", "`data.tag_separator` '_'"]),
    "signs of unequal length": ("image,label\nt000,110\nt001,1000\nt002,11\n", {}, ["marks"], ["'110'"]),
    "signs behind b": ("image,label\nt000,b0110\nt001,b1010\n", {}, ["marks"], ["'b0110'"]),
    "signs with marks": ("image,label\nt000,0-1-1\nt001,1_0_1\n", {}, ["marks"], ["'0-1-1'"]),
    "letters for signs": ("image,label\nt000,YNN\nt001,NYY\n", {}, ["marks"], ["'YNN'"]),
    "counts of tags": ("image,forest,river\nt000,3,0\nt001,0,2\n", {"tags_column": "forest"}, ["marks"],
                       ["'3'", "river '0'"]),
    "names of masks": ("image,label\nt000,t000_mask.png\nt001,masks/t001.tif\n", {}, ["no_tags"],
                       ["t000_mask.png", "tags_column"]),
    "names again": ("image,label\nt000,t000\nt001,images/t001.png\n", {}, ["no_tags"], ["tags_column"]),
    "another value on each row": ("image,label\n" + "".join(f"t{i:03},v{i}\n" for i in range(10)),
                                  {"allow_missing": True}, ["no_tags"], ["'v0'", "tags_column"]),
    "the same tags everywhere": ("image,label\nt000,a b\nt001,b a\nt002,a b a\n", {}, ["one_tag"], ["'a', 'b'"]),
    "no tag at all": ("image,tags\nt000,\nt001,\n", {"allow_untagged": True, "tags": ["a"]}, [], ["no tag"]),
    "a second header": ("image,label\nt000,a b\n\ufeffimage_name,labels\nt001,b\n", {}, ["header_again"], ["line 3"]),
    "a second header, swapped": ("image,label\nt000,a b\nlabel,image\nt001,b\n", {}, ["header_again"], ["line 3"]),
    "a string of two tags": ("image,tags\nt000,\"['a,b']\"\nt001,\"['b']\"\n", {}, ["separators"], ["line 2"]),
    "rounded names": ("image,tags\n1.23E+12,a\n1.23E+12,b\n", {}, ["contradictory_rows", "missing_files"],
                      ["1.23E+12", "spreadsheet"]),
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


@pytest.mark.parametrize("mark", [":", "::", "#", "@", "*", "^", ">", "->", "=", "!", "\u2013", "\u2014", "`", "$"])
def test_a_mark_between_parts_that_are_tags_elsewhere_is_doubted(
    mark: str, tiles: Path, write: Callable[[str | bytes], Path]
) -> None:
    for cells in ((f"forest{mark}river", "river"), (f"a{mark}b", f"b{mark}c", f"a{mark}c")):
        message, kinds = refused(tiles, table=write(plain([*cells, *["x y"] * (4 - len(cells))])))
        assert "line 2" in message and f"`data.tag_separator` {mark!r}" in message and kinds == ["separators"]
        catalog, _ = both(tiles, table=write(plain([*cells, *["x y"] * (4 - len(cells))])), tag_separator=mark)
        assert isinstance(catalog, Catalog) and "x y" in catalog.tags.names
    catalog, _ = both(tiles, table=write(plain([f"p{mark}q", "x", "y", "x y"])))
    assert isinstance(catalog, Catalog) and f"p{mark}q" in catalog.tags.names


@pytest.mark.parametrize("mark", ["\u00b7", "\u2022", "\u00a6", "~", "<br>", "<BR/>", "%20", "%2C", "%7c"])
def test_a_mark_that_stands_in_no_name_is_always_doubted(
    mark: str, tiles: Path, write: Callable[[str | bytes], Path]
) -> None:
    message, kinds = refused(tiles, table=write(plain(["x", f"p{mark}q", "y", "x y"])))
    assert "line 3" in message and f"`data.tag_separator` {mark!r}" in message and kinds == ["separators"]
    catalog, _ = both(tiles, table=write(plain(["x", f"p{mark}q", "y", "x"])), tag_separator=mark)
    assert isinstance(catalog, Catalog) and catalog.tags.names == ("p", "q", "x", "y")


@pytest.mark.parametrize(
    "code", ["FE0F", "034F", "115F", "1160", "3164", "FFA0", "2800", "FFFC", "17B4", "E0100", "200D"]
)
def test_a_character_that_cannot_be_seen_is_named(code: str, tiles: Path, write: Callable[[str | bytes], Path]) -> None:
    message, kinds = refused(tiles, table=write(plain(["b", f"forest{chr(int(code, 16))} b", "forest", "b"])))
    assert "line 3" in message and f"U+{code}" in message and kinds == ["odd_characters"]


def test_an_accent_without_a_letter_is_named(tiles: Path, write: Callable[[str | bytes], Path]) -> None:
    message, kinds = refused(tiles, table=write(plain(["b", "\u0301forest b", "forest", "b"])))
    assert "line 3" in message and "U+0301" in message and kinds == ["odd_characters"]


@pytest.mark.parametrize(
    ("one", "other"),
    [("bareground", "bare_ground"), ("bare.ground", "bare_ground"), ("bareGround", "bare-ground"), ("type1", "type-1"),
     ("\u2744\ufe0f", "\u2744")],
)  # fmt: skip
def test_two_spellings_are_one_tag_but_for_the_list(
    one: str, other: str, tiles: Path, write: Callable[[str | bytes], Path]
) -> None:
    table = write(plain([f"{one} x", other, "x", "x y"]))
    message, kinds = refused(tiles, table=table)
    assert repr(one) in message and repr(other) in message and kinds == ["spellings"]
    catalog, _ = both(tiles, table=table, tags=[one, other, "x", "y"])
    assert isinstance(catalog, Catalog)


def test_tags_that_only_stand_side_by_side_are_remarked_on(
    tiles: Path, write: Callable[[str | bytes], Path], caplog: pytest.LogCaptureFixture
) -> None:
    cells = ["Dense Forest", "Dense Forest River", "River", "Dense Forest"]
    catalog, report = both(tiles, table=write(plain(cells)))
    assert isinstance(catalog, Catalog) and isinstance(report, Report)
    assert [finding.count for finding in report.findings if finding.kind == "phrases"] == [1]
    assert "'Dense' and 'Forest'" in caplog.text and "tag_separator" in caplog.text
    for others in (["Dense Forest", "Forest", "Dense Forest", "Dense Forest"], ["a b", "b a", "c", "a b"]):
        _, report = both(tiles, table=write(plain(others)))
        assert isinstance(report, Report) and "phrases" not in {finding.kind for finding in report.findings}


def test_tags_of_lists_are_whole(tiles: Path, write: Callable[[str | bytes], Path]) -> None:
    cells = ["['Mixed forest', 'River']", "['Mixed forest', 'River']", "['Mixed forest', 'River']", "['Lake']"]
    catalog, report = both(tiles, table=write(plain(cells)))
    assert isinstance(catalog, Catalog) and set(catalog.tags.names) == {"Mixed forest", "River", "Lake"}
    assert isinstance(report, Report) and "phrases" not in {finding.kind for finding in report.findings}


@pytest.mark.parametrize(
    "word",
    [
        "nan",
        "NaN",
        "NA",
        "N/A",
        "n/a",
        "None",
        "null",
        "-",
        "--",
        "?",
        "#N/A",
        "<NA>",
        "unknown",
        "N.A",
        "n-a",
        "n_a",
        "no_data",
        "NoData",
        "no-tag",
        "untagged",
        "Unlabeled",
        "tbd",
        "TODO",
        "undef",
        "unspecified",
        "unk",
        "nul",
        "pd.NA",
        "numpy.nan",
        "inf",
        "-inf",
        "empty",
    ],
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
    catalog, _ = both(tiles, table=table, exclude=names)
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
    "quotes": ("'t00{i}'", ["'t000'", "marks"]),
    "a spreadsheet's text": ('"=""t00{i}"""', ["'t000'", "marks"]),
    "a colon": ("t00{i}:", ["'t000:'", "'t000'", "marks"]),
    "rounded numbers": ("1.23{i}E+12", ["1.230E+12", "spreadsheet"]),
}


@pytest.mark.parametrize("case", FAR_NAMES)
def test_a_join_that_fails_says_what_differs(case: str, tiles: Path, write: Callable[[str | bytes], Path]) -> None:
    form, named = FAR_NAMES[case]
    table = write("image,tags\n" + "".join(f"{form.format(i=i)},a {'b' * (i % 2)}\n" for i in range(4)))
    message, kinds = refused(tiles, table=table)
    assert [name for name in named if name not in message] == []
    assert kinds == ["missing_files"]


def test_names_may_lead_through_links_and_upwards(tiles: Path, tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to(tiles)
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "tiles").symlink_to(tiles)
    for place in (tiles, tmp_path / "link"):
        for root in (tiles, tmp_path / "link"):
            table = tmp_path / "data" / "labels.csv"
            table.write_text(
                f"image,tags\n../link/images/t000.png,forest river\n{place}/images/t001.png,river\n"
                f"{place}//images/./t002.png,field\nfile://{place}/images/t003.png,field forest\n"
            )
            catalog, _ = both(root, table=table)
            assert isinstance(catalog, Catalog) and meaning(catalog) == MEANT


@pytest.mark.parametrize("name", ["t001", "images/t001.png", "./images//t001.png", "{root}/images/t001.png"])
@pytest.mark.parametrize("own", ["t00{i}", "images/t00{i}.png"])
def test_a_list_to_leave_out_may_name_files_by_another_path(
    name: str, own: str, tiles: Path, write: Callable[[str | bytes], Path], tmp_path: Path
) -> None:
    table = write("image,tags\n" + "".join(f"{own.format(i=i)},a {'b' * (i % 2)}\n" for i in range(4)))
    names = tmp_path / "names.csv"
    names.write_text(f"image_name\n{name.format(root=tiles)}\n")
    catalog, _ = both(tiles, table=table, exclude=names)
    assert isinstance(catalog, Catalog) and list(meaning(catalog)) == ["t000", "t002", "t003"]
    names.write_text("elsewhere/t001.png\n")
    message, _ = refused(tiles, table=table, exclude=names)
    assert str(names) in message and "header" in message


@pytest.mark.parametrize(("file", "named"), [("labels.tsv", "--labels_file"), ("labels.xlsx", "CSV UTF-8")])
def test_a_table_with_another_ending_is_named(
    file: str, named: str, tiles: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "images").symlink_to(tiles / "images")
    (tmp_path / file).write_text("image\ttags\nt000\ta b\nt001\tb\n")
    assert main(["data", "check", str(tmp_path)]) == 2
    said = capsys.readouterr().err
    assert file in said and named in said


def test_another_column_that_fits_is_named(tiles: Path, write: Callable[[str | bytes], Path]) -> None:
    table = write("id,where,tags\n" + "".join(f"{i},t00{i},a {'b' * (i % 2)}\n" for i in range(4)))
    message, _ = refused(tiles, table=table)
    assert "`data.name_column` 'where'" in message
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
    assert main(["train", f"--data.root={tiles}", f"--data.labels_file={table}", f"--run={tmp_path / 'run'}"]) == 2
    assert f"--data.{option}" in capsys.readouterr().err
    assert main(["data", "pack", str(tiles), "--labels_file", table, "--out", str(tmp_path / "store")]) == 2
    assert f"--{option}" in capsys.readouterr().err
    assert main(["data", "check", str(tiles), "--labels_file", table]) == 1


def test_the_check_takes_the_options_of_training(
    tiles: Path, write: Callable[[str | bytes], Path], tmp_path: Path
) -> None:
    table = write("image,tags\nt000,a\nt000,b\nt001,\nt888,b\nt999,c|d\n")
    names, out = tmp_path / "names.csv", tmp_path / "check.json"
    names.write_text("image_name\nt999\n")
    call = [
        "data",
        "check",
        str(tiles),
        "--labels_file",
        str(table),
        "--json",
        str(out),
        "--exclude",
        str(names),
        "--n_folds=2",
    ]
    assert main(call) == 1
    assert main([*call, "--overwrite", "--merge_rows", "--allow_untagged", "--allow_missing"]) == 0
    assert json.loads(out.read_text())["tags"] == {"a": 1, "b": 1}  # of tiles with a file


@pytest.mark.parametrize("given", ["a;b", "a b", "a|b", "a, b"])
def test_a_tag_list_that_is_one_text_is_shown_as_a_list(
    given: str, tiles: Path, write: Callable[[str | bytes], Path], capsys: pytest.CaptureFixture[str]
) -> None:
    table = write("image,tags\nt000,a b\nt001,b\n")
    call = ["data", "check", str(tiles), "--labels_file", str(table), f"--tags=['{given}']"]
    assert main(call) == 2
    assert "--tags a,b" in capsys.readouterr().err


# Random tables -------------------------------------------------------------------------------------------------------

CLEAN = ["forest", "river", "field", "bare_ground", "type-2", "forêt"]
TAGS = [*CLEAN, "Forest", "bare ground", "N/A", "nan", "0", "1", "yes"]
JOINERS = [" ", ",", ", ", ";", "|", "/", "\t", " and ", "+", "\u2022", "~", "<br>", "%20"]


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
        blank = (
            joiner in (" ", " and ", ", ") and separator is not None and separator.strip() not in ("", joiner.strip())
        )
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
    # Two rows say too little: "bare ground" may be one tag there, or two.
    if isinstance(catalog, Catalog) and len(catalog.labelled) > 2:
        assert meaning(catalog) in meant
        assert not {"0", "1", "yes", "nan", "N/A"} & set(catalog.tags.names)
