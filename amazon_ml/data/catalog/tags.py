"""The tags of a table: splits the cells into tags, chooses the tag list, and finds faults."""

import difflib
import re
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise

from amazon_ml.data.catalog.cells import (
    doubt_token,
    in_brackets,
    missing_bracket,
    no_value,
    read_list,
    split_cell,
)
from amazon_ml.data.catalog.column_doubts import NUMBER, no_names, no_tags, same_tags
from amazon_ml.data.catalog.columns import is_mark
from amazon_ml.data.catalog.faults import Doubt, Fault, Row
from amazon_ml.data.catalog.letters import odd_character, spelling
from amazon_ml.data.catalog.names import composed
from amazon_ml.data.catalog.separators import joined_by_a_name_mark, recurring
from amazon_ml.data.catalog.table_file import TableFile
from amazon_ml.errors import InputError
from amazon_ml.labels import PLANET, TagSet, check_count, declared

#: Least number of tiles on which two tags stand side by side, for them to be one name perhaps.
_PHRASE = 3


@dataclass(frozen=True)
class TagColumn:
    """The contents of a column of tags.

    Parameters
    ----------
    tags
        The tag list.
    found
        The tags of each row.
    untagged
        Whether each row is without a tag, and without another fault.
    faults
        Faults that training raises.
    are_lists
        Whether the cells are lists, in which it is certain where a tag ends.
    """

    tags: TagSet
    found: list[tuple[str, ...]]
    untagged: list[bool]
    faults: list[Fault]
    are_lists: bool


def read_tags(
    table: TableFile,
    rows: Sequence[Row],
    *,
    tags: Sequence[str] | None,
    planet: bool,
    separator: str | None,
    marks: Callable[[], str],
    alone: bool = True,
    columns: bool = False,
) -> TagColumn:
    """Read the cells of a column of tags, and choose the tag list.

    Parameters
    ----------
    table
        The file, for messages.
    rows
        Rows of the table.
    tags
        The given tag list, or None; whatever it holds is a tag.
    planet
        Whether the table is one of the competition, so that the list is its 17 tags.
    separator
        Separator of tags; any white space where it is None.
    marks
        Describes the other columns that hold 0 and 1, where there are two or more; else "".
    alone
        Whether it is the only table; one of several may have the same tags on all tiles.
    columns
        Whether the tags come from a column for each, whose titles are tags, whatever they are.

    Raises
    ------
    InputError
        If the column has no tag at all, or the tag list is not valid.
    """
    given = tuple(map(composed, tags)) if tags is not None else PLANET.names if planet else None
    cells = Counter(row.cell for row in rows if row.whole)
    split, doubts, are_lists = _split_cells(cells, separator)
    tokens = list(dict.fromkeys(tag for cell in split.values() for tag in cell))
    try:
        check_count(tokens)
    except InputError as error:
        raise _in_file(table, error) from None
    if tags is not None:
        _check_list(given or (), frozenset(tokens))
    if given is not None and not tokens and not doubts:
        raise table.error("the table names no tag at all")
    column = None if columns else no_names(tokens, is_given=tags is not None, marks=marks)
    if column is None and given is None:
        column = no_tags(rows, split, tokens)
    if column is None:
        doubts |= _doubt_cells(split, tokens, frozenset(given or ()), separator, are_lists=are_lists)
    if column is None and tags is None and not doubts and alone:
        column = same_tags(rows, split, tokens)
    faults = [_column_fault(table, rows, split, column)] if column else []
    faults += [_fault(table, row, doubts[row.cell]) for row in rows if row.whole and row.cell in doubts]
    sound = {cell: found for cell, found in split.items() if cell not in doubts}
    if given is None:
        faults += _spellings(table, rows, sound)
        names = _list_tags(sound) or _list_tags(split)
        if not names:
            raise faults[0].error if faults else table.error("the table names no tag at all")
        try:
            tag_set = TagSet(tuple(sorted(names)))
        except InputError as error:
            raise _in_file(table, error) from None
    else:
        tag_set = PLANET if tags is None else declared(given)
        faults += _unknown(table, rows, sound, tag_set)
    found = [split.get(row.cell, ()) if row.whole else tuple(split_cell(row.cell, separator)) for row in rows]
    return TagColumn(tag_set, found, [row.whole and sound.get(row.cell) == () for row in rows], faults, are_lists)


def _check_list(given: Sequence[str], tokens: frozenset[str]) -> None:
    """Check that a tag list is not one text that holds several tags of the table."""
    parts = [part for part in re.split(r"[\s;,|/]+", given[0]) if part] if len(given) == 1 else []
    if len(parts) > 1 and given[0] not in tokens and tokens.issuperset(parts):
        raise InputError(f"`data.tags` {given[0]!r} is one tag that no row has, and its parts are tags",
                         option="data.tags", remedy=f"write a list, such as `data.tags` {','.join(parts)}")  # fmt: skip


