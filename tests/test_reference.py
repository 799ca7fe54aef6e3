"""The reference: each public name is in it, and the examples of its docstring run; so do those of docs/examples.md."""

import doctest
import inspect
import re
import shutil
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pandas as pd
import pytest
import yaml
from refused import refused

import amazon_ml as am
from amazon_ml.data.config import TableConfig
from amazon_ml.decisions.base import MultiLabelRule
from amazon_ml.labels import PLANET

DOCS = Path(__file__).parents[1] / "docs"
NAMES = sorted(set(am.__all__) - {"__version__"})
NAMED = re.findall(r"^::: (\S+)$", (DOCS / "reference.md").read_text(), re.MULTILINE)
#: What the pages say, and what is run here in its place, in less time and with the tiles and networks of the tests.
SMALLER = {
    "max_epochs=5": "max_epochs=1, accelerator='cpu', logger=False, enable_checkpointing=False",
    '"resnet18"': '"test_resnet", pretrained=False',
    "size=64": "size=32",
}


@pytest.fixture(scope="module")
def work(trained: Path, demo_tiles: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Make the folder that examples work in: ``data/demo``, ``runs/demo`` and ``runs/other``, ``tiles``."""
    folder = tmp_path_factory.mktemp("examples")
    (folder / "data").mkdir()
    (folder / "data" / "demo").symlink_to(demo_tiles)
    (folder / "tiles").symlink_to(demo_tiles / "test-jpg")
    for name in ("demo", "other"):
        shutil.copytree(trained, folder / "runs" / name)
    options = yaml.safe_load((trained / "config.yaml").read_text())
    (folder / "demo").write_text(yaml.safe_dump(options))  # a file wins over the configuration of this name
    return folder


@pytest.fixture
def there(work: Path, without_pages: None, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(work)
    return work


def run_examples(name: str, thing: Any) -> int:
    """Run the examples of a docstring and give their number; say what an example printed instead of what it says."""
    module = inspect.getmodule(thing)
    assert isinstance(module, ModuleType)
    test = doctest.DocTestParser().get_doctest(inspect.getdoc(thing) or "", dict(vars(module)), name, None, None)
    said: list[str] = []
    result = doctest.DocTestRunner(optionflags=doctest.ELLIPSIS).run(test, out=said.append)
    assert result.failed == 0, "".join(said)
    return result.attempted


@pytest.mark.parametrize("name", NAMES)
def test_a_public_name_is_in_the_reference(name: str) -> None:
    thing = getattr(am, name)
    assert f"{thing.__module__}.{name}" in NAMED


@pytest.mark.parametrize("name", NAMES)
def test_the_docstring_of_a_public_name_has_an_example_that_runs(name: str, there: Path) -> None:
    assert run_examples(name, getattr(am, name)) > 0


@pytest.mark.parametrize("name", NAMES)
def test_the_docstring_of_a_public_name_says_what_it_takes_gives_and_raises(name: str) -> None:
    thing = getattr(am, name)
    text = inspect.getdoc(thing) or ""
    if inspect.isfunction(thing):
        assert all(f"{section}\n---" in text for section in ("Parameters", "Returns", "Raises"))
        assert not [one for one in inspect.signature(thing).parameters if not re.search(rf"\b{one}\b.*\n    \S", text)]
    elif not issubclass(thing, am.WorkError):
        assert "Parameters\n---" in text


def test_every_rule_has_the_methods_that_the_reference_shows_once() -> None:
    rules = [thing for thing in (getattr(am, name) for name in NAMES) if inspect.isclass(thing)]
    assert sum(issubclass(rule, MultiLabelRule) for rule in rules) == 7
    assert f"{MultiLabelRule.__module__}.MultiLabelRule" in NAMED


def test_the_recipes_run(there: Path, capsys: pytest.CaptureFixture[str]) -> None:
    table = pd.read_parquet(there / "runs" / "demo" / "oof.parquet")
    table.drop(columns=[name for name in table if name not in ("image_name", *PLANET.names)]).to_csv(
        "probabilities.csv", index=False
    )
    shutil.copy(there / "data" / "demo" / "train_v2.csv", "labels.csv")
    text = (DOCS / "examples.md").read_text()
    for said, done in SMALLER.items():
        assert said in text
        text = text.replace(said, done)
    names: dict[str, Any] = {}
    for number, code in enumerate(re.findall(r"```python\n(.*?)```", text, flags=re.DOTALL)):
        exec(compile(code, f"docs/examples.md, recipe {number + 1}", "exec"), names)
    rule = names["rule"]
    assert names["tagged"].shape == (100, 4) and am.fbeta_score(names["true"][800:], names["tagged"]) > 0.7
    assert names["search"].best_params_["threshold"] in (0.1, 0.2, 0.3, 0.4) and rule.beta == 2
    assert len(pd.read_csv("tags.csv")) == len(list((there / "tiles").glob("*.jpg")))
    assert np.isfinite(names["score"]["value"]) and names["difference"]["verdict"] in ("higher", "lower", "noise")
    assert "\ndata.size\n" in capsys.readouterr().out


def test_paths_are_text_or_objects_of_paths(there: Path) -> None:
    for kind in (str, Path):
        run, tiles, other = kind("runs/demo"), kind("data/demo"), kind("runs/other")
        assert am.evaluate(run, tiles, json=kind(f"{kind.__name__}.json"))["tiles_of"] == "data/demo"
        am.compare([run, other], json=kind(f"{kind.__name__}_both.json"), page=kind(f"{kind.__name__}.html"))
        assert am.tune(run, rule="fixed")["rule"] == "fixed"
        assert am.blend((run, other), run=kind(f"runs/blend_{kind.__name__}"))["tiles"] > 0
        config = am.RunConfig.load(kind("demo"), {"data.root": tiles, "data.splits": {"train": tiles}})
        assert (config.data.root, config.data.splits) == ("data/demo", {"train": "data/demo"})
        data = am.PlanetDataModule(tiles, size=32, folds_file=kind("folds.csv"))
        assert (data.hparams["root"], data.hparams["folds_file"]) == ("data/demo", "folds.csv")
    for name in ("str.json", "Path.json", "str_both.json", "Path_both.json", "str.html", "Path.html"):
        assert Path(name).is_file()


def test_one_path_is_no_list_of_runs() -> None:
    for runs in ("runs/demo", Path("runs/demo")):
        with refused(option="runs", says=repr(runs)):
            am.compare(runs)  # type: ignore[arg-type]
        with refused(option="runs", says=repr(runs)):
            am.blend(runs, run="runs/blend")  # type: ignore[arg-type]
    with refused(option="run", says=5):
        am.tune(5)  # type: ignore[arg-type]
    with refused(option="table", says="TableConfig"):
        am.evaluate("runs/demo", "data/demo", {"tag_separator": ","})  # type: ignore[arg-type]
    assert f"{TableConfig.__module__}.TableConfig" in NAMED
