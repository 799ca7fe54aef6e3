"""The words of a call and the files of ``--config``: lists as people write them, one message for each fault."""

from pathlib import Path

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st
from refused import command_refused, holds, refused
from requested import config_of

from amazon_ml.cli.main import main
from amazon_ml.cli.parser import Parser
from amazon_ml.runs.config import RunConfig
from amazon_ml.runtime.yaml_files import MAX_DEPTH, check_depth, read_yaml

WORDS = st.text(st.characters(categories=["L", "Nd"], include_characters="_ '\"{}#:"), min_size=1).map(str.strip)


# ---------------------------------------------------------------- lists


@given(st.lists(WORDS.filter(lambda word: word not in ("", "null", "~")), min_size=1))
def test_tags_with_commas_are_those_tags(tags: list[str]) -> None:
    parser = Parser()
    parser.add_argument("--tags", type=list[str] | None)
    assert parser.parse_args([f"--tags={','.join(tags)}"]).tags == tags
    assert parser.parse_args(["--tags", ", ".join(tags)]).tags == tags


@pytest.mark.parametrize(
    ("words", "section", "key", "value"),
    [
        (["--data.tags", "forest,river"], "data", "tags", ["forest", "river"]),
        (["--data.tags=[forest, river]"], "data", "tags", ["forest", "river"]),
        (["--data.tags", "forest"], "data", "tags", ["forest"]),
        (["--data.tags", "null"], "data", "tags", None),
        (["--data.tags", "1,0"], "data", "tags", ["1", "0"]),
        (["--model.mean=.5,.25,1"], "model", "mean", [0.5, 0.25, 1.0]),
        (["--trainer.devices=0,1"], "trainer", "devices", "0,1"),  # means GPUs 0 and 1 to Lightning
    ],
)
def test_lists_of_train(words: list[str], section: str, key: str, value: object) -> None:
    assert getattr(getattr(config_of(["--data.root", "x", *words]), section), key) == value


@pytest.mark.parametrize(
    ("given", "folds"), [("0,1", [0, 1]), ("[2, 0]", [2, 0]), ("1", [1]), ("all", "all"), ("0, 2", [0, 2])]
)
def test_folds(given: str, folds: object) -> None:
    assert config_of(["--data.root", "x", "--folds", given]).folds == folds


# ---------------------------------------------------------------- keys of keys, by dots


@pytest.mark.parametrize(
    ("words", "loggers"),
    [
        ("--loggers.wandb.project p --loggers.wandb.entity=team", {"wandb": {"project": "p", "entity": "team"}}),
        ("--loggers.wandb.a 1e-3 --loggers.mlflow.b x --loggers.wandb.c true",
         {"wandb": {"a": 0.001, "c": True}, "mlflow": {"b": "x"}}),
        ("--loggers {wandb:{a:1}} --loggers.wandb.b 2", {"wandb": {"a": 1, "b": 2}}),
        ("--loggers.wandb {a:1,b:3} --loggers.wandb.b 2", {"wandb": {"a": 1, "b": 2}}),
        ("--loggers.wandb.a 1 --loggers.wandb {b:2}", {"wandb": {"b": 2}}),  # a value given whole
        ("--loggers.wandb.s.x 1 --loggers.wandb.s.y 2", {"wandb": {"s": {"x": 1, "y": 2}}}),
        ("--config FILE --loggers.wandb.entity team", {"wandb": {"project": "p", "entity": "team"}}),
        ("--loggers.wandb.entity team --config FILE", {"wandb": {"project": "p", "entity": "e"}}),
    ],
)  # fmt: skip
def test_each_dotted_word_changes_one_argument_of_a_logger(words: str, loggers: object, tmp_path: Path) -> None:
    file = tmp_path / "options.yaml"
    file.write_text("loggers: {wandb: {project: p, entity: e}}\n")
    split = [str(file) if word == "FILE" else word.replace(":", ": ") for word in words.split()]
    assert config_of(["--data.root", "x", *split]).loggers == loggers


