"""Kinds of faults and remarks in a folder of tiles: each with its meaning, its remedy and its limit."""

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

#: Shares of the tiles up to which a kind is a remark: always a fault, or never.
_FAULT, REMARK = 0.0, math.inf
#: Share of noise that every large table has.
_NOISE = 0.01


@dataclass(frozen=True)
class Kind:
    """A kind of fault or remark.

    Parameters
    ----------
    what
        Its meaning, as a heading.
    remedy
        What to do about it.
    tolerated
        Share of the tagged tiles up to which it is a remark; above it, it is a fault that spoils training.
    """

    what: str
    remedy: str
    tolerated: float = _FAULT


KINDS = {
    "broken_rows": Kind("rows of the table that cannot be read", "correct these lines"),
    "header_again": Kind("lines that repeat the header", "remove them"),
    "repeated_rows": Kind("names on several rows, with the same tags", "keep one row of each, or set merge_rows"),
    "contradictory_rows": Kind(
        "names on several rows, with different tags",
        "where each row holds some of the tags of a tile, join them with merge_rows; else keep the right row of each",
    ),
    "splits": Kind("rows without a split", "write train, val (or validation) or test"),
    "unused_splits": Kind(
        "published splits, which are not used", "name a column with split_column, and folders with splits", REMARK
    ),
    "two_splits": Kind("tiles that are in two splits", "keep one row of each"),
    "marks": Kind(
        "a column of 0 and 1, yes and no, or numbers, where names of tags are expected",
        "set tag_columns where each column is a tag; else write the tags of each tile into one column",
    ),
    "tag_values": Kind("cells of columns of tags that hold neither 0 nor 1", "write 0 or 1"),
    "one_tag": Kind("the same tags on all tiles", "name the right column with tags_column"),
    "no_tags": Kind(
        "a column of names of files or tiles, or with another value for each tile, where tags are expected",
        "name the right column with tags_column",
    ),
    "odd_characters": Kind("tags with unusual blanks or invisible characters", "write plain blanks, or nothing"),
    "lists": Kind("lists as text that cannot be read", "write the tags alone, or every row as ['forest', 'river']"),
    "no_value": Kind('words for "no value" in place of tags', "leave the cell empty, or list the tag in tags"),
    "separators": Kind("tags that look like several", "set the separator of tags with tag_separator"),
    "punctuation": Kind("tags with punctuation attached", "remove it, or set the separator of tags"),
    "spellings": Kind("one tag that is spelt in several ways", "spell it in one way"),
    "unknown_tags": Kind("tags that are not in the tag list", "correct the table, or give the list with `tags`"),
    "untagged_rows": Kind("rows without a tag", "tag them, remove them, or set allow_untagged if they are intended"),
    "untagged_tiles": Kind("tiles without a tag, as allow_untagged allows", "nothing, if that is intended", REMARK),
    "similar_tags": Kind("rare tags that look like frequent ones", "correct the table if they are slips", REMARK),
    "phrases": Kind(
        "tags that always stand side by side", "if they are one name, set the separator with tag_separator", REMARK
    ),
    "label_logic": Kind("rows that break the label logic", "look at these tiles, and correct their tags", _NOISE),
    "unseen_tags": Kind("tags of the list that no tile has", "the network cannot learn them", REMARK),
    "untrained_tags": Kind(
        "tags that no tile of the training split has", "the network cannot learn them: add tiles with them", REMARK
    ),
    "missing_files": Kind("rows without a file", "complete the folder, or set allow_missing"),
    "missing_tiles": Kind("rows without a file, which are not used", "nothing, if that is intended", REMARK),
    "shared_files": Kind("files that several rows name", "keep one of these rows"),
    "file_names": Kind("files whose names cannot be used", "rename or remove them"),
    "few_tiles": Kind("fewer tagged tiles than folds", "add tiles, or set data.n_folds to 2 or more"),
    "surplus_files": Kind("files without a row", "they are not used", REMARK),
    "colourless": Kind(
        "tiles without tags that lack the file with red, green and blue", "they get no prediction", REMARK
    ),
    "shared_names": Kind(
        "names that a tagged tile and a tile without tags share", "check if they are the same", REMARK
    ),
    "unreadable": Kind("files that cannot be decoded", "download them again"),
    "odd_sizes": Kind("tiles of another size than nearly all", "download them again"),
    "mixed_sizes": Kind("sizes of tiles", "all are scaled to data.size", REMARK),
    "odd_formats": Kind("tiles of another format than nearly all", "download them again"),
    "mixed_formats": Kind("formats of tiles", "all are read as RGB", REMARK),
    "reading": Kind(
        "problems that prevent training from reading the tiles", "set the option that it names, or repair the files"
    ),
    "refused": Kind("tiles that training cannot read", "repair them, or exclude them"),
    "empty_bands": Kind("bands that show nothing", "scale their values, or omit them in data.bands"),
    "odd_depths": Kind("tiles of another depth than most", "convert all to one depth"),
    "deep": Kind("images of 16 bits", "limits that the run stores scale them", REMARK),
    "masked_parts": Kind("tiles with masked or transparent pixels", "these pixels become 0", REMARK),
    "undeclared_nodata": Kind(
        "TIFs whose border holds a value that may stand for no data", "declare it with gdal_edit.py -a_nodata", REMARK
    ),
    "constant": Kind("tiles without content: all pixels have one value", "download them again"),
    "blank_parts": Kind("tiles that are black or white in a quarter or more", "look at them", REMARK),
    "same_pixels": Kind("tagged tiles with the same pixels and the same tags", "keep one of each"),
    "same_pixels_other_tags": Kind("tagged tiles with the same pixels but different tags", "correct the tags"),
    "same_pixels_in_test": Kind(
        "tagged tiles that are also among those without tags", "scores on these are too high", REMARK
    ),
    "same_pixels_across_splits": Kind(
        "tiles with the same pixels in two splits", "remove them from one split: scores on these are too high"
    ),
    "near_duplicates_across_splits": Kind(
        "tiles that look nearly the same in two splits", "scores on these are too high", REMARK
    ),
    "near_duplicates": Kind("tagged tiles that look nearly the same", "keep them in one fold", REMARK),
    "near_duplicates_in_test": Kind(
        "tagged tiles that look nearly like tiles without tags", "scores on these are too high", REMARK
    ),
    "tif_unreadable": Kind("TIFs that cannot be decoded", "download them again"),
    "tif_odd_formats": Kind("TIFs of another format than nearly all", "download them again"),
    "tif_mixed_formats": Kind("formats of TIFs", "name their bands with data.tif_order", REMARK),
    "tif_size": Kind("JPGs and TIFs of one tile that differ in size", "download them again"),
    "tif_place": Kind("JPGs and TIFs of one tile that show different places", "use one of the two alone", REMARK),
    "tif_shift": Kind("JPGs and TIFs of one tile that are shifted", "use one of the two alone", REMARK),
}