def _in_file(table: TableFile, error: InputError) -> InputError:
    return table.error(error.problem, remedy=error.remedy)


def near_slips(counts: Mapping[str, int]) -> list[str]:
    """Describe each rare tag that is spelt nearly like a frequent one, with the number of tiles of both."""
    slips = []
    for tag, count in counts.items():
        near = [other for other in difflib.get_close_matches(tag, counts, n=3, cutoff=0.85) if other != tag]
        if near and count * 20 < counts[near[0]]:
            slips.append(f"{tag!r} on {count} tiles looks like {near[0]!r} on {counts[near[0]]}")
    return slips


def find_phrases(found: Sequence[tuple[str, ...]]) -> list[str]:
    """Describe each pair of tags that always stand side by side: they may be one name, such as ``Dense Forest``."""
    counts, pairs = count_tags(found), Counter[tuple[str, str]]()
    for tags, tiles in Counter(found).items():
        for pair in set(pairwise(tags)):
            pairs[pair] += tiles
    return [
        f"{first!r} and {second!r} stand on the same {count} tiles, and always side by side; if they are one name, set "
        "the separator of tags with `data.tag_separator`, or write the name with _"
        for (first, second), count in pairs.items()
        if count >= _PHRASE and first != second and count == counts[first] == counts[second]
    ]


def count_tags(found: Sequence[tuple[str, ...]]) -> Counter[str]:
    """Count the tiles of each tag."""
    counts = Counter[str]()
    for tags, tiles in Counter(found).items():  # sets of tags repeat
        for tag in set(tags):
            counts[tag] += tiles
    return counts


def _split_cells(
    cells: Mapping[str, int], separator: str | None
) -> tuple[dict[str, tuple[str, ...]], dict[str, Doubt], bool]:
    """Split each cell, as a list where most rows are lists; a cell of the other kind in brackets gets a doubt.

    Parameters
    ----------
    cells
        The distinct cells, with the number of their rows.
    separator
        Separator of tags; any white space where it is None.

    Returns
    -------
    The tags of each cell, the doubts, and whether most rows are lists.
    """
    filled = [cell for cell in cells if cell]
    lists = {cell: strings for cell in filled if (strings := read_list(cell)) is not None}
    split: dict[str, tuple[str, ...]] = dict.fromkeys(cells, ())
    doubts: dict[str, Doubt] = {}
    are_lists = bool(filled) and len(lists) == len(filled)
    if not are_lists:  # an empty list tells nothing of the others
        listing = sum(cells[cell] for cell, strings in lists.items() if strings)
        are_lists = listing > sum(cells[cell] for cell in filled if cell not in lists)
    for cell in filled:
        strings = lists.get(cell)
        if odd := odd_character(cell):
            doubts[cell] = odd
        elif are_lists and strings is not None:
            split[cell] = tuple(strings)
        elif are_lists:
            doubts[cell] = no_value(cell) or _no_list(cell)
        elif in_brackets(cell):
            what = "not a list of strings in quotes" if strings is None else "a list, and other rows are none"
            doubts[cell] = Doubt("lists", f"{cell!r} is {what}", "write the tags alone, such as 'forest river', or "
                                 "every row as \"['forest', 'river']\"")  # fmt: skip
        elif no_value(cell):
            split[cell] = (cell,)  # not split, since N/A may hold a separator; it gets a doubt unless the list has it
        else:
            split[cell] = tuple(split_cell(cell, separator))
    return split, doubts, are_lists


def _no_list(cell: str) -> Doubt:
    """Return the doubt for a cell that is no list where most are lists."""
    if (end := missing_bracket(cell)) is not None:
        what = f"{cell!r} is a list that was cut short: it has no {end}"
        return Doubt("lists", what, "write the whole list, as in other rows")
    what = "not a list of strings in quotes" if in_brackets(cell) else "no list, and most rows are lists"
    return Doubt("lists", f"{cell!r} is {what}", "write it as in other rows, such as \"['forest', 'river']\"")


