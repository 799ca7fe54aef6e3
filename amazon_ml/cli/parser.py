"""The parser of the verbs: it reads lists in plain forms, and reports errors in one line."""

import difflib
import json
import re
import types
from collections.abc import Callable, Iterator, Sequence
from dataclasses import MISSING
from functools import cached_property
from itertools import pairwise
from pathlib import Path
from typing import Any, Literal, NoReturn, Union, get_args, get_origin

from jsonargparse import ArgumentParser, Namespace

from amazon_ml.cli.dotted import merge_dotted
from amazon_ml.errors import InputError
from amazon_ml.runs.config import read_sections
from amazon_ml.runtime.yaml_files import check_depth, read_yaml_text
from amazon_ml.settings import settings_of

#: Names of plain types in messages.
_WORDS: dict[Any, str] = {int: "a whole number", float: "a number", bool: "true or false", type(None): "null"}
#: Types whose values are written as lists.
_LISTS = (list, Sequence)
#: Message of jsonargparse for a value that does not fit; the value is at its end.
_MISFIT = re.compile(r'Parser key "([\w.]+)":(.*)', re.DOTALL)
_VALUE = re.compile(r"(?:Given value|Got value): (.*)\Z", re.DOTALL)
#: Text of jsonargparse after a value of a list.
_EXPECTED = re.compile(r"\n\s+- Expected")
#: A list in brackets, of items without quotes.
_PLAIN_LIST = re.compile(r"""\[([^\[\]{}'":#&*!|>%@`\n]*)\]""")
_IN_GROUP = re.compile(r"Group '([\w.]+)' does not accept option '([^']*)'")
_ALONE = re.compile(r"Option '([^']*)' is not accepted")
_NEEDED = re.compile(r"the following arguments are required: (.*)", re.DOTALL)
_UNKNOWN = re.compile(r"unrecognized arguments: (.*)", re.IGNORECASE | re.DOTALL)


#: Values of options whose type does not describe them.
_SHOWN = {
    "data.augment": "a list of transforms with their arguments, such as '[{D4: {p: 1.0}}]' or '[{D4: {}}]'",
    "loggers": "names of services with arguments, wandb or mlflow, such as '{wandb: {project: tiles}}' (CSV and "
    "TensorBoard are written in any case)",
}


