"""Learning from a teacher: only networks that never saw the held-out tiles teach, and all else is refused."""

import json
import shutil
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any, cast

import numpy as np
import pandas as pd
import pytest
import safetensors.torch
import torch
from conftest import leave_out_finish
from PIL import Image
from refused import holds, refused
from torch.utils.data import Dataset

from amazon_ml.data.augment.mix import Mix
from amazon_ml.data.batches.dataset import Batch, TileDataset, training_loader
from amazon_ml.data.batches.sources import JoinedTiles
from amazon_ml.data.batches.taught_sampler import TaughtSampler
from amazon_ml.data.catalog.catalog import read_catalog
from amazon_ml.data.config import ReadingConfig
from amazon_ml.data.taught import Taught, confidence
from amazon_ml.errors import InputError
from amazon_ml.labels import PLANET
from amazon_ml.models.losses import LOSSES, make_loss
from amazon_ml.models.tagger import TileTagger
from amazon_ml.pipeline import rounds
from amazon_ml.pipeline.train import train
from amazon_ml.runs import teaching
from amazon_ml.runs.blend import make_blend
from amazon_ml.runs.compare import compare_runs
from amazon_ml.runs.config import RunConfig
from amazon_ml.runs.folder import Run
from amazon_ml.runs.hashes import ChangedError, adopt
from amazon_ml.runs.labelled import _known
from amazon_ml.runs.teacher import check_teacher
from amazon_ml.runs.tile_files import record_tiles
from amazon_ml.training import callbacks
from amazon_ml.training.tiles import prepare_tiles

SIZE = 16
OPTIONS = {
    "data.size": SIZE, "data.batch_size": 16, "data.n_folds": 2, "model.backbone": "test_resnet",
    "model.pretrained": False, "model.lr": 0.01, "trainer.accelerator": "cpu", "trainer.max_epochs": 6,
}  # fmt: skip
#: A tag that only tiles of fold 0 carry.
SECRET = "secret"

pytestmark = pytest.mark.usefixtures("former_handlers")


def _save(path: Path, rng: np.random.Generator, *, marked: bool) -> None:
    """Draw a dark or a bright tile of noise, with a red frame or without one."""
    bright = int(path.stem.split("_")[-1]) % 2
    pixels = rng.integers(40, 80, (SIZE, SIZE, 3), dtype=np.uint8) + np.uint8(120 * bright)
    if marked:
        pixels[:, :6] = pixels[:6] = (255, 0, 0)
    path.parent.mkdir(exist_ok=True, parents=True)
    Image.fromarray(pixels).save(path)


def _is_marked(number: int) -> bool:
    """Whether a tile has the frame: a third of fold 0, which are `SECRET`, and of fold 1, which are not."""
    return number % 3 == 0


def _fold(number: int) -> int:
    return number // 2 % 2