@pytest.mark.parametrize(
    ("words", "section", "key", "value"),
    [
        ("--model.backbone_args.a.b 2 --model.backbone_args.a.c 3 --model.backbone_args.d x",
         "model", "backbone_args", {"a": {"b": 2, "c": 3}, "d": "x"}),
        ("--model.loss_args.gamma 2 --model.loss_args.alpha 3", "model", "loss_args", {"gamma": 2.0, "alpha": 3.0}),
        ("--data.tif_limits.r [0,1] --data.tif_limits.g [0,2]", "data", "tif_limits", {"r": (0, 1), "g": (0, 2)}),
        ("--data.augment.D4.p 0.5 --data.augment.D4.x 3", "data", "augment", [{"D4": {"p": 0.5, "x": 3}}]),
        ("--data.augment=[{D4:{p:1}},{Sharpen:{}}] --data.augment.D4.p 0.5",
         "data", "augment", [{"D4": {"p": 0.5}}, {"Sharpen": {}}]),
    ],
)  # fmt: skip
def test_each_dotted_word_changes_one_key_of_other_options(words: str, section: str, key: str, value: object) -> None:
    split = [word.replace(":", ": ") for word in words.split()]
    assert getattr(getattr(config_of(["--data.root", "x", *split]), section), key) == value


@pytest.mark.parametrize(
    ("overrides", "loggers"),
    [
        ({"loggers.wandb": {"a": 1}, "loggers.mlflow": {"b": 2}}, {"wandb": {"a": 1}, "mlflow": {"b": 2}}),
        ({"loggers.wandb": {"a": 1}, "loggers.wandb.b": 2, "loggers.mlflow.b": 2},
         {"wandb": {"a": 1, "b": 2}, "mlflow": {"b": 2}}),
        ({"loggers.wandb.a": 1, "loggers": {"wandb": {"b": 2}}}, {"wandb": {"b": 2}}),
    ],
)  # fmt: skip
def test_dotted_names_in_python_change_one_key(overrides: dict[str, object], loggers: object) -> None:
    before = {name: dict(value) if isinstance(value, dict) else value for name, value in overrides.items()}
    loaded = RunConfig.load("demo", {**overrides, "model.loss_args.gamma": 2, "data.tif_limits": {"a": (0, 1)},
                                     "data.tif_limits.B8.A": (0, 2)})  # fmt: skip
    assert loaded.loggers == loggers and overrides == before
    assert loaded.model.loss_args == {"gamma": 2} and loaded.model.loss == RunConfig.load("demo").model.loss
    assert loaded.data.tif_limits == {"a": (0, 1), "B8.A": (0, 2)}


@pytest.mark.parametrize("option", ["seed.x", "loggers.", "data.size.x", "nope.x", "data.nope.x"])
def test_dots_behind_an_option_without_keys_are_refused(option: str) -> None:
    with refused(option=option):
        RunConfig.load("demo", {option: 3})


def test_tags_with_commas_in_other_verbs(demo_tiles: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["data", "check", str(demo_tiles), "--tags", "forest,river"]) in (1, 2)  # they are not of this table
    assert "does not fit" not in capsys.readouterr().err


@pytest.mark.parametrize(
    ("words", "named"),
    [
        (["--data.tags", "forest", "river"], ["'river'", "a,b"]),
        (["--data.tags", "forest,", "river"], ["--data.tags", "forest,", "[forest, river]"]),
        (["--data.tags=[forest"], ["--data.tags", "[forest"]),
        (["--folds", "0-2"], ["--folds", "0-2", "[0, 1]"]),
        (["--folds", "0,,1"], ["--folds", "0,,1", "[0, 1]"]),
        (["--data.tif_limits", "r=0,1000"], ["--data.tif_limits", "r=0,1000", "{r: [0, 1000]}"]),
        (["--data.size", "large"], ["--data.size", "large", "a whole number"]),
        (["--data.rgb_source", "png"], ["--data.rgb_source", "png", "jpg or tif"]),
        (["--data.sise", "3"], ["--data.sise", "--data.size"]),
        (["--config", "none.yaml"], ["--config", "none.yaml"]),
        (["--data.augment", "[" * 100_000], ["levels"]),
    ],
)
def test_what_does_not_fit_is_said_in_one_line(
    capsys: pytest.CaptureFixture[str], words: list[str], named: list[str]
) -> None:
    line = command_refused(capsys, "train", "--data.root", "x", *words, alone=True)
    assert all(part in line for part in named) and len(line) < 300


