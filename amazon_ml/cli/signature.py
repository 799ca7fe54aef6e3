"""Parse the words of a call for a verb's function, whose signature and docstring declare the options."""

import dataclasses
import inspect
import re
from collections import abc
from collections.abc import Callable, Collection, Sequence
from functools import cache
from importlib import import_module
from os import PathLike
from pathlib import Path
from typing import Any, TypeGuard, Union, get_args, get_origin, get_type_hints

import docstring_parser

from amazon_ml.cli.parser import Parser, with_values_of
from amazon_ml.runs.config import RunConfig, default_run, find_config
from amazon_ml.settings import build, settings_of

_CONFIG = (
    "configuration that ships with the package, by its name, or YAML file with any of these options; later ones win"
)
#: End of the text of a parameter that means the same as that of another function.
_SEE = re.compile(r"; see `(amazon_ml\.[\w.]+)\.(\w+)`\.$")


def arguments_of(
    verb: str, call: Callable[..., Any], positionals: Sequence[str], words: Sequence[str]
) -> dict[str, Any]:
    """Parse the words of a call.

    A parameter that is a class of settings gives an option for each setting; a `RunConfig` gives all options of
    training in their sections.

    Parameters
    ----------
    verb
        Name of the verb, for its help.
    call
        The function of the verb.
    positionals
        Parameters that are positional; all others are options.
    words
        Words after the verb.

    Raises
    ------
    InputError
        Where a value does not fit.
    """
    parser = parser_of(verb, call, tuple(positionals))
    values = parser.parse_args(with_values_of(words, "--config", lambda value: str(find_config(value)))).as_dict()
    given = {word.partition("=")[0].removeprefix("--") for word in words if word.startswith("--")}
    return {name: _taken(kind, name, values, given) for name, kind in _types(call).items()}


@cache  # to make that of `train` takes more time than to parse with it
def parser_of(verb: str, call: Callable[..., Any], positionals: tuple[str, ...]) -> Parser:
    """Make the parser of a verb, which may parse several calls."""
    meanings = _meanings(call)
    parser = Parser(prog=f"amazon-ml {verb}", description=_docstring(call).short_description)
    for name, kind in _types(call).items():
        if kind is RunConfig:
            _add_config(parser)
        elif _is_settings(kind):
            parser.add_settings(kind)
        else:
            _add_option(parser, inspect.signature(call).parameters[name], kind, meanings[name], name in positionals)
    return parser


def _docstring(call: Callable[..., Any]) -> docstring_parser.Docstring:
    return docstring_parser.parse(inspect.getdoc(call) or "", style=docstring_parser.DocstringStyle.NUMPYDOC)


def _meanings(call: Callable[..., Any]) -> dict[str, str]:
    """Give what the docstring says of each parameter; text that ends with ``; see `module.function`.`` is replaced."""
    meanings: dict[str, str] = {}
    for param in _docstring(call).params:
        text = param.description or ""
        elsewhere = _SEE.search(text)
        there = _meanings(getattr(import_module(elsewhere[1]), elsewhere[2])) if elsewhere else {}
        meanings |= {name: there.get(name, text) for name in param.arg_name.split(", ")}
    return meanings


def option_names(call: Callable[..., Any]) -> set[str]:
    """List the options of a verb's function by their names without dashes."""
    names: set[str] = set()
    for name, kind in _types(call).items():
        if kind is RunConfig:
            names |= {setting.name for setting in settings_of(RunConfig)}
            names |= {f"{section}.{one.name}" for section, part in _sections().items() for one in settings_of(part)}
        elif _is_settings(kind):
            names |= {setting.name for setting in settings_of(kind)}
        else:
            names.add(name)
    return names


@cache
def _types(call: Callable[..., Any]) -> dict[str, Any]:
    hints = get_type_hints(call)
    return {name: _from_words(hints[name]) for name in inspect.signature(call).parameters}


def _from_words(kind: Any) -> Any:
    """Give the type that a word of a call is converted to: functions take paths as text, too."""
    parts = get_args(kind)
    if PathLike[str] in parts:
        return Union[(Path, *(part for part in parts if part not in (str, PathLike[str])))]
    return list[_from_words(parts[0])] if get_origin(kind) in (list, abc.Sequence) else kind  # type: ignore[misc]


def _sections() -> dict[str, type]:
    hints = get_type_hints(RunConfig)
    return {name: kind for name, kind in hints.items() if _is_settings(kind)}


def _is_settings(kind: Any) -> TypeGuard[type]:
    return isinstance(kind, type) and dataclasses.is_dataclass(kind)


def _add_config(parser: Parser) -> None:
    parser.add_argument("--config", action="config", help=_CONFIG)
    parser.add_settings(RunConfig)
    for section, kind in _sections().items():
        parser.add_settings(kind, f"{section}.")


def _add_option(parser: Parser, parameter: inspect.Parameter, kind: Any, meaning: str | None, by_place: bool) -> None:
    about: dict[str, Any] = {"type": kind, "help": meaning}
    if kind is bool:
        about |= {"nargs": "?", "const": True}  # so that --yes means --yes true
    if by_place:
        if get_origin(kind) is list:
            about |= {"type": get_args(kind)[0], "nargs": "+"}
        parser.add_argument(parameter.name, **about)
    elif parameter.default is parameter.empty:
        parser.add_argument(f"--{parameter.name}", required=True, **about)
    else:
        parser.add_argument(f"--{parameter.name}", default=parameter.default, **about)


def _taken(kind: Any, name: str, values: dict[str, Any], given: Collection[str]) -> Any:
    """Take the value of a parameter out of the parsed values; settings know which of their options are given."""
    if not _is_settings(kind):
        return values[name]
    own = {field.name: values[field.name] for field in dataclasses.fields(kind) if field.name in values}
    if kind is not RunConfig:
        defaults = {one.name: one.default for one in settings_of(kind)}
        own = {key: value for key, value in own.items() if key in given or value != defaults[key]}
    if kind is RunConfig and own["run"] is None:
        own["run"] = default_run([str(config) for config in values["config"] or []])
    return build(kind, own)
