"""The page docs/configuration.md: every option of training, as ``amazon-ml train --help`` has them."""

import ast
import re
import sys
from pathlib import Path

import yaml
from jsonargparse import DefaultHelpFormatter, Namespace

from amazon_ml.files import write_text
from amazon_ml.runs.config import train_parser

_HEAD = """\
<!-- Written from the code by `make guide`; changes belong there. -->
# Configuration

Every option of `amazon-ml train`, which `amazon-ml find`, `amazon-ml slurm train` and YAML files take, too. The option
`data.size` is `--data.size 128` on the command line, and in a file

```yaml
data:
  size: 128
```

`--config FILE` reads such a file. Several stack, later ones winning, and options on the command line win over all:

```
amazon-ml train --config configs/planet.yaml --config configs/ablation/ema.yaml --data.size 128
```

`--print_config` shows what comes out of it, and trains nothing. Unknown keys and values of another type are refused. A
run keeps all of its options as `config.yaml`, which `--config` reads again.
"""
_TITLES = {
    "run": "The run",
    "data": "`data`: tiles, batches and folds",
    "model": "`model`: the network, and how it learns",
    "trainer": "`trainer`: epochs, devices, precision",
}
#: Said of options whose meaning is told elsewhere.
_TOLD = {
    "trainer": "These go to Lightning's Trainer as they are. `amazon-ml train --help` has their meaning, and\n"
    "[its documentation](https://lightning.ai/docs/pytorch/stable/common/trainer.html) has more.\n"
}
#: An option in the help, its name on the line of its meaning or on the one before.
_OPTION = re.compile(
    r"^  --(?P<name>[\w.]+)[ ,].*?\s{2,}(?!-)(?P<meaning>\S.*?) \((?P<required>required, )?type: (?P<type>.*?)"
    r"(?:, default: .*)?\)$",
    re.MULTILINE,
)


class _OneLine(DefaultHelpFormatter):
    """The format of the help, with a line a meaning however long."""

    def __init__(self, prog: str) -> None:
        super().__init__(prog, width=100_000)  # type: ignore[no-untyped-call]


def options_page() -> str:
    """Give the page as Markdown: a section for each part of the configuration, a row for each option."""
    parser = train_parser()
    parser.formatter_class = _OneLine
    defaults = parser.get_defaults()
    sections: dict[str, list[re.Match[str]]] = {section: [] for section in _TITLES}
    for option in _OPTION.finditer(parser.format_help()):
        section, dot, _ = option["name"].partition(".")
        sections[section if dot else "run"].append(option)
    return "\n".join([_HEAD, *(_section(name, options, defaults) for name, options in sections.items())])


def _section(name: str, options: list[re.Match[str]], defaults: Namespace) -> str:
    told = _TOLD.get(name)
    columns = ["option", "type", "default", "meaning"][: 3 if told else 4]
    rows = [columns, ["---"] * len(columns), *(_row(option, defaults)[: len(columns)] for option in options)]
    table = "".join(f"| {' | '.join(row)} |\n" for row in rows)
    return "\n".join([f"## {_TITLES[name]}\n", *([told] if told else []), table])


def _row(option: re.Match[str], defaults: Namespace) -> list[str]:
    name, kind, meaning = option["name"], ast.parse(option["type"], mode="eval").body, option["meaning"]
    default = "required" if option["required"] else f"`{_yaml(defaults[name])}`"
    return [f"`{name}`", f"`{_type(kind)}`", default, meaning.replace("``", "`")]


def _type(node: ast.expr) -> str:
    """Write a type with words, since a bar would end the cell of a table."""
    match node:
        case ast.Subscript(value=ast.Name(id="Optional"), slice=inner):
            return f"{_type(inner)} or null"
        case ast.Subscript(value=ast.Name(id="Literal"), slice=ast.Tuple(elts=several)):
            return " or ".join(map(_type, several))
        case ast.Subscript(value=ast.Name(id="Union"), slice=ast.Tuple(elts=several)):
            # Python hands out an equal union that it has met before, whose order may be another.
            return " or ".join(sorted(map(_type, several), key=lambda word: (word == "null", word)))
        case ast.Subscript(value=ast.Name(id="Union" | "Literal"), slice=one):
            return _type(one)
        case ast.BinOp(left=left, op=ast.BitOr(), right=right):
            return f"{_type(left)} or {_type(right)}"
        case ast.Subscript(value=outer, slice=inner):
            return f"{_type(outer)}[{_type(inner)}]"
        case ast.Tuple(elts=several):
            return ", ".join(map(_type, several))
    return ast.unparse(node)


def _yaml(value: object) -> str:
    return yaml.safe_dump(value, default_flow_style=True, width=10_000).removesuffix("...\n").strip()


if __name__ == "__main__":
    write_text(Path(sys.argv[1]), options_page())
