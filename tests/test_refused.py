"""The helper that the other tests assert errors with: it tells one error from another."""

from typing import Any

import pytest
from refused import holds, refused

from amazon_ml.errors import InputError

ERROR = InputError("unknown tag 'primry'", file="/set/labels.csv", line=7, option="data.tags", remedy="write 'primary'")


@pytest.mark.parametrize(
    "fields",
    [
        {"file": "labels.csv"},
        {"file": "/set/labels.csv", "line": 7},
        {"option": "data.tags", "says": "'primry'"},
        {"says": ["primry", "primary"]},
    ],
)
def test_right_fields_pass(fields: dict[str, Any]) -> None:
    with refused(**fields) as raised:
        raise ERROR
    assert raised.value is ERROR


@pytest.mark.parametrize(
    "fields",
    [
        {"file": "abels.csv"},
        {"file": "/other/labels.csv"},
        {"file": None, "line": 7},
        {"line": 8},
        {"line": None, "option": "data.tags"},
        {"option": "tags"},
        {"says": "prim"},
        {"says": ["primry", "forest"]},
        {"says": 7},
        {},
        {"file": None, "option": ""},
    ],
)
def test_other_fields_and_none_at_all_fail(fields: dict[str, Any]) -> None:
    with pytest.raises(AssertionError), refused(**fields):
        raise ERROR


def test_no_error_and_other_errors_fail() -> None:
    with pytest.raises(pytest.fail.Exception), refused(line=7):
        pass
    with pytest.raises(KeyError), refused(line=7):
        raise KeyError(7)


def test_values_are_whole_words() -> None:
    text = "13 of 1,003 tiles in /a/b: -2.5, 'x y'"
    assert holds(text, 13, "1,003", "/a/b", -2.5, "'x y'", "x")
    assert not any(holds(text, value) for value in (3, 1, "003", "/a", 2, "-2", "tile"))
    assert not holds("not -2", 2) and not holds("shard-1", 1) and not holds("0.5-1", 1)
    assert holds("not -2", -2) and holds("shard-1", "shard-1")
