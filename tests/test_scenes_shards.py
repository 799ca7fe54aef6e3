"""A scene in shards: to the byte what it is in one process, and nothing is joined that does not belong together."""

import json
import re
import shlex
import shutil
from dataclasses import asdict
from datetime import datetime
from pathlib import Path
from unittest.mock import Mock

import pytest
import rasterio.shutil
from conftest import write_sealed
from refused import refused
from scene_files import ground, quarters, write_scene

from amazon_ml.cli.main import main
from amazon_ml.errors import InputError
from amazon_ml.models import engines
from amazon_ml.predictor import Predictor
from amazon_ml.runs.inference import Engine
from amazon_ml.runs.shards import Shard
from amazon_ml.runtime.files import sha256_of
from amazon_ml.scenes.outputs import PARTS
from amazon_ml.scenes.parts import PLAN, PartStore, part_file
from amazon_ml.scenes.plan import Plan, is_merged, is_shard_done, read_shards, strips_of_shard
from amazon_ml.scenes.shards import merge_scene
from amazon_ml.slurm.scene import scene_jobs

OUTPUTS = ("cells.gpkg", "cells.parquet", "probabilities.tif", "cells.geojson", "summary.csv", "picture.webp",
           "map.html", "scene.json")  # fmt: skip


class Stopped(datetime):
    """A clock that stands still, since a GeoPackage holds the time of its last change."""

    @classmethod
    def now(cls, tz: object = None) -> "Stopped":
        return cls(2026, 1, 1)


