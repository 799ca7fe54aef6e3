"""Typed settings: frozen dataclasses that check their values when they are made.

A room declares its options as one such class: name, type, range, default and, in the docstring, the meaning of each.
The command line, YAML files, Python and the page on options all read this one place.
"""

import dataclasses
import json
import os
import types
import weakref
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from functools import cache, wraps
from os import PathLike
from pathlib import Path
from typing import Annotated, Any, TypeVar, Union, cast, dataclass_transform, get_args, get_origin, get_type_hints

import docstring_parser
import pydantic
from pydantic import AfterValidator, BeforeValidator, ConfigDict, TypeAdapter
from pydantic_core import ErrorDetails

from amazon_ml.errors import InputError

_T = TypeVar("_T")

#: Names of the options that a caller gave to settings, by the identity of these; no attribute, which `vars` would list.
_given: dict[int, frozenset[str]] = {}
#: Pydantic's names for an option that there is not.
_UNKNOWN = ("unexpected_keyword_argument", "extra_forbidden")

#: Text of a path; ``~`` means the home folder. Other objects of paths are converted.
PathText = Annotated[
    str,
    BeforeValidator(lambda path: os.fspath(path) if isinstance(path, PathLike) else path),
    AfterValidator(lambda path: str(Path(path).expanduser())),
]
#: A path that a public function takes.
AnyPath = str | PathLike[str]


def as_path(option: str, value: AnyPath) -> Path:
    """Convert a path that a caller gave; ``~`` means the home folder.

    Raises
    ------
    InputError
        Where it is something else.
    """
    if not isinstance(value, str | PathLike):
        raise InputError(f"`{option}` is {value!r}, not a path", option=option)
    return Path(value).expanduser()


def as_paths(option: str, values: Sequence[AnyPath]) -> list[Path]:
    """Convert a list of paths that a caller gave.

    Raises
    ------
    InputError
        Where it is one path, or something else.
    """
    if isinstance(values, str | bytes | PathLike):
        raise InputError(f"`{option}` is the one path {values!r}", option=option, remedy="give a list of paths")
    return [as_path(option, value) for value in values]


@dataclass_transform(frozen_default=True, kw_only_default=True, field_specifiers=(dataclasses.field,))
def settings(kind: type[_T]) -> type[_T]:
    """Turn a class into a frozen dataclass of settings with keyword arguments.

    A value that does not fit its field raises an `InputError`, as in `build`.
    """
    made: Any = pydantic.dataclasses.dataclass(frozen=True, kw_only=True, config=ConfigDict(extra="forbid"))(kind)
    checked = made.__init__

    @wraps(checked)
    def init(self: _T, *args: Any, **values: Any) -> None:
        try:
            checked(self, *args, **values)
        except pydantic.ValidationError as error:
            raise _first_fault(made, error) from None
        _remember(self, values)

    made.__init__ = init
    return cast(type[_T], made)


def build(kind: type[_T], values: Mapping[str, Any], *, strict: bool = False) -> _T:
    """Make settings from plain values, such as those of a YAML file; with `strict`, text is no number.

    Raises
    ------
    InputError
        If a value does not fit, with the dotted name of the option, the value and the allowed values.
    """
    try:
        if strict:  # as for JSON: values of another type are not converted
            made = TypeAdapter(kind).validate_json(json.dumps(dict(values)), strict=True)
        else:
            made = TypeAdapter(kind).validate_python(dict(values))
    except pydantic.ValidationError as error:
        raise _first_fault(kind, error) from None
    _remember(made, values)
    return made


def _remember(made: object, values: Mapping[str, Any]) -> None:
    """Remember the names of given options, as long as the settings exist.

    `dataclasses.replace` gives all options, which says nothing about those that its caller gave.
    """
    kind: type = type(made)
    if len(values) < len(settings_of(kind)):
        _given[id(made)] = frozenset(values)
        weakref.finalize(made, _given.pop, id(made), None)


def given_names(options: object) -> frozenset[str]:
    """List the options that a caller gave to settings, also those at their defaults.

    Of settings within others, and of those that `dataclasses.replace` made, it lists those that differ from their
    defaults.
    """
    kind: type = type(options)
    changed = (one.name for one in settings_of(kind) if getattr(options, one.name) != one.default)
    return _given.get(id(options)) or frozenset(changed)


