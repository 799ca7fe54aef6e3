from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from refused import holds, refused

from amazon_ml.labels import PLANET, TagSet, split_tags

# Spelt as in the competition's data description, "artisinal" included.
SPELT = {
    "agriculture", "artisinal_mine", "bare_ground", "blooming", "blow_down", "clear", "cloudy", "conventional_mine",
    "cultivation", "habitation", "haze", "partly_cloudy", "primary", "road", "selective_logging", "slash_burn", "water",
}  # fmt: skip


def test_planet_has_the_seventeen_tags_of_the_competition() -> None:
    assert len(PLANET) == 17
    assert set(PLANET.names) == SPELT


def test_planet_groups_hold_every_tag_once() -> None:
    grouped = [tag for tags in PLANET.groups.values() for tag in tags]
    assert sorted(grouped) == sorted(SPELT)


def test_columns_follow_the_order_of_the_list() -> None:
    tags = TagSet(("b", "a", "c"))
    assert tags.encode(["a", "c b", ""]).tolist() == [[0, 1, 0], [1, 0, 1], [0, 0, 0]]
    assert tags.encode(["a"]).dtype == np.uint8


@given(st.lists(st.lists(st.booleans(), min_size=17, max_size=17), max_size=20))
def test_encode_undoes_decode(rows: list[list[bool]]) -> None:
    encoded = np.array(rows, dtype=np.uint8).reshape(len(rows), 17)
    strings = PLANET.decode(encoded)
    np.testing.assert_array_equal(PLANET.encode(strings), encoded)
    assert [set(tags.split()) for tags in strings] == [
        {PLANET.names[i] for i, on in enumerate(row) if on} for row in rows
    ]


@given(st.lists(st.sampled_from(sorted(SPELT)), max_size=30), st.randoms(use_true_random=False))
def test_order_and_repeats_have_no_meaning(tags: list[str], random: np.random.Generator) -> None:
    shuffled = tags + tags[:3]
    random.shuffle(shuffled)
    expected = [[int(name in tags) for name in PLANET.names]]
    assert PLANET.encode([" ".join(tags)]).tolist() == expected
    assert PLANET.encode([" ".join(shuffled)]).tolist() == expected


@pytest.mark.parametrize("between", ["  ", "\t", "\n", " \t "])
def test_any_white_space_separates_by_default(between: str) -> None:
    assert PLANET.decode(PLANET.encode([f" clear{between}primary "])) == ["clear primary"]


def test_own_separator_lets_tags_hold_spaces() -> None:
    tags = TagSet(("bare ground", "water", "slash and burn"))
    encoded = tags.encode(["water, bare ground", "slash and burn", " , ,water,"], separator=",")
    assert encoded.tolist() == [[1, 1, 0], [0, 0, 1], [0, 1, 0]]
    assert tags.decode(encoded, separator=", ") == ["bare ground, water", "slash and burn", "water"]


def test_split_tags_drops_empty_tags_and_outer_space() -> None:
    assert split_tags(" a | b c ||", "|") == ["a", "b c"]
    assert split_tags("") == []


def test_misspelt_tag_is_refused_with_its_row_and_the_nearest_tag() -> None:
    with refused(says=["row 2", "'agricluture'", "'agriculture'"]) as raised:
        PLANET.encode(["clear primary", "clear agricluture"])
    assert not holds(str(raised.value), "row 1")


@pytest.mark.parametrize("cell", [float("nan"), None, pd.NA, 1, ["a"], b"a"])
def test_what_is_no_string_of_tags_is_refused_with_its_row(cell: Any) -> None:
    with refused(option="tag_strings", says=["row 2", repr(cell)]):
        TagSet(("a", "b")).encode(["a", cell])
    with refused(option="tag_strings", says="tile_7"):
        TagSet(("a", "b")).encode([cell], rows=["tile_7"])


@pytest.mark.parametrize("lists", ["a b", ["a"], ["a", "b"], [None], [["a", float("nan")]], [[["a"]]]])
def test_what_is_no_list_of_tags_is_refused(lists: Any) -> None:
    with refused(option="tag_lists", says="a b" if lists == "a b" else "row 1"):
        TagSet(("a", "b")).encode_split(lists)


