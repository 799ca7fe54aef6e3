"""Job scripts: what they say, that any path survives the shell, and that what is wrong is told before it queues."""

import shlex
import subprocess
from dataclasses import fields
from pathlib import Path

import pytest
import yaml
from conftest import TINY
from hypothesis import given
from hypothesis import strategies as st

from amazon_ml.cli import main
from amazon_ml.cluster.job import TASK, Job, script
from amazon_ml.cluster.site import Site, read_site
from amazon_ml.errors import InputError
from amazon_ml.runs.config import parse_train

EXAMPLE = Path(__file__).parents[1] / "configs" / "slurm" / "site.yaml"


def job(folder: Path, *words: str, **more: object) -> Job:
    return Job("train", "Trains.", words, folder, **more)  # type: ignore[arg-type]


def options(text: str) -> list[str]:
    """Give the options of a script as sbatch's own parser would split them."""
    return [word for line in text.splitlines() if line.startswith("#SBATCH ") for word in shlex.split(line)[1:]]


def told(capsys: pytest.CaptureFixture[str]) -> str:
    return capsys.readouterr().err.splitlines()[-1]


# ---------------------------------------------------------------- the text


def test_plain_job_is_a_short_page() -> None:
    site = Site(setup=["source env"])
    assert (
        script(job(Path("/runs/x/slurm"), "gather", "/runs/x"), site)
        == f"""\
#!/bin/bash
#SBATCH --job-name=train
#SBATCH --chdir={Path.cwd()}
#SBATCH --output=/runs/x/slurm/train-%j.out
#SBATCH --open-mode=append
#SBATCH --nodes=1
#SBATCH --ntasks-per-node=1
#SBATCH --requeue

# Trains.
# Written by amazon-ml; hand it in with: sbatch /runs/x/slurm/train.sbatch

source env

trap : TERM  # where the whole job is told to end, this shell waits for the work to save itself
srun --kill-on-bad-exit=0 amazon-ml gather /runs/x
status=$?

exit $status
"""
    )


def test_each_setting_becomes_an_option_of_sbatch() -> None:
    site = Site("acc", "gpu", "08:00:00", "32G", 4, 90, ["a/1", "b"], [], None, ["--constraint=a100"])
    text = script(job(Path("/x"), "train", tasks=(0, 2), at_once=1, nodes=2, gpus_per_node=4, resumes=True), site)
    assert {"--account=acc", "--partition=gpu", "--time=08:00:00", "--mem=32G", "--cpus-per-task=4", "--array=0,2%1",
            "--nodes=2", "--gpus-per-node=4", "--ntasks-per-node=4", "--signal=USR1@90",
            "--constraint=a100", "--output=/x/train-%A_%a.out"} <= set(options(text))  # fmt: skip
    assert "module load a/1 b" in text and "export MASTER_ADDR" in text and "scontrol requeue" in text


def test_job_that_is_not_to_be_requeued_is_not() -> None:
    text = script(job(Path("/x"), "train", resumes=True, requeue=False), Site())
    assert "--no-requeue" in options(text) and "scontrol" not in text


@given(st.lists(st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"])), min_size=1))
def test_any_word_reaches_the_program_as_it_is(words: list[str]) -> None:
    text = script(job(Path("/x"), *words, TASK, f"{TASK}/3"), Site(setup=["true"]))
    fake = "srun() { shift 2; printf '%s\\0' \"$@\"; }\nSLURM_ARRAY_TASK_ID=7\n"
    done = subprocess.run(["bash"], input=(fake + text).encode(), capture_output=True, check=True)
    assert done.stdout.decode().split("\0")[:-1] == [*words, "7", "7/3"]


def test_store_is_copied_to_the_disk_that_the_node_names(tmp_path: Path) -> None:
    store = tmp_path / "it's packed"
    text = script(job(tmp_path, "train", store=store), Site(setup=["true"], scratch="$DISK/me"))
    fake = "srun() { printf '%s|' \"$@\"; echo; }\nDISK='/a b'\nSLURM_JOB_NUM_NODES=2\n"
    done = subprocess.run(["bash"], input=fake + text, capture_output=True, text=True, check=True)
    copying, training = done.stdout.splitlines()
    copy = "/a b/me/it's packed"
    assert copying == f"--ntasks=2|--ntasks-per-node=1|amazon-ml|data|copy|{store}|{copy}|"
    assert training == f"--kill-on-bad-exit=0|amazon-ml|train|--data.packed|{copy}|"
    assert "copy" not in script(job(tmp_path, "train", store=store), Site())


# ---------------------------------------------------------------- the site


def test_example_names_every_key() -> None:
    assert list(yaml.safe_load(EXAMPLE.read_text())) == [field.name for field in fields(Site)]
    assert read_site(EXAMPLE).time == "08:00:00"
    assert read_site(None) == Site()


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("partiton: gpu", "has a key 'partiton'; did you mean partition?"),
        ("xyz: 1", "has a key 'xyz'; there are account"),
        ("time: 12:00:00", "time is 43200, but must be text; put it in quotes"),
        ("time: '90'", "90 is no time"),
        ("modules: cuda", "modules is 'cuda', but must be a list of texts"),
        ("grace: 0", "grace is 0, but must be a whole number, 1 at least"),
        ("cpus_per_task: true", "cpus_per_task is True"),
        ("- a", "must hold keys and values"),
        ("{", "is not YAML"),
    ],
)
def test_what_is_wrong_in_a_site_is_named(tmp_path: Path, content: str, message: str) -> None:
    (tmp_path / "site.yaml").write_text(content)
    with pytest.raises(InputError) as refused:
        read_site(tmp_path / "site.yaml")
    assert message in str(refused.value) and "site.yaml" in str(refused.value)


