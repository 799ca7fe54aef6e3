"""What a check can find in a folder of tiles: each kind with its meaning, its remedy and its weight."""

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

#: Shares of the tiles up to which something is only remarked on: a fault at once, or never.
_FAULT, REMARK = 0.0, math.inf
#: Noise that no table of many tiles is free of.
_NOISE = 0.01


@dataclass(frozen=True)
class Kind:
    """Something that can be wrong.

    Parameters
    ----------
    what
        What it is, as a heading.
    remedy
        What to do about it.
    tolerated
        Share of the tagged tiles up to which it is remarked on; beyond, it is a fault that spoils training.
    """

    what: str
    remedy: str
    tolerated: float = _FAULT


KINDS = {
    "broken_rows": Kind("rows of the table that cannot be read", "mend these lines"),
    "header_again": Kind("lines that repeat the header", "remove them"),
    "repeated_rows": Kind("names on several rows, with the same tags", "keep one row of each, or set merge_rows"),
    "contradictory_rows": Kind(
        "names on several rows, with different tags",
        "where each row holds some of the tags of a tile, join them with merge_rows; else keep the right row of each",
    ),
    "marks": Kind(
        "a column of 0 and 1, yes and no, or numbers, where names of tags are expected",
        "write the tags of each tile into one column, such as forest river, and name it with tags_column",
    ),
    "one_tag": Kind("the same tags on all tiles", "name the right column with tags_column"),
    "no_tags": Kind(
        "a column of names of files or tiles, or with another value on each tile, where tags are expected",
        "name the right column with tags_column",
    ),
    "odd_characters": Kind("tags with blanks or characters that cannot be seen", "write plain blanks, or nothing"),
    "lists": Kind("lists as text that are not read", "write the tags alone, or every row as ['forest', 'river']"),
    "no_value": Kind("words for no value, where tags are expected", "leave the cell empty, or list the tag in tags"),
    "separators": Kind("tags that look like several", "name what parts tags with tag_separator"),
    "punctuation": Kind("tags with punctuation that sticks to them", "remove it, or name what parts tags"),
    "spellings": Kind("one tag that is spelt in several ways", "spell it in one way"),
    "unknown_tags": Kind("tags that are not in the tag list", "mend the table, or give the list with `tags`"),
    "untagged_rows": Kind("rows without a tag", "tag them, remove them, or set allow_untagged if they are meant"),
    "untagged_tiles": Kind("tiles that are meant to have no tag", "nothing, if that is so", REMARK),
    "similar_tags": Kind("rare tags that look like frequent ones", "mend the table if they are slips", REMARK),
    "phrases": Kind(
        "tags that only stand side by side", "if they are one name, say what parts tags with tag_separator", REMARK
    ),
    "label_logic": Kind("rows that break the label logic", "look at these tiles, and mend their tags", _NOISE),
    "unseen_tags": Kind("tags of the list that no tile has", "nothing can be learnt about them", REMARK),
    "missing_files": Kind("rows without a file", "complete the folder, or set allow_missing"),
    "missing_tiles": Kind("rows without a file, which are left out", "nothing, if that is meant", REMARK),
    "shared_files": Kind("files that several rows name", "keep one of these rows"),
    "file_names": Kind("files whose names cannot be used", "rename or remove them"),
    "few_tiles": Kind("fewer tagged tiles than folds", "add tiles, or set data.n_folds to 2 or more"),
    "surplus_files": Kind("files without a row", "they are not used", REMARK),
    "colourless": Kind(
        "tiles without tags that lack the image which colours are read from", "they get no prediction", REMARK
    ),
    "shared_names": Kind("names of both tagged tiles and tiles without tags", "see whether they are the same", REMARK),
    "unreadable": Kind("files that cannot be decoded", "fetch them again"),
    "odd_sizes": Kind("tiles of another size than nearly all", "fetch them again"),
    "mixed_sizes": Kind("sizes of tiles", "all are scaled to data.size", REMARK),
    "odd_formats": Kind("tiles of another format than nearly all", "fetch them again"),
    "mixed_formats": Kind("formats of tiles", "all are read as RGB", REMARK),
    "reading": Kind("what keeps training from reading the tiles", "set the option that it names, or mend the files"),
    "refused": Kind("tiles that training would refuse", "mend them, or leave them out"),
    "empty_bands": Kind("bands that show nothing", "scale their values, or leave them out with data.bands"),
    "odd_depths": Kind("tiles of another depth than most", "convert all to one depth"),
    "deep": Kind("images of 16 bits", "they are scaled by limits that the run stores", REMARK),
    "masked_parts": Kind("tiles with masked or transparent pixels", "these become 0, or the index 0", REMARK),
    "undeclared_nodata": Kind(
        "TIFs whose border holds a value that may stand for no data", "declare it with gdal_edit.py -a_nodata", REMARK
    ),
    "constant": Kind("tiles without any content, one value all over", "fetch them again"),
    "blank_parts": Kind("tiles that are black or white by a quarter or more", "look at them", REMARK),
    "same_pixels": Kind("tagged tiles with the same pixels and the same tags", "keep one of each"),
    "same_pixels_other_tags": Kind("tagged tiles with the same pixels but different tags", "mend the tags"),
    "same_pixels_in_test": Kind("tagged tiles that are also among those without tags", "scores there flatter", REMARK),
    "near_duplicates": Kind("tagged tiles that look nearly the same", "keep them in one fold", REMARK),
    "near_duplicates_in_test": Kind(
        "tagged tiles that look nearly as others without tags", "scores there flatter", REMARK
    ),
    "tif_unreadable": Kind("TIFs that cannot be decoded", "fetch them again"),
    "tif_odd_formats": Kind("TIFs of another format than nearly all", "fetch them again"),
    "tif_mixed_formats": Kind("formats of TIFs", "name their bands with data.tif_order", REMARK),
    "tif_size": Kind("JPGs and TIFs of one tile that differ in size", "fetch them again"),
    "tif_place": Kind("JPGs and TIFs of one tile that show different places", "use one of the two alone", REMARK),
    "tif_shift": Kind("JPGs and TIFs of one tile that lie apart", "use one of the two alone", REMARK),
}


@dataclass(frozen=True)
class Case:
    """One thing that is wrong.

    Parameters
    ----------
    kind
        Key of `KINDS`, or of the kinds of another check.
    item
        Which tile, row or file, and where needed what is wrong with it.
    exclude
        Names of tagged tiles without which it is gone.
    """

    kind: str
    item: str
    exclude: tuple[str, ...] = ()


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
        As the kind says.
    count
        Number of cases.
    items
        What they are.
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
    """Gather cases by kind, and decide which kinds are faults in a table of so many rows.

    Returns
    -------
    Findings, faults first, in the order of `kinds`; and of each tagged tile to leave out, why.
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