def _doubt_cells(
    split: Mapping[str, tuple[str, ...]], tokens: Sequence[str], given: frozenset[str], separator: str | None, *,
    are_lists: bool,
) -> dict[str, Doubt]:  # fmt: skip
    """Return a doubt for each cell with a value that is no tag, several tags, or a tag with something attached."""
    never = separator is not None and not any(separator in cell for cell in split)
    others = given.union(tokens)  # what no row has alone may be a tag of the list
    numbers = all(map(NUMBER.fullmatch, tokens))
    doubts = {}
    if not are_lists and (separator is None or not separator.strip(" ") or never):
        doubts = recurring(tokens) | joined_by_a_name_mark(tokens, split.values())
    for token in tokens:
        doubt = doubt_token(token, others - {token}, separator, never=never, is_string=are_lists)
        if doubt is None and not given and not numbers and _is_value(token):
            doubt = Doubt("no_value", f"{token!r} stands among names of tags",
                          "write names of tags alone, or list all tags with `data.tags` if it is one")  # fmt: skip
        if doubt is not None:
            doubts[token] = doubt
    doubts = {token: doubt for token, doubt in doubts.items() if token not in given}
    return {
        cell: next(doubts[tag] for tag in found if tag in doubts)
        for cell, found in split.items()
        if any(tag in doubts for tag in found)
    }


def doubt_separators(cells: Iterable[str], separator: str | None) -> dict[str, Doubt]:
    """Return a doubt for each cell, of a table or not, with a tag that looks like several tags."""
    split, _, are_lists = _split_cells(Counter(cells), separator)
    tokens = list(dict.fromkeys(tag for found in split.values() for tag in found))
    doubts = _doubt_cells(split, tokens, frozenset(), separator, are_lists=are_lists)
    return {cell: doubt for cell, doubt in doubts.items() if doubt.kind == "separators"}


def _column_fault(table: TableFile, rows: Sequence[Row], split: Mapping[str, tuple[str, ...]], doubt: Doubt) -> Fault:
    line = next(row.line for row in rows if row.whole and split[row.cell])
    return Fault(doubt.kind, table, line, doubt.what, doubt.remedy, item=f"{table.at(line)}: {doubt.what}")


def _is_value(token: str) -> bool:
    """Whether a tag is a number or a word such as yes; a letter alone may be a tag."""
    return bool(NUMBER.fullmatch(token)) or (len(token) > 1 and is_mark(token))


def _spellings(table: TableFile, rows: Sequence[Row], sound: Mapping[str, tuple[str, ...]]) -> Iterator[Fault]:
    """Find tags that differ by case, by the form of letters, or by blanks, ``_`` and ``-`` alone."""
    forms: dict[str, list[str]] = {}
    for tag in sorted(_list_tags(sound)):
        forms.setdefault(spelling(tag), []).append(tag)
    for tags in forms.values():
        if len(tags) > 1:
            having = {tag: [row for row in rows if row.whole and tag in sound.get(row.cell, ())] for tag in tags}
            rare = sorted(tags, key=lambda tag: len(having[tag]))[:-1]
            what = " and ".join(f"{tag!r} ({len(having[tag]):,} tiles, {_where(table, having[tag])})" for tag in tags)
            yield Fault("spellings", table, having[rare[0]][0].line, f"one tag is spelt in several ways: {what}",
                        "spell it in one way, or list all tags with `data.tags` if they are several",
                        tuple(row.name for tag in rare for row in having[tag]), item=what)  # fmt: skip


def _where(table: TableFile, rows: Sequence[Row]) -> str:
    """Name the first four rows, with a mark where there are more."""
    return table.at_all([row.line for row in rows[:4]]) + (" …" if len(rows) > 4 else "")


def _unknown(table: TableFile, rows: Sequence[Row], sound: Mapping[str, tuple[str, ...]], tags: TagSet) -> list[Fault]:
    known = frozenset(tags.names)
    odd = [
        (row, [tag for tag in sound.get(row.cell, ()) if tag not in known])
        for row in rows
        if row.whole and not known.issuperset(sound.get(row.cell, ()))
    ]
    if not odd:
        return []
    first = odd[0][0].line  # the message begins with it
    places = [
        (row.name if row.line == first else f"{row.name} ({table.at(row.line)})", unknown) for row, unknown in odd
    ]
    what = tags.describe_unknown([(place, tag) for place, unknown in places for tag in unknown])
    return [
        Fault("unknown_tags", table, row.line, what, "", (row.name,), summary=what,
              item=f"{row.name}: {', '.join(sorted(set(unknown)))}")
        for row, unknown in odd
    ]  # fmt: skip


def _list_tags(split: Mapping[str, tuple[str, ...]]) -> set[str]:
    return {tag for found in split.values() for tag in found}


def _fault(table: TableFile, row: Row, doubt: Doubt) -> Fault:
    return Fault(doubt.kind, table, row.line, f"{row.name}: {doubt.what}", doubt.remedy, (row.name,),
                 item=f"{row.name} ({table.at(row.line)}): {doubt.what}")  # fmt: skip
