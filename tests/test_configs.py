"""The configurations that ship: each parses, and the presets stack on each."""

import inspect
import re
from collections.abc import Callable
from pathlib import Path
from typing import get_args

import docstring_parser
import pytest
import timm
import yaml
from refused import refused
from requested import config_of

from amazon_ml.decisions.rules import RULES
from amazon_ml.errors import InputError
from amazon_ml.models.config import ModelConfig
from amazon_ml.models.losses import LOSSES
from amazon_ml.models.schedules import SCHEDULES
from amazon_ml.models.tta import MEANS, VIEWS
from amazon_ml.report.comparison import compare
from amazon_ml.runs.config import RunConfig
from amazon_ml.runs.tune import tune
from amazon_ml.settings import settings_of

CONFIGS = Path(__file__).parents[1] / "configs"
WHOLE = ("demo.yaml", "thumbnails.yaml", "planet.yaml")
STACKED = (
    "ablation/ema.yaml",
    "ablation/layer_decay.yaml",
    "ablation/logit_mean.yaml",
    "ablation/one_view.yaml",
    "ablation/progressive.yaml",
    "ablation/scratch.yaml",
    "ablation/swa.yaml",
    "ablation/unfreeze.yaml",
    "lite0.yaml",
    "augment/strong.yaml",
    "augment/weather.yaml",
    "long.yaml",
    "strong.yaml",
    "progressive.yaml",
    "ablation/pos_weight.yaml",
    "ablation/label_smoothing.yaml",
    "ablation/focal.yaml",
    "ablation/asymmetric.yaml",
    "ablation/soft_f2.yaml",
    "ablation/grouped_softmax.yaml",
    "debug/overfit.yaml",
    "debug/limit.yaml",
    "distil.yaml",
)
#: Options that a preset leaves to the caller.
NEEDED = {"distil.yaml": ["--data.teacher=runs/teacher"]}


def test_every_config_is_tested() -> None:
    there = {
        path.relative_to(CONFIGS).as_posix()
        for path in CONFIGS.rglob("*.yaml")
        if path.parent.name not in ("slurm", "datasets")
    }
    assert there == {*WHOLE, *STACKED}


@pytest.mark.parametrize("name", WHOLE)
def test_config_parses_to_a_run_of_its_name(name: str, whole: dict[str, RunConfig]) -> None:
    config = whole[name]
    assert config.folder == Path("runs") / Path(name).stem
    assert timm.is_model(config.model.backbone)


@pytest.fixture(scope="module")
def whole() -> dict[str, RunConfig]:
    return {name: config_of([f"--config={CONFIGS / name}"]) for name in WHOLE}


@pytest.mark.parametrize("base", WHOLE)
@pytest.mark.parametrize("preset", STACKED)
def test_presets_stack(base: str, preset: str, whole: dict[str, RunConfig]) -> None:
    plain = whole[base]
    config = config_of([f"--config={CONFIGS / base}", f"--config={CONFIGS / preset}", *NEEDED.get(preset, [])])
    assert config.data.root == plain.data.root
    asked = yaml.safe_load((CONFIGS / preset).read_text(encoding="utf-8"))
    for group, values in asked.items():
        assert {key: getattr(getattr(config, group), key) for key in values} == values


@pytest.mark.parametrize("base", ["planet", "thumbnails", "demo"])
def test_the_metres_of_a_pixel_come_with_a_published_set_and_not_with_a_preset_of_training(base: str) -> None:
    assert RunConfig.load(base, {"data.root": "own"}).data.gsd is None
    metres = {"planet": 3.0, "bigearthnet": 10.0, "bigearthnet-v1": 10.0, "dfc15": 0.05, "treesatai": 0.2}
    for path in (CONFIGS / "datasets").glob("*.yaml"):
        asked = yaml.safe_load(path.read_text(encoding="utf-8"))["data"]
        assert "gsd" in asked, path  # else it is that of a set before it
        stacked = RunConfig.load([base, "datasets/planet", f"datasets/{path.stem}"])
        assert stacked.data.gsd == asked["gsd"] == metres.get(path.stem)


def test_options_win_over_configs_and_later_configs_over_earlier() -> None:
    demo, limit = (f"--config={CONFIGS / name}" for name in ("demo.yaml", "debug/limit.yaml"))
    assert config_of([demo, limit]).trainer.max_epochs == 1
    assert config_of([limit, demo]).trainer.max_epochs == 20
    assert config_of([demo, limit, "--trainer.max_epochs=5"]).trainer.max_epochs == 5


@pytest.mark.parametrize("value", ["tiles.yaml", "5", "[size]"])
def test_a_section_that_is_no_section_is_named(value: str, tmp_path: Path) -> None:
    file = tmp_path / "odd.yaml"
    file.write_text(f"data: {value}\n")
    for read in (RunConfig.load, lambda path: config_of([f"--config={path}"])):
        with refused(file=file, option="data"):
            read(file)


@pytest.mark.parametrize(("option", "value"), [("data.size", 3), ("model.lr", float("nan")), ("seed", -1)])
def test_an_option_out_of_its_range_is_a_field_of_the_error(option: str, value: object) -> None:
    with pytest.raises(InputError) as refused:
        RunConfig.load("demo", {option: value})
    assert refused.value.option == option


def test_choices_of_the_network_are_those_of_the_registries() -> None:
    kinds = {setting.name: setting for setting in settings_of(ModelConfig)}
    for name, registry in (("schedule", SCHEDULES), ("tta", VIEWS), ("tta_mean", MEANS)):
        assert get_args(kinds[name].type) == tuple(registry), name
    assert all(f"``{loss}``" in kinds["loss"].meaning for loss in LOSSES)


@pytest.mark.parametrize("verb", [tune, compare])
def test_verbs_with_a_rule_name_all_of_them(verb: Callable[..., object]) -> None:
    params = docstring_parser.parse(inspect.getdoc(verb) or "").params
    meaning = next(param.description for param in params if param.arg_name == "rule")
    assert set(RULES) <= set(re.findall(r"\w+", meaning or ""))


def test_a_folder_of_its_name_does_not_hide_a_configuration(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "demo").mkdir()
    assert RunConfig.load("demo").model.backbone == RunConfig.load(CONFIGS / "demo.yaml").model.backbone
    (tmp_path / "lite0").write_text("data: {root: own}\n")  # a file does
    assert RunConfig.load("lite0").data.root == "own"