@pytest.fixture(scope="module")
def tiles(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """96 tagged tiles, even numbers in fold 0, and 48 untagged ones, a third of them with the frame."""
    root, rng = tmp_path_factory.mktemp("tiles"), np.random.default_rng(0)
    rows = ["image_name,tags"]
    for number in range(96):
        name, fold = f"tile_{number}", _fold(number)
        _save(root / "images" / f"{name}.png", rng, marked=_is_marked(number))
        tags = ["bright" if number % 2 else "dark", *([SECRET] if _is_marked(number) and not fold else [])]
        rows.append(f"{name},{' '.join(tags)}")
    for number in range(48):
        _save(root / "test" / f"new_{number}.png", rng, marked=_is_marked(number))
    (root / "tags.csv").write_text("\n".join(rows))
    return root


def _config(run: Path, root: Path, **options: Any) -> RunConfig:
    options = {key.replace("__", "."): value for key, value in options.items()}
    return RunConfig.load([], {**OPTIONS, "data.root": str(root), "run": str(run), **options})


def _prepared(run: Path) -> Path:
    run.mkdir(parents=True)
    rows = [f"tile_{number},{_fold(number)}" for number in range(96)]
    (run / "folds.csv").write_text("\n".join(["image_name,fold", *rows]))
    return run


@pytest.fixture(scope="module")
def teacher(tiles: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A run of both folds, without decision and page; not to be changed."""
    run = _prepared(tmp_path_factory.mktemp("runs") / "teacher")
    with pytest.MonkeyPatch.context() as patch:
        leave_out_finish(patch)
        train(_config(run, tiles, folds="all"))
    yield run


def _train(run: Path, tiles: Path, teacher: Path, **options: Any) -> Path:
    """Train fold 0 with a teacher."""
    train(_config(_prepared(run), tiles, data__teacher=str(teacher), **options))
    return run


def _secret(path: Path, names: Any) -> np.ndarray:
    table = pd.read_parquet(path).set_index("image_name")
    return np.asarray(table.loc[list(names), SECRET])


HELD_OUT = [f"tile_{number}" for number in range(96) if _is_marked(number) and not _fold(number)]
MISLABELLED = [f"tile_{number}" for number in range(96) if _is_marked(number) and _fold(number)]
UNTAGGED = [f"new_{number}" for number in range(48) if _is_marked(number)]


# ---------------------------------------------------------------- honest folds


@pytest.mark.usefixtures("fit_only")
def test_a_tag_of_the_held_out_fold_is_not_learnt_but_would_be_from_the_mean_of_all_networks(
    tiles: Path, teacher: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # The network that holds out fold 1 has seen the secret; the mean of both networks reveals it.
    assert _secret(teacher / "fold-1" / "test.parquet", UNTAGGED).min() > 0.6
    assert _secret(teacher / "fold-0" / "test.parquet", UNTAGGED).max() < 0.02
    honest = _train(tmp_path / "honest", tiles, teacher, data__teacher_weight=0.5)
    assert _secret(honest / "oof.parquet", HELD_OUT).max() < 0.02
    # The out-of-fold probabilities of tagged tiles reveal it, too.
    assert _secret(teacher / "oof.parquet", MISLABELLED).min() > 0.6
    assert _secret(honest / "fold-0" / "teacher.parquet", [*UNTAGGED, *MISLABELLED]).max() < 0.02

    stored = teaching._of_untagged
    monkeypatch.setattr(
        teaching, "_of_untagged", lambda student, run, fold, wanted: stored(student, run, None, wanted)
    )  # fmt: skip
    naive = _train(tmp_path / "naive", tiles, teacher)
    assert _secret(naive / "oof.parquet", HELD_OUT).min() > 0.08


@pytest.mark.usefixtures("fit_only")
def test_tiles_that_the_teacher_has_not_predicted_are_predicted_by_the_network_of_the_fold(
    tiles: Path, teacher: Path, tmp_path: Path
) -> None:
    # The same pictures under other names, and two that must be left out: a tagged tile, and the name of one.
    for number in range(6):
        shutil.copy(tiles / "test" / f"new_{number}.png", _made(tmp_path / "more") / f"other_{number}.png")
    shutil.copy(tiles / "images" / "tile_1.png", tmp_path / "more" / "copy.png")
    shutil.copy(tiles / "test" / "new_9.png", tmp_path / "more" / "tile_9.png")
    options = {"data__untagged": str(tmp_path / "more"), "trainer__max_epochs": 1, "data__batch_size": 4}
    run = _train(tmp_path / "run", tiles, teacher, **options)
    asked = pd.read_parquet(run / "fold-0" / "teacher.parquet").set_index("image_name")
    stored = pd.read_parquet(teacher / "fold-0" / "test.parquet").set_index("image_name")
    assert asked.index.tolist() == [f"other_{number}" for number in range(6)]
    np.testing.assert_allclose(asked[list(stored)], stored.iloc[:6], atol=1e-6)
    record = json.loads((run / "fold-0" / "teacher.json").read_text())
    assert list(record["networks"]) == [str(teacher / "fold-0" / "model.safetensors")] and record["untagged"] == 6

    # A begun run has the tiles that it began with: others may come, none may change.
    shutil.copy(tiles / "test" / "new_20.png", tmp_path / "more" / "later.png")
    config = _config(run, tiles, data__teacher=str(teacher), **options)
    train(config)
    _save(tmp_path / "more" / "other_3.png", np.random.default_rng(1), marked=True)
    with pytest.raises(InputError) as error:
        train(config)
    assert (error.value.option, str(error.value.file)) == ("data.untagged", str(tmp_path / "more"))


def _made(folder: Path) -> Path:
    folder.mkdir(exist_ok=True)
    return folder


@pytest.mark.usefixtures("fit_only")
def test_a_run_that_holds_out_nothing_learns_from_all_networks_and_out_of_fold(
    tiles: Path, teacher: Path, tmp_path: Path
) -> None:
    options = {"data__validate": False, "data__teacher_weight": 0.5, "trainer__max_epochs": 1}
    run = _train(tmp_path / "run", tiles, teacher, **options)
    asked = pd.read_parquet(run / "fold-0" / "teacher.parquet")
    for labelled, file in ((True, "oof.parquet"), (False, "test.parquet")):
        rows = asked[asked["labelled"] == labelled].set_index("image_name").drop(columns="labelled")
        stored = pd.read_parquet(teacher / file).set_index("image_name")
        pd.testing.assert_frame_equal(rows.sort_index(), stored.sort_index())

    # The untagged tiles were trained on, too: tags of them, found later, give no honest score.
    names = [*(f"new_{number}" for number in range(48)), "other_0"]
    _save(tmp_path / "later" / "images" / "other_0.png", np.random.default_rng(0), marked=False)
    for number in range(48):
        shutil.copy(tiles / "test" / f"new_{number}.png", tmp_path / "later" / "images")
    (tmp_path / "later" / "tags.csv").write_text("\n".join(["image_name,tags", *(f"{name},dark" for name in names)]))
    later = read_catalog(tmp_path / "later", ReadingConfig(tags=list(Run(run).tags())))
    assert _known(run, None, later) == 48


@pytest.mark.usefixtures("fit_only")
def test_a_blend_teaches_with_the_networks_of_the_fold_of_its_members(
    tiles: Path, teacher: Path, tmp_path: Path
) -> None:
    shutil.copytree(teacher, tmp_path / "other")
    for name in ("mean", "weighted"):
        blended = Run(_made(tmp_path / name))
        make_blend(blended, [Run(teacher), Run(tmp_path / "other")], name)
    run = _train(tmp_path / "run", tiles, tmp_path / "mean", trainer__max_epochs=1)
    asked, stored = (pd.read_parquet(path / "fold-0" / file) for path, file in (
        (run, "teacher.parquet"), (teacher, "test.parquet")
    ))  # fmt: skip
    np.testing.assert_allclose(asked[[SECRET, "dark"]], stored[[SECRET, "dark"]], atol=1e-6)
    with pytest.raises(InputError) as error:
        _train(tmp_path / "fitted", tiles, tmp_path / "weighted")
    assert (error.value.option, str(error.value.file)) == ("data.teacher", str(tmp_path / "weighted"))


# ---------------------------------------------------------------- refused


def _softened(teacher: Path) -> None:
    """Write down that the teacher was trained on soft labels."""
    config = teacher / "config.yaml"
    config.write_text(config.read_text().replace("soft_labels: null", "soft_labels: doubted.csv"))
    adopt(config)


def _cut(teacher: Path) -> None:
    """Leave the network of fold 1 alone."""
    shutil.rmtree(teacher / "fold-0")


def _bundle(teacher: Path) -> None:
    (teacher / "bundle.json").write_text("{}")


def _empty(teacher: Path) -> None:
    shutil.rmtree(teacher)


def _edited(teacher: Path) -> None:
    table = (teacher / "folds.csv").read_text().splitlines()
    (teacher / "folds.csv").write_text("\n".join([table[0], *table[2:], table[1]]))


def _renamed(teacher: Path) -> None:
    """Record the files of the teacher's tiles as if those of both folds had changed their names."""
    table = pd.read_parquet(teacher / "tiles.parquet")
    table.loc[:1, "hash"], table.loc[2:3, "hash"] = table.loc[2:3, "hash"].tolist(), table.loc[:1, "hash"].tolist()
    table.to_parquet(teacher / "tiles.parquet", index=False)
    adopt(teacher / "tiles.parquet")


def _replaced(teacher: Path) -> None:
    """Record another file of a tagged tile."""
    table = pd.read_parquet(teacher / "tiles.parquet")
    table.loc[5, "hash"] = "0" * 64
    table.to_parquet(teacher / "tiles.parquet", index=False)
    adopt(teacher / "tiles.parquet")


@pytest.mark.parametrize(
    ("change", "options", "option"),
    [
        (_cut, {}, "data.teacher"),
        (_bundle, {}, "data.teacher"),
        (_empty, {}, "data.teacher"),
        (_renamed, {}, "data.teacher"),
        (_softened, {}, "data.teacher"),
        (_edited, {}, ""),
        (None, {"data__tags": [SECRET, "dark", "bright"]}, "data.teacher"),
        (None, {"other_folds": True}, "data.teacher"),
        (None, {"data__exclude": "exclude.csv"}, "data.teacher"),
        (None, {"data__exclude": "exclude.csv", "data__validate": False}, "data.teacher"),
        (_replaced, {"data__validate": False}, "data.teacher"),
        (None, {"data__least_confidence": 1.0}, "data.least_confidence"),
        (None, {"data__untagged": "images"}, "data.untagged"),
    ],
)
def test_what_would_reveal_tags_of_held_out_tiles_is_refused(
    change: Any, options: dict[str, Any], option: str, tiles: Path, teacher: Path, tmp_path: Path
) -> None:
    there, run, options = tmp_path / "teacher", _prepared(tmp_path / "run"), dict(options)
    shutil.copytree(teacher, there)
    if change is not None:
        change(there)
    if options.pop("other_folds", False):
        rows = (run / "folds.csv").read_text().splitlines()
        (run / "folds.csv").write_text("\n".join([rows[0], "tile_0,1", *rows[2:]]))
    if "data__exclude" in options:
        (tmp_path / "exclude.csv").write_text("image_name\ntile_5\n")
        (run / "folds.csv").unlink()
        options["data__exclude"] = str(tmp_path / "exclude.csv")
    if "data__untagged" in options:
        options = {"data__untagged": str(tiles / "images")}
    with pytest.raises(InputError) as error:
        train(_config(run, tiles, data__teacher=str(there), **options))
    assert error.value.option == option
    assert option != "data.least_confidence" or holds(error.value.remedy, f"`{option}`")
    assert not Run(run).fold(0).weights.exists()


def test_a_teacher_that_holds_out_nothing_is_refused(tiles: Path, teacher: Path, tmp_path: Path) -> None:
    run = tmp_path / "all"
    with pytest.MonkeyPatch.context() as patch:
        leave_out_finish(patch)
        train(_config(run, tiles, data__validate=False, trainer__max_epochs=1))
    for validate in (True, False):
        with pytest.raises(InputError) as error:
            _train(tmp_path / f"run-{validate}", tiles, run, data__validate=validate)
        assert (error.value.option, str(error.value.file)) == ("data.teacher", str(run))


def test_tiles_of_a_published_test_split_are_neither_taught_nor_may_the_teacher_have_seen_them(
    tiles: Path, teacher: Path, tmp_path: Path
) -> None:
    for part, numbers in (("train", range(60)), ("val", range(60, 80)), ("test", range(80, 96))):
        (tmp_path / f"{part}.txt").write_text("\n".join(f"tile_{number}" for number in numbers))
    splits = {part: str(tmp_path / f"{part}.txt") for part in ("train", "val", "test")}
    with pytest.raises(InputError) as error:  # this teacher was trained on all of them
        train(_config(tmp_path / "seen", tiles, data__splits=splits, data__teacher=str(teacher)))
    assert (error.value.option, str(error.value.file)) == ("data.teacher", str(teacher))
    few = {part: str(tmp_path / f"few_{part}.txt") for part in splits}
    for part, numbers in (("train", range(30)), ("val", range(30, 60)), ("test", range(60, 96))):
        Path(few[part]).write_text("\n".join(f"tile_{number}" for number in numbers))
    with pytest.raises(InputError) as error:  # all of so few other tiles are in the test split
        train(_config(tmp_path / "few", tiles, data__splits=few, data__teacher=str(teacher), data__max_samples=30))
    assert error.value.option == "data.max_samples"
    own = tmp_path / "own"
    with pytest.MonkeyPatch.context() as patch:
        leave_out_finish(patch)
        train(_config(own, tiles, data__splits=splits, trainer__max_epochs=1))
        run = tmp_path / "run"
        train(_config(run, tiles, data__splits=splits, data__teacher=str(own), trainer__max_epochs=1))
    asked = pd.read_parquet(run / "fold-0" / "teacher.parquet")
    assert asked["image_name"].tolist() == [f"new_{number}" for number in range(48)]


def test_options_of_a_teacher_need_one() -> None:
    for option, value in {"untagged_share": 0.3, "least_confidence": 0.9, "untagged": "a", "teacher_weight": 1}.items():
        with refused(option="data", says=[option, "data.teacher"]):
            RunConfig.load([], {"data.root": "a", f"data.{option}": value})
    with refused(
        option="data", says=["soft_labels", "teacher"]
    ):  # soft labels come from networks that saw the held-out tiles
        RunConfig.load([], {"data.root": "a", "data.teacher": "b", "data.soft_labels": "c"})
    with refused(option="data", says=["untagged_share", "teacher_weight"]):  # a teacher that is not listened to
        RunConfig.load([], {"data.root": "a", "data.teacher": "b", "data.untagged_share": 0})


@pytest.mark.parametrize(("share", "size", "untagged"), [(0.99, 16, 16), (0.01, 16, 0), (0.5, 1, 0)])
def test_a_share_that_leaves_no_room_for_both_kinds_is_refused_before_the_teacher_predicts(
    share: float, size: int, untagged: int
) -> None:
    options = {"data.root": "a", "data.untagged_share": share, "data.batch_size": size}
    with refused(option="data", says=["`data.untagged_share`", share, size, untagged]):
        RunConfig.load([], {**options, "data.teacher": "b"})
    with refused(option="data.untagged_share", says=[share, size, untagged]):  # whoever makes the sampler
        TaughtSampler(32, 32, size, share, 0)


def test_a_loss_of_the_teacher_that_shifts_probabilities_is_named(
    tiles: Path, teacher: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    shutil.copytree(teacher, tmp_path / "teacher")
    file = tmp_path / "teacher" / "config.yaml"
    file.write_text(file.read_text().replace("loss: bce", "loss: focal"))
    adopt(file)
    config, run = _config(tmp_path / "run", tiles, data__teacher=str(teacher)), Run(_prepared(tmp_path / "run"))
    data = prepare_tiles(run, config)
    record_tiles(run, data.catalog, None)
    for name, warned in ((teacher, 0), (tmp_path / "teacher", 1)):
        caplog.clear()
        check_teacher(Run(name), run, config, data.catalog, [0])
        shown = [record for record in caplog.records if record.levelname == "WARNING"]
        assert len(shown) == warned and all("focal" in record.getMessage() for record in shown)


def test_a_teacher_with_some_of_its_folds_is_warned_of_where_all_would_teach(
    tiles: Path, teacher: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    half = tmp_path / "teacher"
    shutil.copytree(teacher, half)
    shutil.rmtree(half / "fold-0")
    for name, validate, warned in ((teacher, False, []), (half, False, [(half, 1, 2, "1")]), (half, True, [])):
        run = Run(tmp_path / f"{name.parent.name}-{validate}")
        config = _config(run.path, tiles, data__teacher=str(name), data__validate=validate)
        _prepared(run.path)
        data = prepare_tiles(run, config)
        record_tiles(run, data.catalog, None)
        adopt(run.bands)
        caplog.clear()
        check_teacher(Run(name), run, config, data.catalog, [1 if validate else 0])
        assert [record.args for record in caplog.records if record.levelname == "WARNING"] == warned


# ---------------------------------------------------------------- stopped and resumed


@pytest.mark.usefixtures("fit_only")
def test_a_stopped_run_resumes_to_the_same_weights_without_its_teacher(
    tiles: Path, teacher: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    there = tmp_path / "teacher"
    shutil.copytree(teacher, there)
    options: dict[str, Any] = {
        "data__teacher_weight": 0.3, "data__untagged_share": 0.25, "data__untagged_weight": 2.0,
        "data__mixup_alpha": 0.4, "data__least_confidence": 0.51, "trainer__max_epochs": 2,
    }  # fmt: skip
    whole = _train(tmp_path / "whole", tiles, there, **options)
    stopped = _prepared(tmp_path / "stopped")
    with monkeypatch.context() as patch, pytest.raises(KeyError, match="plug pulled"):
        _pull_the_plug(patch)
        train(_config(stopped, tiles, data__teacher=str(there), **options))
    shutil.rmtree(there)
    train(_config(stopped, tiles, data__teacher=str(there), data__num_workers=2, **options))
    first, second = (safetensors.torch.load_file(Run(run).fold(0).weights) for run in (whole, stopped))
    assert all(torch.equal(first[key], second[key]) for key in first)
    with pytest.raises(InputError) as error:  # without a teacher, the rest would be another training
        train(_config(stopped, tiles, trainer__max_epochs=2, data__mixup_alpha=0.4))
    assert error.value.option == "data.teacher"


@pytest.mark.usefixtures("fit_only")
def test_a_begun_run_keeps_its_teacher_and_its_stored_probabilities(
    tiles: Path, teacher: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patch, pytest.raises(KeyError, match="plug pulled"):
        _pull_the_plug(patch)
        _train(tmp_path / "run", tiles, teacher, trainer__max_epochs=2)
    other = tmp_path / "other"
    shutil.copytree(teacher, other)
    record = json.loads((other / "provenance.json").read_text())
    (other / "provenance.json").write_text(json.dumps({**record, "task": "0" * 64}))
    adopt(other / "provenance.json")
    before = (tmp_path / "run" / "config.yaml").read_text()
    with pytest.raises(InputError) as error:
        train(_config(tmp_path / "run", tiles, data__teacher=str(other), trainer__max_epochs=2))
    assert (error.value.option, str(error.value.file)) == ("data.teacher", str(other))
    assert (tmp_path / "run" / "config.yaml").read_text() == before

    for name, changed in (("teacher.json", "{}"), ("teacher.parquet", "no table"), ("teacher.json", None)):
        file = tmp_path / "run" / "fold-0" / name
        content = file.read_bytes()
        file.unlink() if changed is None else file.write_text(changed)
        with pytest.raises(InputError) as error:
            train(_config(tmp_path / "run", tiles, data__teacher=str(teacher), trainer__max_epochs=2))
        assert error.value.file == file and isinstance(error.value, ChangedError) == (changed is not None)
        file.write_bytes(content)


def test_a_teacher_without_one_of_the_folds_is_refused_before_anything_is_predicted(
    tiles: Path, teacher: Path, tmp_path: Path
) -> None:
    shutil.copytree(teacher, tmp_path / "teacher")
    shutil.rmtree(tmp_path / "teacher" / "fold-1")
    with pytest.raises(InputError) as error:
        _train(tmp_path / "run", tiles, tmp_path / "teacher", folds="all")
    assert error.value.option == "data.teacher"
    assert not list((tmp_path / "run").glob("fold-*/teacher.*"))


def _pull_the_plug(patch: pytest.MonkeyPatch) -> None:
    """Fail in the second step of the second epoch, after a checkpoint of the first."""
    patch.setattr(callbacks, "SAVE_EVERY", timedelta(seconds=0))
    step = TileTagger.training_step

    def step_or_fail(self: TileTagger, batch: Any, index: int) -> torch.Tensor:
        if (self.current_epoch, index) == (1, 1):
            raise KeyError("plug pulled")
        return step(self, batch, index)

    patch.setattr(TileTagger, "training_step", step_or_fail)


# ---------------------------------------------------------------- batches and losses


class _Positions(Dataset[Batch]):
    """Gives the positions of tiles, without their pixels."""

    def __init__(self, tiles: int) -> None:
        self.tiles = tiles

    def __len__(self) -> int:
        return self.tiles

    def __getitems__(self, keys: list[int]) -> Batch:
        return {"index": torch.tensor(keys) % self.tiles}


@pytest.mark.parametrize("ranks", [1, 2, 3])
@pytest.mark.parametrize(("tagged", "untagged", "share"), [(53, 31, 0.5), (40, 100, 0.25), (3, 7, 0.75), (6, 9, 0.25)])
def test_every_batch_has_the_same_share_and_epochs_go_on_with_untagged_tiles(
    tagged: int, untagged: int, share: float, ranks: int
) -> None:
    seen: list[int] = []
    for epoch in range(4):
        whole: list[int] = []
        for rank in range(ranks):
            sampler = TaughtSampler(tagged, untagged, 8, share, seed=3, rank=rank, world_size=ranks)
            sampler.set_epoch(epoch)
            keys = np.array(list(sampler)) - epoch * (tagged + untagged)
            assert len(keys) == len(sampler)
            batches = np.split(keys, sampler.batches)
            tagged_in_batch = min(8 - round(8 * share), tagged // ranks)  # with few tiles, one smaller batch
            expected = round(tagged_in_batch / (1 - share) * share)
            assert {int((batch >= tagged).sum()) for batch in batches} == {expected}
            sampler.skip = len(batches[0])  # after an interruption
            assert np.array_equal(np.array(list(sampler)) - epoch * (tagged + untagged), keys[len(batches[0]) :])
            whole += keys.tolist()
        shown = [key for key in whole if key < tagged]
        assert len(set(shown)) == len(shown) and tagged - len(shown) < 8 * ranks
        seen += [key - tagged for key in whole if key >= tagged]
    counts = np.bincount(seen, minlength=untagged)
    assert counts.max() - counts.min() <= 1


def test_a_batch_of_few_tagged_tiles_keeps_the_share() -> None:
    batches = {tagged: TaughtSampler(tagged, 50, 64, 0.5, seed=3) for tagged in (5, 31, 32, 70)}
    assert {tagged: (one.tagged_in_batch, one.untagged_in_batch, one.batches) for tagged, one in batches.items()} == {
        5: (5, 5, 1), 31: (31, 31, 1), 32: (32, 32, 1), 70: (32, 32, 2),
    }  # fmt: skip
    dataset = cast(TileDataset, _Positions(55))
    loader = training_loader(dataset, 64, 0, batches[5])
    (batch,) = loader
    assert len(loader) == 1 and int((batch["index"] < 5).sum()) == 5 and len(batch["index"]) == 10


def test_joined_tiles_are_those_of_their_sources() -> None:
    class Numbered:
        def __init__(self, first: int, count: int) -> None:
            self.first, self.count = first, count

        def __len__(self) -> int:
            return self.count

        def fetch(self, rows: np.ndarray, symmetries: np.ndarray | None = None) -> np.ndarray:
            assert ((rows >= 0) & (rows < self.count)).all()
            values = self.first + rows + (100 * symmetries if symmetries is not None else 0)
            return np.broadcast_to(values[:, None, None, None], (len(rows), 2, 2, 3)).astype(np.uint8)

    joined = JoinedTiles(Numbered(0, 5), Numbered(5, 4))
    rows = np.array([8, 0, 4, 5, 5, 1])
    assert len(joined) == 9
    np.testing.assert_array_equal(joined.fetch(rows)[:, 0, 0, 0], rows)
    turned = np.array([0, 1, 0, 1, 0, 1], dtype=np.uint8)
    np.testing.assert_array_equal(joined.fetch(rows, turned)[:, 1, 1, 2], rows + 100 * turned)
    assert joined.fetch(np.array([6, 7])).shape == (2, 2, 2, 3)


@pytest.mark.parametrize("way", ["mixup_alpha", "cutmix_alpha"])
def test_mixed_tiles_count_by_share_and_weight(way: str) -> None:
    images = np.zeros((2, 8, 8, 3), dtype=np.uint8)
    targets, weights = np.array([[1, 0], [0, 0.5]], dtype=np.float32), np.array([1, 3], dtype=np.float32)
    shares = np.eye(2, dtype=np.float32)
    Mix(**{way: 1.0}, seed=4)(images.copy(), shares, 0, [0, 1])
    share = float(shares[0, 0])
    assert 0.05 < share < 0.95
    mixed, total = targets.copy(), weights.copy()
    Mix(**{way: 1.0}, seed=4)(images.copy(), mixed, 0, [0, 1], total)
    first, second = share + 3 * (1 - share), 3 * share + (1 - share)
    np.testing.assert_allclose(total, [first, second], rtol=1e-6)
    expected = [[share / first, 1.5 * (1 - share) / first], [(1 - share) / second, 1.5 * share / second]]
    np.testing.assert_allclose(mixed, expected, rtol=1e-6)

    alone, equal, twos = targets.copy(), targets.copy(), np.full(2, 2, dtype=np.float32)
    Mix(**{way: 1.0}, seed=4)(images.copy(), alone, 0, [0, 1])
    Mix(**{way: 1.0}, seed=4)(images.copy(), equal, 0, [0, 1], twos)
    assert np.array_equal(alone, equal) and (twos == 2).all()


@pytest.mark.parametrize("name", LOSSES)
def test_weighted_losses_are_means_over_tiles(name: str) -> None:
    generator = torch.Generator().manual_seed(0)
    logits, targets = torch.randn(6, 17, generator=generator), torch.rand(6, 17, generator=generator)
    loss = make_loss(name, tags=PLANET.names)
    alone = torch.stack([loss(logits[i : i + 1], targets[i : i + 1]) for i in range(6)])
    weights = torch.tensor([1.0, 1.0, 2.0, 0.5, 1.0, 3.0])
    torch.testing.assert_close(loss.weighted(logits, targets, weights), (weights * alone).sum() / 8.5)
    torch.testing.assert_close(loss.weighted(logits, targets, torch.full((6,), 2.0)), loss(logits, targets))


def test_confidence_is_the_mean_over_tags_of_the_larger_answer() -> None:
    p = pd.DataFrame([[0.9, 0.2], [0.5, 0.5], [0.0, 1.0]], index=["a", "b", "c"], columns=["x", "y"], dtype="float32")
    np.testing.assert_allclose(confidence(p.to_numpy()), [0.85, 0.5, 1.0], rtol=1e-6)
    assert Taught(p.iloc[:0], p).confident(0.85 - 1e-6).index.tolist() == ["a", "c"]


# ---------------------------------------------------------------- rounds


@pytest.mark.parametrize(("verdicts", "trained"), [(["higher", "noise"], 2), (["lower"], 1), (["higher"] * 3, 3)])
def test_rounds_go_on_while_the_student_is_better_than_its_teacher(
    verdicts: list[str], trained: int, tiles: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    runs: list[RunConfig] = []
    told = iter(verdicts)

    def compared(pair: list[Run], rule: str) -> Any:
        assert [run.path for run in pair] == [Path(str(runs[-1].data.teacher)), runs[-1].folder]
        difference = {"value": 0.0, "standard_error": 0.0, "interval": [0.0, 0.0], "verdict": next(told)}
        return {"runs": [{}, {"minus_first": {"cross_fitted": difference}}]}

    monkeypatch.setattr(rounds, "train", lambda config: runs.append(config))
    monkeypatch.setattr(rounds, "compare_runs", compared)
    config = _config(tmp_path / "run", tiles, data__teacher="first")
    done = list(rounds.train_rounds(config, 3))
    names = [tmp_path / f"run-{number}" for number in range(1, trained + 1)]
    assert [run.folder for run in runs] == names
    assert [run.data.teacher for run in runs] == ["first", *map(str, names[:-1])]
    assert [one.minus_teacher["verdict"] for one in done] == verdicts


@pytest.mark.usefixtures("fit_only")
def test_rounds_of_real_runs_are_compared_and_resumed(tiles: Path, teacher: Path, tmp_path: Path) -> None:
    for number in (1, 2):
        _prepared(tmp_path / f"run-{number}")
    config = _config(tmp_path / "run", tiles, data__teacher=str(teacher), trainer__max_epochs=1)
    first, again = (list(rounds.train_rounds(config, 2)) for _ in range(2))
    assert [one.minus_teacher for one in first] == [one.minus_teacher for one in again]
    expected = compare_runs([Run(teacher), Run(tmp_path / "run-1")], "shrunk")["runs"][1]["minus_first"]
    assert expected is not None and first[0].minus_teacher == expected["cross_fitted"]
    assert len(first) == (2 if expected["cross_fitted"]["verdict"] == "higher" else 1)


@pytest.mark.parametrize(
    ("options", "count", "option"),
    [({}, 2, "data.teacher"), ({"data__teacher": "a"}, 0, "rounds"),
     ({"data__teacher": "a", "data__validate": False}, 2, "data.validate"), ({"beta": 1.0}, 2, "beta")],
)  # fmt: skip
def test_rounds_that_cannot_be_are_refused(
    options: dict[str, Any], count: int, option: str, teacher: Path, tmp_path: Path
) -> None:
    if option == "beta":
        options = {**options, "data__teacher": str(teacher)}
    with pytest.raises(InputError) as error:
        list(rounds.train_rounds(_config(tmp_path / "run", tmp_path, **options), count))
    assert error.value.option == option


@pytest.mark.parametrize("run", [".", "runs/.."])
def test_rounds_in_a_folder_without_a_name_are_refused(run: str, tmp_path: Path) -> None:
    with refused(option="run", says=run):
        list(rounds.train_rounds(_config(Path(run), tmp_path, data__teacher="a"), 2))