@dataclass(frozen=True)
class Case:
    """One case of a kind.

    Parameters
    ----------
    kind
        Key of `KINDS`, or of the kinds of another check.
    item
        The tile, row or file, with details where needed.
    exclude
        Names of tagged tiles; the case is gone without them.
    line
        The line that the item begins with; None where it begins with none.
    """

    kind: str
    item: str
    exclude: tuple[str, ...] = ()
    line: int | None = None


@dataclass(frozen=True)
class Finding:
    """All cases of one kind.

    Parameters
    ----------
    kind
        Key of `KINDS`.
    severity
        ``fault`` where it would spoil training, else ``remark``.
    what, remedy
        Meaning and remedy of the kind.
    count
        Number of cases.
    items
        The cases.
    """

    kind: str
    severity: str
    what: str
    remedy: str
    count: int
    items: tuple[str, ...]


def weigh(
    cases: Iterable[Case], rows: int, kinds: Mapping[str, Kind] = KINDS
) -> tuple[tuple[Finding, ...], dict[str, str]]:
    """Group cases by kind, and decide which kinds are faults in a table of `rows` rows.

    Returns
    -------
    Findings, faults first, in the order of `kinds`; and the kind of fault of each tagged tile to exclude.
    """
    by_kind: dict[str, list[Case]] = {kind: [] for kind in kinds}
    for case in cases:
        by_kind[case.kind].append(case)
    findings: list[Finding] = []
    reasons: dict[str, str] = {}
    for kind, found in by_kind.items():
        about = kinds[kind]
        is_fault = len(found) > about.tolerated * max(rows, 1)
        if found:
            items = tuple(case.item for case in found)
            severity = "fault" if is_fault else "remark"
            findings.append(Finding(kind, severity, about.what, about.remedy, len(found), items))
        for name in (name for case in found if is_fault for name in case.exclude):
            reasons.setdefault(name, kind)
    return tuple(sorted(findings, key=lambda finding: finding.severity)), reasons