def test_a_text_is_no_list_of_tags_and_a_list_becomes_a_tuple() -> None:
    for name in ("names", "exactly_one", "alone"):
        options: dict[str, Any] = {"names": ("a", "b"), name: "ab"}
        with refused(option=name, says="'ab'"):
            TagSet(**options)
    assert TagSet(["a", "b"], alone=["a"]) == TagSet(("a", "b"), alone=("a",))  # type: ignore[arg-type]


def test_one_string_or_a_table_is_no_list_of_strings() -> None:
    tags = TagSet(("a", "b"))
    with refused(option="tag_strings", says="'a b'"):
        tags.encode("a b")
    with refused(option="tag_strings", says="DataFrame"):
        tags.encode(pd.DataFrame({"a": ["a"]}))  # type: ignore[arg-type]  # its columns would count as tiles
    with refused(option="rows", says=[1, 2]):
        tags.encode(["a", "b"], rows=["one"])
    assert tags.encode(pd.Series(["a", ""])).tolist() == [[1, 0], [0, 0]]


@pytest.mark.parametrize(
    "once", [lambda items: (item for item in items), lambda items: map(str, items), lambda items: dict(
        enumerate(items)).values()], ids=["generator", "map", "view"],
)  # fmt: skip
def test_what_can_be_read_only_once_is_encoded_whole(once: Any) -> None:
    tags = TagSet(("a", "b"))
    assert tags.encode(once(["a", "b a", ""])).tolist() == [[1, 0], [1, 1], [0, 0]]
    assert tags.encode_split(split_tags(each) for each in once(["a", "b a"])).tolist() == [[1, 0], [1, 1]]
    with refused(says=["tile_2", "'c'"]):
        tags.encode(once(["a", "c"]), rows=once(["tile_1", "tile_2"]))
    with refused(says=["y", "'c'"]):  # the rows of a series are counted, not looked up in its index
        tags.encode(["a", "c"], rows=pd.Series(["x", "y"], index=[7, 8]))
    with refused(option="tag_strings", says="NoneType"):
        tags.encode(None)  # type: ignore[arg-type]


@pytest.mark.parametrize("values", [[[0.0, 1.0], [0.1, 1.0]], [[0, 1], [2, 0]], [[0.0, 1.0], [float("nan"), 1.0]]])
def test_values_that_are_not_0_or_1_are_no_tags(values: list[list[float]]) -> None:
    tags = TagSet(("a", "b"), exactly_one=("a", "b"))
    for call in (tags.decode, tags.logic_faults):
        with refused(option="encoded", says=["row 2", values[1][0], "a"]):
            call(values)
        with refused(option="encoded", says=3):
            call([[1, 0, 1]])
    for right in ([[0.0, 1.0]], [[False, True]], np.array([[0, 1]], dtype=np.uint8)):
        assert tags.decode(right) == ["b"]


def test_tags_that_are_masked_or_missing_are_refused() -> None:
    tags, gap = TagSet(("a", "b")), np.array([[False, False], [True, False]])
    right = pd.DataFrame([[1, 0], [1, 0]], columns=["a", "b"])
    for values in (np.ma.MaskedArray(right.to_numpy(), mask=gap), right.astype("Int64").mask(gap)):
        for call in (tags.decode, tags.logic_faults):
            with refused(option="encoded", says=1):
                call(values)
    assert tags.decode(np.ma.MaskedArray(right.to_numpy())) == tags.decode(right.astype("Int64")) == ["a", "a"]


def test_columns_of_tags_in_another_order_are_refused() -> None:
    tags, frame = TagSet(("a", "b")), pd.DataFrame([[1, 0]], columns=["b", "a"])
    for call in (tags.decode, tags.logic_faults):
        with refused(option="encoded", says="a"):
            call(frame)
        with refused(option="encoded", says=["image_name", "b"]):
            call(frame.assign(image_name="x")[["image_name", "a", "b"]])
        with refused(option="encoded", says="b"):
            call(frame.set_axis(["b", "x"], axis=1))
    assert tags.decode(frame[["a", "b"]]) == ["b"]
    for names in (["p_a", "p_b"], ["a", 1], [0, 1]):  # other names, in the order of the tags
        assert tags.decode(frame.set_axis(names, axis=1)) == ["a"]