@pytest.fixture(autouse=True)
def strips_of_one_row(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("amazon_ml.scenes.tagging._STRIP", 0)
    monkeypatch.setattr("amazon_ml.scenes.geopackage.datetime", Stopped)


@pytest.fixture(scope="module")
def bundle(trained: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Copy a bundle of two networks, which here see one view of each window."""
    bundle = Path(shutil.copytree(trained / "bundle", tmp_path_factory.mktemp("bundle") / "bundle"))
    content = json.loads((bundle / "bundle.json").read_text())
    assert content["network"]["tta"] == "flips"
    content["network"]["tta"] = "none"
    write_sealed(bundle, content)
    return bundle


@pytest.fixture(scope="module")
def scene(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Make a mosaic of four files with black that no file declares: 5 rows of windows at a stride of 16."""
    folder = tmp_path_factory.mktemp("scene") / "parts"
    bands = ground(90, 70)
    bands[:, 60:, :30] = 0
    quarters(folder, bands, 37, 45)
    return folder


def call(bundle: Path, scene: Path, out: Path, *words: str) -> list[str]:
    return ["scene", "predict", str(bundle), "--scene", str(scene), "--out", str(out), "--stride=16", *words]


def assert_same(one: Path, other: Path) -> None:
    for name in OUTPUTS:
        assert (one / name).read_bytes() == (other / name).read_bytes(), name
    assert not (one / "parts").exists()


def told(capsys: pytest.CaptureFixture[str]) -> str:
    return capsys.readouterr().err.splitlines()[-1]


@pytest.mark.parametrize(("strips", "count"), [(5, 3), (7, 7), (100, 16)])
def test_shards_hold_each_strip_once(strips: int, count: int) -> None:
    cut = [strips_of_shard(Shard(number, count), strips) for number in range(count)]
    assert [at for one in cut for at in one] == list(range(strips))
    assert max(map(len, cut)) - min(map(len, cut)) <= 1 and min(map(len, cut)) >= 1


def test_joined_shards_are_the_map_of_one_process_byte_for_byte(bundle: Path, scene: Path, tmp_path: Path) -> None:
    whole, out = tmp_path / "whole", tmp_path / "out"
    assert main(call(bundle, scene, whole, "--geojson")) == 0
    assert any("`nodata`" in note for note in json.loads((whole / "scene.json").read_text())["notes"])
    for shard in ("2/3", "0/3", "1/3"):
        assert main(call(bundle, scene, out, "--shard", shard)) == 0
        assert not (out / "scene.json").exists() and not is_merged(out)
    times = {part: part.stat().st_mtime_ns for part in (out / "parts").glob("strip-*")}
    assert len(times) == 5
    assert main(call(bundle, scene, out, "--shard", "1/3")) == 0  # it is done already
    assert {part: part.stat().st_mtime_ns for part in (out / "parts").glob("strip-*")} == times
    assert main(["scene", "merge", str(out), "--geojson"]) == 0
    assert_same(out, whole)
    assert is_merged(out) and is_shard_done(out, 0)


def test_shards_can_be_joined_from_another_folder_and_by_a_call_without_shards(
    bundle: Path, scene: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    polygon = {"type": "Polygon", "coordinates": [[[0, 0], [40, 0], [40, -90], [0, -90], [0, 0]]]}
    plain = write_scene(tmp_path / "plain.tif", ground(90, 70), crs=None)
    (tmp_path / "aoi.geojson").write_text(json.dumps(polygon))
    monkeypatch.chdir(tmp_path)
    words = ("--pixel_coordinates", "--aoi", "aoi.geojson")
    assert main(call(bundle, Path(plain.name), Path("whole"), *words)) == 0
    for out in ("a", "b"):
        assert main(call(bundle, Path(plain.name), Path(out), *words, "--shard=0/2")) == 0
    assert main(call(bundle, Path(plain.name), Path("b"), *words, "--shard=1/2")) == 0
    assert main(call(bundle, Path(plain.name), Path("a"), *words)) == 0  # tags the rest itself
    monkeypatch.chdir("/")
    assert main(["scene", "merge", str(tmp_path / "b")]) == 0
    for name in ("cells.gpkg", "map.html", "summary.csv", "probabilities.tif"):
        expected = (tmp_path / "whole" / name).read_bytes()
        assert (tmp_path / "a" / name).read_bytes() == expected == (tmp_path / "b" / name).read_bytes(), name


def test_strips_that_are_missing_or_damaged_are_named_with_their_shards(
    bundle: Path, scene: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "out"
    assert main(["scene", "merge", str(out)]) == 2
    for shard in ("0/3", "2/3"):
        assert main(call(bundle, scene, out, "--shard", shard)) == 0
    assert [is_shard_done(out, number) for number in range(3)] == [True, False, True]
    capsys.readouterr()
    assert main(["scene", "merge", str(out)]) == 2
    said = told(capsys)
    assert "2 of 5" in said and "strip-000001.npz, strip-000002.npz" in said and "--shard 1/3" in said
    assert main(call(bundle, scene, out, "--shard", "1/3")) == 0
    part = part_file(out / "parts", 4)
    part.write_bytes(part.read_bytes()[:200])
    assert main(["scene", "merge", str(out)]) == 2
    said = told(capsys)
    assert part.name in said and "--shard 2/3" in said
    assert not (out / "scene.json").exists()
    assert main(call(bundle, scene, out, "--shard", "3/4")) == 0  # another division, of the same strips
    assert [is_shard_done(out, number) for number in range(4)] == [True, True, True, False]
    assert main(["scene", "merge", str(out)]) == 0


def test_parts_of_other_settings_are_not_joined(
    bundle: Path, trained: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    scene, out = write_scene(tmp_path / "a.tif", ground(90, 70)), tmp_path / "out"
    assert main(call(bundle, scene, out, "--shard=0/2")) == 0
    before = {part.name: part.read_bytes() for part in (out / "parts").glob("*.*")}
    other = Path(shutil.copytree(bundle, tmp_path / "bundle"))
    content = json.loads((other / "bundle.json").read_text())
    content["weights"].popitem()  # of two networks
    write_sealed(other, content)
    assert main([*call(bundle, scene, out, "--shard=1/2")[:-2], "--stride=32", "--shard=1/2"]) == 2
    assert main(call(bundle, scene, out, "--valid=0.7", "--shard=1/2")) == 2
    assert main(call(other, scene, out, "--shard=1/2")) == 2
    write_scene(scene, ground(90, 70, seed=5))
    assert main(call(bundle, scene, out, "--shard=1/2")) == 2
    assert main(["scene", "merge", str(out)]) == 2
    assert str(out / "parts") in told(capsys)
    assert {part.name: part.read_bytes() for part in (out / "parts").glob("*.*")} == before
    assert not (out / "scene.json").exists()


def test_parts_of_a_vrt_are_not_joined_after_a_source_was_replaced(bundle: Path, tmp_path: Path) -> None:
    source = write_scene(tmp_path / "a.tif", ground(90, 70))
    vrt, out = tmp_path / "a.vrt", tmp_path / "out"
    rasterio.shutil.copy(source, vrt, driver="VRT")
    assert main(call(bundle, vrt, out, "--shard=0/2")) == 0
    before = source.read_bytes()
    write_scene(source, ground(90, 70, seed=5))
    assert main(call(bundle, vrt, out, "--shard=1/2")) == 2
    assert main(["scene", "merge", str(out)]) == 2
    source.write_bytes(before)  # at another time
    assert main(call(bundle, vrt, out, "--shard=1/2")) == 0
    assert main(["scene", "merge", str(out)]) == 0


def test_shards_have_one_engine_that_is_named(bundle: Path, scene: Path, tmp_path: Path) -> None:
    out, whole = tmp_path / "out", tmp_path / "whole"
    assert main(call(bundle, scene, out, "--engine=auto", "--shard=0/2")) == 2
    assert not out.exists()
    assert main(call(bundle, scene, out, "--engine=folded", "--shard=0/2")) == 0
    assert main(call(bundle, scene, out, "--shard=1/2")) == 2  # predicts otherwise
    assert main(call(bundle, scene, out, "--engine=folded", "--shard=1/2")) == 0
    assert main(["scene", "merge", str(out), "--geojson"]) == 0
    assert main(call(bundle, scene, whole, "--engine=folded", "--geojson")) == 0
    assert_same(out, whole)


@pytest.mark.parametrize("words", [["--precision=bf16"], []])
def test_parts_of_another_kind_of_machine_are_joined_here_without_networks(
    words: list[str], bundle: Path, scene: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    out = tmp_path / "out"
    with monkeypatch.context() as node:
        node.setattr(engines, "has_fast_bf16", lambda: True)
        node.setattr(Engine, "name", lambda *_: "torch bf16")  # as a GPU names the precision of training
        assert main(call(bundle, scene, out, *words, "--shard=0/2")) == 0
        assert main(call(bundle, scene, out, *words, "--shard=1/2")) == 0
    monkeypatch.setattr(engines, "has_fast_bf16", lambda: False)
    monkeypatch.setattr("amazon_ml.runs.inference.load_taggers", Mock(side_effect=AssertionError))
    recorded = out / "parts" / "engine.json"
    content = recorded.read_text()
    recorded.write_text('{"engine": "folded", "precision": "float32"}')
    assert main(["scene", "merge", str(out)]) == 2 and recorded.exists()
    recorded.write_text(content)
    assert main(["scene", "merge", str(out)]) == 0
    assert json.loads((out / "scene.json").read_text())["engine"] == "torch bf16"


def test_a_strip_that_goes_while_strips_are_joined_is_not_tagged_here(
    bundle: Path, scene: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    out = tmp_path / "out"
    assert main(call(bundle, scene, out, "--shard=0/1")) == 0
    monkeypatch.setattr(
        "amazon_ml.scenes.shards._check_engine", lambda *_: part_file(out / "parts", 3).unlink()
    )  # the last step before the strips are joined
    with refused(file=Path("out", "parts"), option="", says="strip-000003.npz"):
        merge_scene(out)
    assert len(list((out / "parts").glob("strip-*"))) == 4 and not (out / "scene.json").exists()


def test_a_merge_leaves_the_strips_of_a_call_that_began_meanwhile(
    bundle: Path, scene: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    out = tmp_path / "out"
    assert main(call(bundle, scene, out, "--shard=0/1")) == 0

    def begin_another(*_: object) -> None:
        shutil.rmtree(out / "parts")
        assert main(call(bundle, scene, out, "--valid=0.7", "--shard=0/1")) == 0

    monkeypatch.setattr("amazon_ml.scenes.shards._check_engine", begin_another)
    with refused(file=Path("out", "parts"), option="out"):
        merge_scene(out, overwrite=True)
    assert len(list((out / "parts").glob("strip-*"))) == 5 and is_shard_done(out, 0)


@pytest.mark.parametrize(
    ("content", "line"),
    [(None, None), ('{"engine": "folded", "precision": null}', None), ("{}", None), ('{\n"engine"', 2)],
)
def test_strips_of_an_unknown_engine_are_not_joined(
    content: str | None, line: int | None, bundle: Path, scene: Path, tmp_path: Path
) -> None:
    out = tmp_path / "out"
    assert main(call(bundle, scene, out, "--precision=float32", "--shard=0/1")) == 0
    file = out / "parts" / "engine.json"
    file.unlink()
    if content is not None:
        file.write_text(content)
    with refused(file=file, line=line, option=""):
        merge_scene(out)


def test_two_processes_do_not_work_on_one_shard_and_none_on_the_whole_meanwhile(
    bundle: Path, scene: Path, tmp_path: Path
) -> None:
    out = tmp_path / "out"
    assert main(call(bundle, scene, out, "--shard=0/3")) == 0
    request = json.loads((out / "parts" / "request.json").read_text())["request"]
    plan = json.loads((out / "parts" / "shards.json").read_text())
    store = PartStore(out / "parts", request)
    with store.shared(plan), store.shard(1, 3):
        assert main(call(bundle, scene, out, "--shard=1/3")) == 2
        assert main(call(bundle, scene, out)) == 2
        assert main(["scene", "merge", str(out)]) == 2
        assert main(call(bundle, scene, out, "--shard=2/3")) == 0
    assert main(call(bundle, scene, out, "--shard=1/3")) == 0
    with store.begun(overwrite=False):
        assert main(call(bundle, scene, out, "--shard=1/3")) == 2


def test_a_merge_that_another_one_overtakes_leaves_no_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    store, make = PartStore(tmp_path / "parts", "request"), PartStore._make

    def overtaken(self: PartStore, folder: Path) -> None:
        shutil.rmtree(folder)
        make(self, folder)

    with store.shared({}):
        pass
    with monkeypatch.context() as patch:
        patch.setattr(PartStore, "_make", overtaken)
        with refused(file=tmp_path / "parts", option="out"), store.begun(overwrite=False, anew=False):
            pass
    assert not (tmp_path / "parts").exists()
    with refused(file=tmp_path / "parts", option="out"), store.begun(overwrite=False, anew=False):
        pass
    with PartStore(tmp_path / "parts", "another").shared({}):
        pass
    with refused(file=tmp_path / "parts", option="out"), store.begun(overwrite=False, anew=False):
        pass
    assert (tmp_path / "parts" / PLAN).exists()


@pytest.mark.parametrize("words", [["--shard=0/9"], ["--shard=3/3"], ["--shard=x"], ["--shard=0/2", "--geojson"],
                                   ["--shard=0/2", "--overwrite"]])  # fmt: skip
def test_calls_that_make_no_sense_are_refused(
    words: list[str], bundle: Path, scene: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(call(bundle, scene, tmp_path / "out", *words)) == 2
    assert (words[-1].partition("=")[0] in told(capsys)) == (words != ["--shard=0/9"])
    assert not (tmp_path / "out" / "parts" / "request.json").exists()


def test_results_are_replaced_by_shards_only_on_request(bundle: Path, scene: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    assert main(call(bundle, scene, out)) == 0
    before = (out / "map.html").read_bytes()
    assert main(call(bundle, scene, out, "--valid=0.7", "--shard=0/1")) == 0
    assert main(["scene", "merge", str(out)]) == 2
    assert (out / "map.html").read_bytes() == before
    assert main(["scene", "merge", str(out), "--overwrite"]) == 0
    assert json.loads((out / "scene.json").read_text())["options"]["valid"] == 0.7


def test_a_merge_that_was_stopped_goes_on(
    bundle: Path, scene: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole, out = tmp_path / "whole", tmp_path / "out"
    assert main(call(bundle, scene, whole, "--geojson")) == 0
    assert main(call(bundle, scene, out, "--shard=0/1")) == 0
    with monkeypatch.context() as patch:
        patch.setattr("amazon_ml.scenes.outputs.write_raster", Mock(side_effect=KeyboardInterrupt))
        assert main(["scene", "merge", str(out)]) != 0
    assert (out / "cells.gpkg").exists() and not (out / "scene.json").exists()
    assert main(["scene", "merge", str(out), "--geojson"]) == 0
    assert_same(out, whole)
    assert main(call(bundle, scene, out, "--shard=0/1")) == 0
    assert main(["scene", "merge", str(out)]) == 2  # a complete map


# ---------------------------------------------------------------- on a cluster


def words_of(script: Path, task: int = 0) -> list[str]:
    """Give the words of the command of a script, as the shell reads them."""
    (line,) = [line for line in script.read_text().splitlines() if line.startswith("srun ")]
    words = shlex.split(line.replace("$SLURM_ARRAY_TASK_ID", str(task)))
    return words[words.index("amazon_ml.cli") + 1 :]


def test_the_jobs_of_a_scene_do_what_one_process_does(bundle: Path, tmp_path: Path) -> None:
    odd = write_scene(tmp_path / 'it\'s, $HOME `a` "scene".tif', ground(90, 70))
    whole, out = tmp_path / "whole", tmp_path / "o u't"
    cells = ["--scene", json.dumps([str(odd)]), "--stride=16", "--valid=0.25", "--nodata=0", "--bands=rgb"]
    assert main(["scene", "predict", str(bundle), "--out", str(whole), *cells, "--geojson"]) == 0
    call = ["slurm", "scene", str(bundle), "--out", str(out), *cells, "--shards=2", "--geojson"]
    assert main([*call, "--at_once=1", "--gpus_per_node=1"]) == 0
    script = (out / "slurm" / "scene.sbatch").read_text()
    assert "--engine" not in script and "--precision" not in script
    assert "--array=0-1%1" in script and "--gpus-per-node=1" in script
    for task in range(2):
        assert not is_shard_done(out, task)
        assert main(words_of(out / "slurm" / "scene.sbatch", task)) == 0
        assert is_shard_done(out, task)
    assert main(words_of(out / "slurm" / "scene-merge.sbatch")) == 0
    assert_same(out, whole)


def test_tasks_have_the_engine_and_the_precision_of_the_call(bundle: Path, scene: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    jobs = ["slurm", "scene", str(bundle), "--scene", str(scene), "--out", str(out), "--shards=2", "--stride=16"]
    assert main([*jobs, "--engine=auto"]) == 2 and not out.exists()
    assert main([*jobs, "--engine=folded", "--precision=float32"]) == 0
    words = words_of(out / "slurm" / "scene.sbatch")
    assert {"--engine=folded", "--precision=float32"} <= set(words)
    plan = json.loads((out / "parts" / "shards.json").read_text())
    assert (plan["engine"], plan["precision"]) == ("folded", "float32")
    assert main(words) == 0 and is_shard_done(out, 0)


def test_jobs_are_written_for_nodes_that_can_do_more_than_this_machine(
    bundle: Path, scene: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(engines, "has_fast_bf16", lambda: False)
    out = tmp_path / "out"
    jobs = ["slurm", "scene", str(bundle), "--scene", str(scene), "--out", str(out), "--shards=2", "--stride=16"]
    assert main([*jobs, "--engine=onnx", "--precision=bf16"]) == 2 and not out.exists()  # no machine can do that
    for words in (["--precision=bf16"], []):
        assert main([*jobs, *words, "--overwrite"]) == 0
        with monkeypatch.context() as node:
            node.setattr(engines, "has_fast_bf16", lambda: True)
            node.setattr(Engine, "name", lambda *_: "torch bf16")
            assert main(words_of(out / "slurm" / "scene.sbatch")) == 0
        assert main([*jobs, *words]) == 0 and is_shard_done(out, 0)


def test_weights_that_no_task_could_load_are_named_before_a_job_is_written(
    bundle: Path, scene: Path, tmp_path: Path
) -> None:
    broken = Path(shutil.copytree(bundle, tmp_path / "bundle"))
    file = sorted(broken.glob("fold-*.safetensors"))[-1]
    file.write_bytes(file.read_bytes()[:-100])
    content = json.loads((broken / "bundle.json").read_text())
    content["weights"][file.name] = sha256_of(file)
    write_sealed(broken, content)
    with refused(file=file):
        scene_jobs(broken, scene=[str(scene)], out=tmp_path / "out", shards=2)
    assert not (tmp_path / "out").exists()


def test_tasks_of_another_kind_of_machine_are_planned_anew(
    bundle: Path, scene: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    names = {False: "torch float32", True: "torch bf16"}
    monkeypatch.setattr("amazon_ml.slurm.scene.name_method", lambda *_, on_gpu: names[on_gpu])
    out = tmp_path / "out"
    jobs = ["slurm", "scene", str(bundle), "--scene", str(scene), "--out", str(out), "--shards=2", "--stride=16"]
    for gpus, more in ((True, []), (False, []), (True, ["--overwrite"])):
        assert main([*jobs, f"--gpus_per_node={int(gpus)}", *more]) == 0
        plan = read_shards(out)
        assert plan is not None and (plan.method, plan.on_gpu) == (names[gpus], gpus)
    with monkeypatch.context() as node:
        node.setattr(Engine, "name", lambda *_: "torch float16")  # other than planned
        node.setattr(Predictor, "on_gpu", True)
        assert main(words_of(out / "slurm" / "scene.sbatch")) == 0
    assert main([*jobs, "--gpus_per_node=1"]) == 0 and is_shard_done(out, 0)
    assert main([*jobs, "--gpus_per_node=0"]) == 2 and is_shard_done(out, 0)
    assert main([*jobs, "--gpus_per_node=0", "--overwrite"]) == 0
    assert main(words_of(out / "slurm" / "scene.sbatch")) == 0


def test_the_home_folder_is_found_in_all_paths(bundle: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    write_scene(tmp_path / "a.tif", ground(90, 70))
    (tmp_path / "bundle").symlink_to(bundle)
    start, cells = ["scene", "predict", "~/bundle", "--out"], ["--scene", '["~/a.tif"]', "--stride=16"]
    assert main([*start, str(tmp_path / "like"), *cells]) == 0
    corners = [[500_000, 8_900_000], [500_400, 8_900_000], [500_400, 8_899_300], [500_000, 8_900_000]]
    area = {"type": "Polygon", "coordinates": [corners], "crs": {"type": "name", "properties": {"name": "EPSG:32720"}}}
    (tmp_path / "aoi.geojson").write_text(json.dumps(area))
    cells += ["--aoi=~/aoi.geojson", "--like=~/like"]
    (tmp_path / "one").mkdir()
    monkeypatch.chdir(tmp_path / "one")
    for at in range(2):
        assert main([*start, str(tmp_path / "out"), *cells, f"--shard={at}/2"]) == 0
    monkeypatch.chdir(tmp_path)
    assert main(["scene", "merge", str(tmp_path / "out")]) == 0
    monkeypatch.chdir(tmp_path / "one")
    assert main(["slurm", "scene", "~/bundle", "--out", str(tmp_path / "jobs"), *cells, "--shards=2"]) == 0
    words = words_of(tmp_path / "jobs" / "slurm" / "scene.sbatch")
    assert json.loads(words[words.index("--scene") + 1]) == [str(tmp_path / "a.tif")]
    assert {str(tmp_path / "bundle"), f"--aoi={tmp_path / 'aoi.geojson'}", f"--like={tmp_path / 'like'}"} <= set(words)


def test_a_call_that_would_fail_is_refused_before_a_job_is_written(
    bundle: Path, scene: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "out"
    jobs = ["slurm", "scene", str(bundle), "--scene", str(scene), "--out", str(out), "--shards=2", "--stride=16"]
    for word, named in (("--aoi=missing.geojson", "missing.geojson"), ("--shards=9", "9"), ("--at_once=0", "--at_once"),
                        ("--bands=rgx", "--bands")):  # fmt: skip
        assert main([*jobs, word]) == 2
        assert named in told(capsys) and not out.exists()
    assert main([*jobs, "--valid=0.7"]) == 0
    assert main(call(bundle, scene, out, "--valid=0.7", "--shard=0/2")) == 0
    assert main(jobs) == 2  # parts of another call
    assert main([*jobs, "--overwrite"]) == 0
    assert not list((out / "parts").glob("strip-*"))
    assert main(call(bundle, scene, out, "--shard=0/2")) == 0
    assert main(jobs) == 0 and len(list((out / "parts").glob("strip-*"))) == 2  # they are kept


@pytest.mark.parametrize("option", ["--scene", "--out", "--aoi", "--like", "--bands", "--partition"])
@pytest.mark.parametrize("sign", ["\n", "\u2028"])
def test_line_breaks_in_a_call_are_refused(
    option: str, sign: str, bundle: Path, scene: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    text = str(tmp_path / f"a{sign}touch b.tif")
    given = {"--scene": str(scene), "--out": str(tmp_path / "out")}
    given[option] = json.dumps([text]) if option == "--scene" else text
    words = [word for pair in given.items() for word in pair]
    assert main(["slurm", "scene", str(bundle), *words, "--shards=2"]) == 2
    said = capsys.readouterr().err
    assert re.search(rf"{option}\b", said) and sign not in said.strip() and list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("change", [{"shards": 0}, {"shards": -1}, {"shards": 4}, {"strips": []}, {"shards": "two"}])
def test_damaged_plan_is_named_with_the_remedy(tmp_path: Path, change: dict[str, object]) -> None:
    plan = Plan("run", ("scene.tif",), {}, str(tmp_path), 2, (0, 1, 2), "torch", None, "torch float32", False)
    file = tmp_path / PARTS / PLAN
    file.parent.mkdir()
    file.write_text(json.dumps(asdict(plan)))
    assert read_shards(tmp_path) == plan
    file.write_text(json.dumps({**asdict(plan), **change}))
    with pytest.raises(InputError) as refused:
        read_shards(tmp_path)
    assert refused.value.file == file and refused.value.remedy