@pytest.mark.parametrize(
    ("words", "wrong", "near"),
    [
        (["evaluate", "RUN", "--data", "DIR", "--data.tags_column", "tags"], "--data.tags_column", "--tags_column"),
        (["evaluate", "RUN", "--data.tags_column=tags", "--data=DIR"], "--data.tags_column", "--tags_column"),
        (["predict", "RUN", "--data", "DIR", "--num_workers.x", "3"], "--num_workers.x", "--num_workers"),
        (["train", "--data.root.x=3"], "--data.root.x", "--data.root"),
        (["train", "--data.bands.x", "3"], "--data.bands.x", "--data.bands"),
    ],
)
def test_part_of_an_option_without_parts_is_no_option(
    capsys: pytest.CaptureFixture[str], words: list[str], wrong: str, near: str
) -> None:
    line = command_refused(capsys, *words, alone=True)
    assert holds(line, wrong, near) and "NestedArg" not in line and "does not fit" not in line


def test_value_that_looks_like_a_part_is_a_value(capsys: pytest.CaptureFixture[str]) -> None:
    line = command_refused(capsys, "train", "--data.root", "x", "--data.size", "NestedArg(key='x', val=3)", alone=True)
    assert holds(line, "--data.size", "a whole number")


# ---------------------------------------------------------------- files


@pytest.mark.parametrize(
    ("content", "named"),
    [
        (b"data:\n  root: x\n  size: abc\n", ["line 3", "data.size", "abc"]),
        (b"data: {root: x}\nmodel: {backbon: resnet18}\n", ["line 2", "model.backbon", "model.backbone"]),
        (b"data: [\n", ["line 2"]),
        (b"- 3\n", ["list"]),
        (b"", ["empty"]),
        (b"\0\0\0\0", []),
        (b"\xff\xfed\0a\0", ["UTF-8"]),
        (b"data: " + b"[" * 100_000 + b"]" * 100_000, ["line 1", "levels"]),
        (b"data:\n  " + b"- " * 100_000 + b"x\n", ["line 2", "levels"]),
        (b"data: &a {root: *a}\n", ["line 1"]),
    ],
)
def test_faults_of_a_file_name_it(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], content: bytes, named: list[str]
) -> None:
    (tmp_path / "odd.yaml").write_bytes(content)
    line = command_refused(capsys, "train", "--config", str(tmp_path / "odd.yaml"), alone=True)
    assert all(part in line for part in ["odd.yaml", *named])


def test_file_with_a_mark_of_its_encoding_is_read(tmp_path: Path) -> None:
    (tmp_path / "a.yaml").write_bytes(b"\xef\xbb\xbfdata: {root: x, size: 64}\n")
    assert config_of(["--config", str(tmp_path / "a.yaml")]).data.size == 64