def test_error_calls_rows_as_it_is_told() -> None:
    with refused(says=["line 7 (train_5)", "'primry'", "'primary'"]):
        PLANET.encode(["primry"], rows=["line 7 (train_5)"])


def test_unknown_tag_without_a_near_one_gets_no_suggestion() -> None:
    with refused(says=["row 1", "'xylophone'", ", ".join(PLANET.names)]) as raised:
        PLANET.encode(["xylophone"])
    assert str(raised.value).count("'") == 2  # no other tag is quoted


def test_many_unknown_tags_are_counted_and_three_shown() -> None:
    with refused(says=["5", "row 1: 'one'", "row 1: 'two'", "row 2: 'three'", "2 more"]) as raised:
        PLANET.encode(["one two", "three clear", "four", "five"])
    assert "'four'" not in str(raised.value)


def test_tags_are_case_sensitive() -> None:
    with refused(says=["row 1", "'Clear'", "'clear'"]):
        PLANET.encode(["Clear"])


@pytest.mark.parametrize("shape", [(17,), (2, 16), (1, 2, 17)])
def test_decode_refuses_another_shape(shape: tuple[int, ...]) -> None:
    with refused(says=["(tiles, 17)", shape]):
        PLANET.decode(np.zeros(shape))


def test_logic_faults_are_those_of_a_hand_made_table() -> None:
    encoded = PLANET.encode(
        [
            "clear primary",  # sound
            "water",  # no weather
            "clear haze primary",  # two weathers
            "cloudy",  # sound
            "cloudy primary",  # cloudy shows no ground
            "",  # nothing at all
            "cloudy clear",  # breaks two rules
            "partly_cloudy",  # sound
        ]
    )
    faults = {rule: rows.tolist() for rule, rows in PLANET.logic_faults(encoded).items()}
    assert faults == {
        "none of clear, partly_cloudy, haze, cloudy": [1, 5],
        "more than one of clear, partly_cloudy, haze, cloudy": [2, 6],
        "cloudy beside other tags": [4, 6],
    }


def test_sound_table_and_tags_without_rules_have_no_faults() -> None:
    assert PLANET.logic_faults(PLANET.encode(["clear primary", "cloudy"])) == {}
    assert TagSet(("a", "b")).logic_faults(np.array([[0, 0], [1, 1]])) == {}


@pytest.mark.parametrize(
    ("names", "rules", "fields"),
    [
        ((), {}, {"option": "tags"}),
        (("a", ""), {}, {"option": "tags", "says": "''"}),
        ((0, 1), {}, {"option": "tags", "says": "0"}),
        (("a", None), {}, {"option": "tags", "says": "None"}),
        (("a", "b"), {"alone": (3,)}, {"option": "", "says": "3"}),
        (("a", "b", "a", "b", "c"), {}, {"option": "tags", "says": "a, b"}),
        (("a", "b"), {"exactly_one": ("a", "z")}, {"option": "", "says": "z"}),
        (("a", "b"), {"alone": ("y",)}, {"option": "", "says": "y"}),
        (("a", "b"), {"groups": {"all": ("a", "x")}}, {"option": "", "says": "x"}),
    ],
)
def test_tag_set_refuses(names: tuple[Any, ...], rules: dict[str, object], fields: dict[str, Any]) -> None:
    with refused(**fields):
        TagSet(names, **rules)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("names", "wanted", "written"),
    [
        (("a", "b"), None, " "),
        (("a", "b"), ",", ","),
        (("a", "b"), "\\t", "\t"),
        (("bare ground", "b"), None, ";"),
        (("bare ground", "b"), "|", "|"),
        (("sands, dunes", "b"), ",", ";"),
        (("x; y", "b c"), None, "|"),
    ],
)
def test_what_stands_between_tags_stands_in_none(names: tuple[str, ...], wanted: str | None, written: str) -> None:
    tags = TagSet(names)
    assert tags.separator(wanted) == written
    (line,) = tags.decode([[1, 1]], separator=written)
    assert tags.encode([line], separator=written).tolist() == [[1, 1]]