class Parser(ArgumentParser):
    """Parse the options of a verb and the YAML files of ``--config``; an error ends the process with status 2.

    Lists are written as in YAML, ``--tags '[forest, river]'``, or with commas, ``--tags forest,river``.
    """

    def parse_args(  # type: ignore[override]  # the verbs pass words only
        self, args: Sequence[str] | None = None, **options: Any
    ) -> Namespace:
        """Parse the words of a call.

        Raises
        ------
        InputError
            Where a file of ``--config`` cannot be read as YAML, or a value is nested too deeply.
        """
        words = list(self._with_lists(args or ()))
        for word in words:
            check_depth(word, word.partition("=")[0][:40])
        for file in _configs(words):
            read_sections(file)  # the messages of jsonargparse have neither file nor line
        try:
            parsed: Namespace = super().parse_args(words, namespace=self._unset.clone(), defaults=False, **options)
        except (UnicodeDecodeError, RecursionError) as error:  # of a file that a file names
            raise InputError(f"a configuration cannot be read: {error}") from None
        return parsed

    @cached_property
    def _unset(self) -> Namespace:
        """The values of all options that a call leaves out.

        Half of the time of a parse goes into them. They are read at the first parse, when all options are known.
        """
        return self.get_defaults()

    def add_settings(self, kind: type, prefix: str = "") -> None:
        """Add an option for each setting that a class declares, with the prefix before its name."""
        group = self.add_argument_group(prefix.rstrip(".") or None)
        for setting in settings_of(kind):
            given: dict[str, Any] = {"required": True} if setting.default is MISSING else {"default": setting.default}
            flag: dict[str, Any] = (
                {"nargs": "?", "const": True} if setting.type is bool else {}
            )  # so that --yes means --yes true
            merge_dotted(
                group.add_argument(
                    f"--{prefix}{setting.name}", type=setting.type, help=setting.meaning, **given, **flag
                )
            )

    def error(self, message: str, ex: Exception | None = None) -> NoReturn:
        """Print one line about the error, and end the process with status 2."""
        self.exit(2, f"amazon-ml: {self._plain(message)}\n")

    def _with_lists(self, words: Sequence[str]) -> Iterator[str]:
        """Write values of list options as YAML, where they are names or numbers separated by commas."""
        option = None
        given: set[str] = set()
        for word in words:
            name, equals, value = word.partition("=")
            if word.startswith("--"):
                self._check_once(name, given)
            if word.startswith("--") and equals:
                yield f"{name}={_as_list(self._type(name), value)}"
                option = None
            else:
                yield _as_list(self._type(option), word) if option else word
                option = word if word.startswith("--") else None

    def _check_once(self, option: str, given: set[str]) -> None:
        """Check that a list of names is given once, since a second one would replace the first."""
        if option in given and _list_item(self._type(option)) is str:
            raise InputError(
                f"{option} is given twice",
                option=option.lstrip("-"),
                remedy=f"write one list, such as {option} forest,river",
            )
        given.add(option)

    def _type(self, option: str | None) -> Any:
        return getattr(self._option_string_actions.get(option or ""), "_typehint", None)

    def _plain(self, message: str) -> str:
        for pattern, describe in self._descriptions():
            if match := pattern.search(message):
                return describe(match)
        return f"{' '.join(message.split())}; see {self.prog} --help"

    def _descriptions(self) -> tuple[tuple[re.Pattern[str], Callable[[re.Match[str]], str]], ...]:
        return (
            (_UNKNOWN, self._unknown),
            (_NEEDED, self._needed),
            (_IN_GROUP, lambda match: self._no_key(f"{match[1]}.{match[2]}")),
            (_ALONE, lambda match: self._no_key(match[1])),
            (_MISFIT, self._misfit),
        )

    def _misfit(self, match: re.Match[str]) -> str:
        while inner := _MISFIT.search(match[2]):  # a file that a file names
            match = inner
        key, value = match[1], _VALUE.search(match[2])
        # An option without parts, with a dot behind its name: jsonargparse takes the rest for a part of its value.
        parts = [word.partition("=")[0][2:] for word in self.args or () if word.startswith(f"--{key}.")]
        if parts and "NestedArg" in match[2]:
            return f"there is no option --{parts[0]}{self._near(parts[0])} {self.prog} --help"
        if not value:
            return f"--{key}: {' '.join(match[2].split())}"
        form = _SHOWN.get(key) or _form(self._type(f"--{key}"))
        return f"{self._place(key)}--{key}: {_EXPECTED.split(value[1])[0].strip()} does not fit; it takes {form}"

    def _no_key(self, key: str) -> str:
        return f"{self._place(key)}there is no option {key}{self._near(key)} {self.prog} --help"

    def _unknown(self, match: re.Match[str]) -> str:
        first = next((word for word in match[1].split() if word.startswith("-")), None)
        if first is None:
            lists = any(_list_item(self._type(word.partition("=")[0])) is str for word in self.args or ())
            hint = "a list is one word with commas or in brackets, such as --tags a,b" if lists else "one word too many"
            return f"unexpected word {match[1]!r}: {hint}; see {self.prog} --help"
        name = first.partition("=")[0].lstrip("-")
        if name in {action.dest for action in self._actions if not action.option_strings}:
            return f"{name} is given by place, without --{name}; see {self.prog} --help"
        return f"there is no option --{name}{self._near(name)} {self.prog} --help"

    def _needed(self, match: re.Match[str]) -> str:
        names = [name.strip() for name in match[1].split(",")]
        shown = [f"--{name} …" if f"--{name}" in self._option_string_actions else name.upper() for name in names]
        return f"{' and '.join(shown)} {'is' if len(shown) == 1 else 'are'} needed; see {self.prog} --help"

    def _near(self, key: str) -> str:
        """Return the nearest option for a message, and the word before the name of the help."""
        known = [name.removeprefix("--") for name in self._option_string_actions if name.startswith("--")]
        near = difflib.get_close_matches(key, known, n=1)
        return f"; did you mean --{near[0]}? See" if near else "; see"

    def _place(self, key: str) -> str:
        """Give the file and the line that set a key, where no option of the call sets it."""
        words = list(self.args or ())
        if any(word.partition("=")[0] == f"--{key}" for word in words):
            return ""
        lines = ((file, _line(file, key.split("."))) for file in reversed(list(_configs(words))))
        return next((f"{file}, line {line}: " for file, line in lines if line), "")