def _first_fault(kind: type, error: pydantic.ValidationError) -> InputError:
    faults = error.errors(include_url=False)
    unknown = [fault for fault in faults if fault["type"] in _UNKNOWN]  # a slip often leaves another option out
    return _describe_fault(kind, (unknown or faults)[0])


def _describe_fault(kind: type, fault: ErrorDetails) -> InputError:
    """Make the error for an option whose value does not fit."""
    option = _option(kind, fault["loc"])
    if fault["type"] in _UNKNOWN:
        section, _, name = option.rpartition(".")
        part = _types(kind).get(section)
        owner: Any = part if dataclasses.is_dataclass(part) else kind
        near = get_close_matches(name, _types(owner), n=1)
        remedy = f"did you mean {section and f'{section}.'}{near[0]}?" if near else ""
        return InputError(f"there is no option {option}", option=option, remedy=remedy)
    if fault["type"] in ("missing", "missing_argument"):
        return InputError(f"`{option}` is needed", option=option)
    meaning = fault["msg"].removeprefix("Value error, ").removeprefix("Input ")
    if fault["type"] == "value_error" and (not option or dataclasses.is_dataclass(_types(kind).get(option))):
        return InputError(meaning, option=option)  # the message names the fields
    return InputError(f"`{option}` {meaning}, not {fault['input']!r}", option=option)


def _option(kind: type, place: Sequence[int | str]) -> str:
    """Return the dotted name of the option with a fault; deeper keys are part of its value."""
    names: list[str] = []
    for name in map(str, place):
        names.append(name)
        kind = _types(kind).get(name, str)
        if not dataclasses.is_dataclass(kind):
            break
    return ".".join(names)


@cache
def _types(kind: type) -> dict[str, Any]:
    return get_type_hints(kind)


@dataclass(frozen=True)
class Setting:
    """One option, for help and documentation.

    Parameters
    ----------
    name
        Its name.
    type
        Its plain type, without the range.
    default
        Its default; `dataclasses.MISSING` if it is required.
    meaning
        Its effect, in a sentence or two.
    """

    name: str
    type: Any
    default: Any
    meaning: str


@cache
def settings_of(kind: type) -> tuple[Setting, ...]:
    """List the options that a class of settings declares, in their order, without nested settings."""
    hints, meanings = _types(kind), _meanings(kind)
    return tuple(
        Setting(field.name, hints[field.name], _default(field), meanings[field.name])
        for field in dataclasses.fields(kind)
        if not dataclasses.is_dataclass(hints[field.name])
    )


def _meanings(kind: type) -> dict[str, str]:
    texts = [docstring_parser.parse_from_object(one) for one in reversed(kind.__mro__[:-1])]
    return {param.arg_name: param.description or "" for text in texts for param in text.params}


def _default(field: "dataclasses.Field[Any]") -> Any:
    factory: Callable[[], Any] | Any = field.default_factory
    return field.default if factory is dataclasses.MISSING else factory()


def dict_values(kind: Any) -> Any:
    """Give the type of the values of a dictionary type, also of one in a union; None for other types."""
    members = get_args(kind) if get_origin(kind) in (Union, types.UnionType) else (kind,)
    return next((get_args(member)[1] for member in members if get_origin(member) is dict), None)


def put_inside(value: Any, keys: Sequence[str], new: Any) -> Any:
    """Return a copy of nested dictionaries with one value replaced; other keys stay, and missing ones are made.

    Examples
    --------
    >>> put_inside({"wandb": {"project": "tiles"}}, ["wandb", "entity"], "team")
    {'wandb': {'project': 'tiles', 'entity': 'team'}}
    """
    if not keys:
        return new
    former = dict(value) if isinstance(value, Mapping) else {}
    return {**former, keys[0]: put_inside(former.get(keys[0]), keys[1:], new)}


def to_plain(value: Any) -> Any:
    """Convert settings to plain values for YAML or JSON: dictionaries, lists, numbers and text."""
    return TypeAdapter(type(value)).dump_python(value)