def test_folder_and_pipe_are_no_files_to_read(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    import os

    os.mkfifo(tmp_path / "pipe.yaml")
    assert "regular" in command_refused(capsys, "train", "--config", str(tmp_path / "pipe.yaml"), alone=True)
    assert "regular" in command_refused(capsys, "train", "--config", str(tmp_path), alone=True)


@given(
    st.recursive(
        st.none() | st.integers() | st.text(st.characters(exclude_categories=("Cc", "Cs", "Zl", "Zp")), max_size=3),
        lambda inner: st.lists(inner, max_size=3),
    )
)
def test_plain_values_are_read_as_they_were_written(value: object) -> None:
    text = yaml.safe_dump(value, allow_unicode=True)
    check_depth(text, "here")
    assert yaml.safe_load(text) == value


@pytest.mark.parametrize("around", ["[{}]", "{{a: {}}}", "- {}"])
def test_depth_has_a_limit(around: str, tmp_path: Path) -> None:
    text = "x"
    for _ in range(MAX_DEPTH):
        text = around.format(text)
    check_depth(text, "here")
    (tmp_path / "deep.yaml").write_text(around.format(text))
    with refused(file=tmp_path / "deep.yaml", line=1, says=MAX_DEPTH):
        read_yaml(tmp_path / "deep.yaml")


# ---------------------------------------------------------------- no code by its name


@pytest.mark.parametrize(
    "where",
    ["trainer: {profiler: {class_path: marker.X}}", "trainer: {profiler: marker.X}",
     "trainer: {strategy: {class_path: marker.X}}", "trainer: {accelerator: {class_path: marker.X}}",
     "trainer: {callbacks: [{class_path: marker.X}]}", "trainer: {plugins: {class_path: marker.X}}",
     "trainer: {logger: {class_path: marker.X}}", "trainer: {class_path: marker.X}", "model: {class_path: marker.X}",
     "data: {class_path: marker.X}", "data: {augment: [{marker.X: {}}]}", "data: {augment: [{class_path: marker.X}]}",
     "model: {loss: marker.X}", "model: {backbone: 'local-dir:.'}", "model: {backbone: marker.X}",
     "model: {backbone_args: {pretrained_cfg: marker.X}}", "model: {backbone_args: {act_layer: marker.X}}",
     "model: {backbone_args: {checkpoint_path: marker.py}}",
     "loggers: {marker: {}}", "loggers: {marker.X: {}}"],
)  # fmt: skip
def test_configuration_imports_no_module_that_it_names(
    where: str, demo_tiles: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "marker.py").write_text("open('touched', 'w')\nclass X: pass\n")
    base = {"data": {"root": str(demo_tiles), "size": 32}, "model": {"backbone": "test_resnet", "pretrained": False}}
    for section, value in yaml.safe_load(where).items():
        base[section] = {**base.get(section, {}), **value}
    (tmp_path / "foreign.yaml").write_text(yaml.safe_dump(base))
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(str(tmp_path))
    line = command_refused(
        capsys, "train", "--config", "foreign.yaml", "--run", "run", "--trainer.accelerator=cpu", alone=True
    )
    assert not (tmp_path / "touched").exists()
    assert "Traceback" not in line


def test_help_of_a_foreign_class_is_not_given(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "marker.py").write_text("open('touched', 'w')\n")
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(str(tmp_path))
    for option in ("strategy", "profiler", "accelerator"):
        command_refused(capsys, "train", f"--trainer.{option}.help", "marker.X", alone=True)
    assert not (tmp_path / "touched").exists()


BOMB = "a: &a [x, x, x, x, x, x, x, x, x]\n" + "".join(
    f"{name}: &{name} [{', '.join([f'*{former}'] * 9)}]\n" for former, name in zip("abcdefg", "bcdefgh", strict=True)
)


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ("seed: 1\ndata: &a {root: tiles, x: *a}\n", 2),
        ("data:\n  root: tiles\n  augment: &a\n  - *a\n", 3),
        (BOMB, 5),
        ("a0: &a0 x\n" + "".join(f"a{n}: &a{n} [*a{n - 1}]\n" for n in range(1, 500)), 1),
        ("".join(f"{' ' * n}a:\n" for n in range(500)), MAX_DEPTH + 1),
        ("seed: 1\n" + "".join(f"{'  ' * n}- a:\n" for n in range(500)), MAX_DEPTH + 2),
    ],
)
def test_yaml_that_multiplies_itself_is_refused_with_its_line(
    text: str, line: int, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file, run = tmp_path / "e.yaml", tmp_path / "run"
    file.write_text(text)
    run.mkdir()
    (run / "config.yaml").write_text(text)
    assert f"{file}, line " in command_refused(capsys, "train", "--config", str(file), alone=True)
    assert f"{run / 'config.yaml'}, line " in command_refused(capsys, "tune", str(run), alone=True)
    with refused(file=file, line=line):
        read_yaml(file)


def test_anchors_that_repeat_a_value_are_read(tmp_path: Path) -> None:
    (tmp_path / "a.yaml").write_text("one: &a {x: [1, 2]}\ntwo: *a\nthree: {<<: *a, y: 1}\n")
    assert read_yaml(tmp_path / "a.yaml")["three"] == {"x": [1, 2], "y": 1}
    many = ", ".join(f"t{n}" for n in range(20_000))
    (tmp_path / "b.yaml").write_text(f"tags: [{many}]\n")
    assert len(read_yaml(tmp_path / "b.yaml")["tags"]) == 20_000