# ---------------------------------------------------------------- training


def test_options_of_train_reach_the_job_as_they_were_checked(demo_tiles: Path, tmp_path: Path) -> None:
    run, site = tmp_path / "my run", tmp_path / "site.yaml"
    site.write_text("partition: slow\ntime: '01:00:00'\n")
    own = ["--site", str(site), "--partition=fast", "--nodes=2", "--gpus_per_node=4", "--at_once=2", "--folds=all"]
    train = ["--run", str(run), "--data.root", str(demo_tiles), *TINY]
    assert main(["slurm", "train", *own, *train]) == 0
    asked = run / "slurm" / "train.yaml"
    _, expected = parse_train([*train, "--folds=all", "--trainer.num_nodes=2", "--trainer.devices=4"])
    expected["trainer"]["devices"] = 4  # of YAML, and not of the command line
    assert parse_train(["--config", str(asked)])[1] == expected
    given = options((run / "slurm" / "train.sbatch").read_text())
    assert {"--partition=fast", "--time=01:00:00", "--array=0,1,2%2", "--nodes=2", "--gpus-per-node=4"} <= set(given)
    assert not (run / "slurm" / "jobs.json").exists()
    assert not (run / "fold-0").exists()


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        (["--trainer.max_epochz=3"], "max_epochz"),
        (["--nodes=0"], "--nodes and --at_once must be at least 1"),
        (["--time=90"], "90 is no time"),
        (["--folds=7"], "--folds [7]: there are the folds [0, 1, 2]"),
        (["--data.root=/typo"], "there is no folder /typo"),
        (["--site=/typo.yaml"], "cannot read /typo.yaml"),
    ],
)
def test_what_is_wrong_is_told_before_anything_is_handed_in(
    demo_tiles: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], wrong: list[str], message: str
) -> None:
    call = ["slurm", "train", "--run", str(tmp_path / "run"), "--data.root", str(demo_tiles), *TINY, *wrong, "--submit"]
    try:
        assert main(call) == 2
    except SystemExit as ended:
        assert ended.code == 2
    assert message in capsys.readouterr().err
    assert not (tmp_path / "run" / "slurm").exists()


def test_run_of_other_options_is_refused(trained: Path, demo_tiles: Path, capsys: pytest.CaptureFixture[str]) -> None:
    call = ["slurm", "train", "--run", str(trained), "--data.root", str(demo_tiles), *TINY, "--model.lr=0.5"]
    assert main(call) == 2
    assert "was made with other options" in told(capsys)
    assert not (trained / "slurm").exists()


def test_without_slurm_it_is_said_where_to_go(
    trained: Path, demo_tiles: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    out = tmp_path / "tags.csv"
    call = ["slurm", "predict", str(trained), "--tiles", str(demo_tiles / "test-jpg"), "--out", str(out), "--shards=1"]
    assert main([*call, "--submit"]) == 2
    assert "there is no sbatch here" in told(capsys)
    assert main(["slurm", "status", f"{out}.parts"]) == 2
    assert "no jobs were handed in" in told(capsys)
    text = (tmp_path / "tags.csv.parts" / "slurm" / "predict.sbatch").read_text()
    assert subprocess.run(["/bin/bash", "-n"], input=text, text=True).returncode == 0


# ---------------------------------------------------------------- the copy


def test_store_is_copied_once_and_anew_when_it_changed(demo_tiles: Path, tmp_path: Path) -> None:
    store, copy = tmp_path / "store", tmp_path / "scratch" / "store"
    assert main(["data", "pack", str(demo_tiles), "--size=32", "--out", str(store)]) == 0
    for _ in range(2):
        assert main(["data", "copy", str(store), str(copy)]) == 0
        assert (copy / "tiles.npy").read_bytes() == (store / "tiles.npy").read_bytes()
    time = (copy / "tiles.npy").stat().st_mtime_ns
    assert main(["data", "copy", str(store), str(copy)]) == 0
    assert (copy / "tiles.npy").stat().st_mtime_ns == time
    (copy / "store.json").unlink()  # killed between the two
    assert main(["data", "copy", str(store), str(copy)]) == 0
    assert sorted(path.name for path in copy.iterdir()) == ["store.json", "tiles.npy"]


def test_what_is_no_store_is_not_copied(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["data", "copy", str(tmp_path), str(tmp_path / "copy")]) == 2
    assert "is no packed store" in told(capsys) and not (tmp_path / "copy").exists()