def with_values_of(words: Sequence[str], option: str, change: Callable[[str], str]) -> list[str]:
    """Change the values of an option among the words of a call, written as one word or as two."""
    changed = list(words)
    for place, word in enumerate(words):
        name, equals, value = word.partition("=")
        if name == option and equals:
            changed[place] = f"{name}={change(value)}"
        elif name == option and place + 1 < len(words):
            changed[place + 1] = change(words[place + 1])
    return changed


def _configs(words: Sequence[str]) -> Iterator[Path]:
    """Give the files of ``--config``; other values are checked by the parser."""
    values = [next_word for word, next_word in pairwise(words) if word == "--config"]
    values += [word.partition("=")[2] for word in words if word.startswith("--config=")]
    yield from (Path(value) for value in values if "\n" not in value and Path(value).exists())


def _line(path: Path, keys: Sequence[str]) -> int | None:
    """Find the line of a key in a YAML file that was read before."""
    import yaml

    node, line = yaml.compose(read_yaml_text(path), Loader=yaml.SafeLoader), None
    for key in keys:
        pairs = node.value if isinstance(node, yaml.MappingNode) else ()
        found = next(((name, value) for name, value in pairs if name.value == key), None)
        if found is None:
            return None
        line, node = found[0].start_mark.line + 1, found[1]
    return line


def _members(kind: Any) -> tuple[Any, ...]:
    return get_args(kind) if get_origin(kind) in (Union, types.UnionType) else (kind,)


def _list_item(kind: Any) -> Any:
    """Give the type of an option's list items, where they are words or numbers and a plain word means nothing else."""
    members = _members(kind)
    items = [get_args(member)[0] for member in members if get_origin(member) in _LISTS]
    return items[0] if items and items[0] in (str, int, float) and str not in members else None


def _as_list(kind: Any, value: str) -> str:
    item = _list_item(kind)
    if item is str and (plain := _PLAIN_LIST.fullmatch(value.strip())):
        value = plain[1]  # numbers and words such as yes are names here
    parts = [part.strip() for part in value.split(",")]
    if item is None or value.lstrip().startswith("[") or value.strip() in ("", "null", "~") or not all(parts):
        return value
    if len(parts) == 1 and item is not str:
        return value
    return json.dumps(parts, ensure_ascii=False) if item is str else f"[{', '.join(parts)}]"


def _form(kind: Any) -> str:
    """Describe the values that an option takes."""
    return " or ".join(dict.fromkeys(_form_of(member) for member in _members(kind)))


def _form_of(kind: Any) -> str:
    origin = get_origin(kind)
    if origin is Literal:
        return " or ".join(map(str, get_args(kind)))
    if origin in _LISTS:
        (item,) = get_args(kind)
        words = "'[forest, river]' or forest,river (write a number in quotes)"
        plain = {str: words, int: "'[0, 1]' or 0,1", float: "'[0.5, 0.5]' or 0.5,0.5"}
        return "a list, such as " + plain.get(item, "'[{D4: {p: 1.0}}]'")
    if origin is dict:
        _, value = get_args(kind)
        if get_origin(value) in (list, tuple):
            return "keys and lists, such as '{r: [0, 1000]}'"
        return f"keys and values, such as '{{key: { {int: 3, float: 0.5}.get(value, 'value') }}}'"
    return _WORDS.get(kind, "text")
