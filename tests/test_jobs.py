"""Job scripts: what they say, that any path survives the shell, and that what is wrong is told before it queues."""

import json
import os
import re
import shlex
import shutil
import subprocess
import unicodedata
from collections.abc import Callable
from dataclasses import fields, replace
from pathlib import Path

import pandas as pd
import pytest
import yaml
from conftest import TINY
from hypothesis import example, given, settings
from hypothesis import strategies as st
from PIL import Image
from refused import holds, refused
from requested import config_of

from amazon_ml.cli.main import main
from amazon_ml.errors import InputError, WorkError
from amazon_ml.runs.config import RunConfig
from amazon_ml.runs.folder import Run
from amazon_ml.runs.hashes import made_by_run
from amazon_ml.runs.shards import Parts, save_part
from amazon_ml.runtime.files import write_json
from amazon_ml.settings import build
from amazon_ml.slurm.client import Task, _numbers, is_live, submit, tasks_of
from amazon_ml.slurm.config import PredictJobsConfig, TrainJobsConfig, check_shard_jobs, check_train_jobs
from amazon_ml.slurm.job import TASK, Job, script
from amazon_ml.slurm.site import Site, read_site
from amazon_ml.slurm.status import _DONE, status
from amazon_ml.slurm.submit import JOBS, check_not_live, job_folder
from amazon_ml.slurm.train import plan_jobs
from amazon_ml.training.tiles import open_tiles

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
# Written by amazon-ml; submit it with: sbatch /runs/x/slurm/train.sbatch

set -e  # where one of these lines fails, the job ends
source env
set +e

trap : TERM  # where the whole job gets a signal to end, this shell waits until the work has saved its state
srun --kill-on-bad-exit=0 amazon-ml gather /runs/x
status=$?

# 85: the work got a signal and saved its state; 138, 143: a signal ended it before it could react, or it does
# not react. The same job is queued again. A job that Slurm does not list as running was cancelled, or out of time.
job=$SLURM_JOB_ID
case $status in 85 | 138 | 143)
  if [ "$(squeue --noheader --jobs="$job" --format=%T)" = RUNNING ]; then
    scontrol requeue "$job" || echo "Slurm does not queue this job again; submit the script again"
  fi ;;
esac
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
    assert "srun --kill-on-bad-exit=0 --cpus-per-task=4 " in text


def test_job_that_is_not_to_be_requeued_is_not() -> None:
    text = script(job(Path("/x"), "train", resumes=True, requeue=False), Site())
    assert "--no-requeue" in options(text) and "scontrol" not in text


def test_guide_shows_the_script_as_it_is() -> None:
    guide = (EXAMPLE.parents[2] / "docs" / "cluster.md").read_text(encoding="utf-8")
    _, site, shown = (block.partition("\n```")[0] for block in re.split("```(?:yaml|bash)\n", guide))
    home = Path("/home/me/amazon_ml")
    run = home / "runs" / "planet"
    words = ("train", "--config", str(run / "slurm" / "train.yaml"), "--run", str(run), "--folds", TASK)
    train = Job("train", "Each task trains one fold of planet; what is finished already is skipped.", words,
                run / "slurm", tasks=(0, 1, 2, 3, 4), nodes=2, gpus_per_node=4, resumes=True,
                store=home / "data" / "planet" / "packed-rgb-256")  # fmt: skip
    assert script(train, Site(**yaml.safe_load(site))).replace(str(Path.cwd()), str(home)) == shown + "\n"


@pytest.mark.parametrize(
    ("status", "state", "queued_again"),
    [
        (85, "RUNNING", True),
        (138, "RUNNING", True),  # by a signal ahead of a time limit, while Python starts
        (143, "RUNNING", True),  # pushed out, work that does not listen
        (85, "COMPLETING", False),  # cancelled, or out of time
        (143, "COMPLETING", False),
        (85, "", False),  # the controller does not answer
        (0, "RUNNING", False),
        (1, "RUNNING", False),
        (137, "RUNNING", False),
    ],
)
@pytest.mark.parametrize("step", ["copy", "train"])
def test_stopped_work_is_queued_again_unless_the_job_was_cancelled(
    status: int, state: str, queued_again: bool, step: str
) -> None:
    text = script(job(Path("/x"), "train", tasks=(3,), resumes=True, store=Path("/s")), Site(setup=[":"], scratch="/d"))
    done = run_script(text, f'case "$*" in *" {step} "* | *" {step}") return {status} ;; esac', state)
    assert done.returncode == status
    assert done.stdout == ("requeue 7_3\n" if queued_again else "")


def run_script(text: str, srun: str, state: str) -> subprocess.CompletedProcess[str]:
    """Run a script where functions of the shell are Slurm's commands."""
    fake = f"srun() {{ {srun}; }}\nsqueue() {{ echo {state}; }}\nscontrol() {{ echo $*; }}\n"
    variables = {"SLURM_JOB_ID": "9", "SLURM_ARRAY_JOB_ID": "7", "SLURM_ARRAY_TASK_ID": "3", "SLURM_JOB_NUM_NODES": "1"}
    return subprocess.run(["bash"], input=fake + text, capture_output=True, text=True, env=variables)


def test_requeue_that_is_refused_is_said() -> None:
    text = script(job(Path("/x"), "train", resumes=True), Site(setup=["scontrol() { return 1; }"]))
    done = run_script(text, "return 85", "RUNNING")
    assert done.returncode == 85 and done.stdout == "Slurm does not queue this job again; submit the script again\n"


def test_job_whose_environment_is_not_there_does_no_work() -> None:
    text = script(job(Path("/x"), "train"), Site(setup=["source /typo/activate", "echo later"]))
    done = run_script(text, "echo works", "RUNNING")
    assert done.returncode == 1 and done.stdout == "" and "/typo/activate" in done.stderr


@pytest.mark.parametrize(("told", "address"), [("", "c1"), (" NodeAddr=10.0.0.1 x=y", "10.0.0.1")])
def test_processes_meet_at_the_first_node_and_a_port_of_the_job(told: str, address: str) -> None:
    text = script(job(Path("/x"), "train", gpus_per_node=2), Site(setup=["export MASTER_PORT=1"]))
    head, _, rest = text.partition("first=")
    fake = f'scontrol() {{ case $2 in hostnames) echo c1; echo c2 ;; *) echo "NodeName=c1{told}" ;; esac; }}\n'
    done = run_script(f"{head}{fake}first={rest}", 'echo "$MASTER_ADDR $MASTER_PORT"', "RUNNING")
    assert done.stdout == f"{address} 15009\n"


@given(st.sets(st.integers(0, 40), min_size=1))
def test_array_is_written_in_ranges_that_stand_for_its_tasks(numbers: set[int]) -> None:
    text = script(job(Path("/x"), "train", tasks=tuple(sorted(numbers))), Site())
    (array,) = [option for option in options(text) if option.startswith("--array=")]
    assert _numbers(array.removeprefix("--array=")) == sorted(numbers)


@given(st.lists(st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"])), min_size=1))
def test_any_word_reaches_the_program_as_it_is(words: list[str]) -> None:
    text = script(job(Path("/x"), *words, TASK, f"{TASK}/3"), Site(setup=["true"]))
    fake = "srun() { shift 2; printf '%s\\0' \"$@\"; }\nSLURM_ARRAY_TASK_ID=7\n"
    done = subprocess.run(["bash"], input=(fake + text).encode(), capture_output=True, check=True)
    assert done.stdout.decode().split("\0")[:-1] == [*words, "7", "7/3"]


#: Any text that a file system or a YAML file can hold.
ANY = st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"]), min_size=1)
#: What a field makes of a text, by the name of the field.
FIELDS: dict[str, Callable[[str], tuple[Job, Site]]] = {
    "about": lambda text: (replace(job(Path("/x"), "train"), about=text), Site()),
    "name": lambda text: (replace(job(Path("/x"), "train"), name=text), Site()),
    "folder": lambda text: (job(Path("/x") / text, "train"), Site()),
    "word": lambda text: (job(Path("/x"), "train", text), Site()),
    "store": lambda text: (job(Path("/x"), "train", store=Path("/s") / text), Site(scratch="$DISK")),
    "scratch": lambda text: (job(Path("/x"), "train", store=Path("/s")), Site(scratch=text)),
    "account": lambda text: (job(Path("/x"), "train"), Site(account=text)),
    "partition": lambda text: (job(Path("/x"), "train"), Site(partition=text)),
    "memory": lambda text: (job(Path("/x"), "train"), Site(memory=text)),
    "time": lambda text: (job(Path("/x"), "train"), Site(time=text)),
    "sbatch": lambda text: (job(Path("/x"), "train"), Site(sbatch=[f"--comment={text}"])),
    "modules": lambda text: (job(Path("/x"), "train"), Site(modules=[text])),
}
#: Slurm's commands, the program and modules as functions that say what they were called with, and nothing else on PATH.
_STUBS = """
said() { printf '%s\\0' "$#" "$@"; }
srun() { said "$@"; }; module() { said "$@" >&2; }; squeue() { :; }; scontrol() { :; }
command_not_found_handle() { echo "RAN $*"; }
PATH=/nowhere DISK=/disk SLURM_JOB_NUM_NODES=1
"""
_NASTY = [
    "a\ntouch x",
    "a\rb",
    "x; touch y",
    "$(touch y)",
    "`touch y`",
    '"; touch y; "',
    "'; touch y; '",
    "a b%j",
    "#",
    "\\",
]


@settings(max_examples=60)
@example(field="word", text="\n")
@example(field="word", text="")
@given(field=st.sampled_from(sorted(FIELDS)), text=ANY | st.sampled_from(_NASTY))
def test_any_text_of_any_field_is_refused_or_runs_nothing(field: str, text: str) -> None:
    try:
        written = script(*FIELDS[field](text))
    except InputError:
        assert any(unicodedata.category(sign) in ("Cc", "Zl", "Zp") for sign in text)
        return
    done = subprocess.run(["/bin/bash"], input=(_STUBS + written).encode(), capture_output=True)
    assert done.returncode == 0 and b"RAN " not in done.stdout + done.stderr, done.stderr
    *said, end = done.stdout.decode().split("\0")
    assert end == ""
    work: list[str] = []
    while said:  # each call of a program: the number of its words, and these
        number = int(said.pop(0))
        work, said = said[:number], said[number:]
    assert work[-1] == text if field == "word" else "train" in work
    if field in ("account", "partition", "time"):
        assert f"--{field}={text}" in options(written)


@pytest.mark.parametrize("sign", ["\n", "\u2028"])
@pytest.mark.parametrize(
    "option", ["--run", "--partition", "--memory", "site: account", "site: partition", "site: sbatch", "site: setup",
               "site: modules", "site: scratch"],
)  # fmt: skip
def test_line_breaks_in_a_call_are_refused_before_anything_is_written(
    option: str, sign: str, demo_tiles: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    text, site, key = f"a{sign}touch b", tmp_path / "site.yaml", option.removeprefix("site: ")
    lists = {"sbatch": [f"--comment={text}"], "setup": [text], "modules": [text]}
    site.write_text(yaml.safe_dump({key: lists.get(key, text)} if key != option else {}))
    run = str(tmp_path / (text if option == "--run" else "run"))
    own = [option, text] if option in ("--partition", "--memory") else []
    assert main(["slurm", "train", "--site", str(site), *own, "--run", run, "--data.root", str(demo_tiles), *TINY]) == 2
    said = capsys.readouterr().err
    assert key.removeprefix("--") in said and "\n" not in said.strip() and sign not in said.strip()
    assert [path.name for path in tmp_path.iterdir()] == ["site.yaml"]


@pytest.mark.parametrize("option", ["--tiles", "--out"])
def test_line_breaks_in_a_prediction_are_refused(
    option: str, trained: Path, demo_tiles: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    given = {"--tiles": str(demo_tiles / "test-jpg"), "--out": str(tmp_path / "tags.csv")}
    given[option] = str(tmp_path / "a\ntouch b.csv")
    words = [word for pair in given.items() for word in pair]
    assert main(["slurm", "predict", str(trained), *words, "--shards=2"]) == 2
    assert option in told(capsys) and list(tmp_path.iterdir()) == []


def test_job_does_not_run_modules_of_the_current_folder(tmp_path: Path) -> None:
    (tmp_path / "yaml.py").write_text("open('touched', 'w')\nraise SystemExit(3)\n")
    text = script(job(Path("/x"), "--version"), Site())
    done = subprocess.run(
        ["bash"], input='srun() { shift; "$@"; }\n' + text, cwd=tmp_path, text=True, capture_output=True
    )
    assert done.returncode == 0 and not (tmp_path / "touched").exists(), done.stderr


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
    ("content", "option", "values"),
    [
        ("partiton: gpu", "partiton", ["'partiton'", "partition"]),
        ("xyz: 1", "xyz", ["'xyz'", "account"]),
        ("time: 12:00:00", "time", [43200]),
        ("time: '90'", "time", [90, "HH:MM:SS"]),
        ("modules: cuda", "modules", ["'cuda'"]),
        ("grace: 0", "grace", [0, 1]),
        ("cpus_per_task: true", "cpus_per_task", [True]),
        ("sbatch: [qos=long]", "sbatch", [["qos=long"]]),
        ("- a", "", ["'partition: gpu'"]),
        ("{", "", ["YAML"]),
    ],
)
def test_what_is_wrong_in_a_site_is_named(tmp_path: Path, content: str, option: str, values: list[object]) -> None:
    (tmp_path / "site.yaml").write_text(content)
    with refused(file=tmp_path / "site.yaml", option=option, says=values):
        read_site(tmp_path / "site.yaml")


# ---------------------------------------------------------------- training


def test_options_of_train_reach_the_job_as_they_were_checked(demo_tiles: Path, tmp_path: Path) -> None:
    run, site = tmp_path / "my run", tmp_path / "site.yaml"
    site.write_text("partition: slow\ntime: '01:00:00'\n")
    own = ["--site", str(site), "--partition=fast", "--nodes=2", "--gpus_per_node=4", "--at_once=2", "--folds=all"]
    train = ["--run", str(run), "--data.root", str(demo_tiles), *TINY]
    assert main(["slurm", "train", *own, *train]) == 0
    asked = run / "slurm" / "train.yaml"
    expected = config_of([*train, "--folds=all", "--trainer.num_nodes=2", "--trainer.devices=4"])
    assert config_of(["--config", str(asked), "--run", str(run)]) == expected
    given = options((run / "slurm" / "train.sbatch").read_text())
    assert {"--partition=fast", "--time=01:00:00", "--array=0-2%2", "--nodes=2", "--gpus-per-node=4"} <= set(given)
    assert not (run / "slurm" / "jobs.json").exists()
    assert not (run / "fold-0").exists()


@pytest.mark.parametrize(
    ("wrong", "values"),
    [
        (["--trainer.max_epochz=3"], ["max_epochz"]),
        (["--nodes=0"], ["--nodes", 0, 1]),
        (["--gpus_per_node=-1"], ["--gpus_per_node", -1, 0]),
        (["--at_once=0"], ["--at_once", 0, 1]),
        (["--time=90"], ["--time", 90]),
        (["--time=00:03:00"], ["00:03:00", "120 s"]),
        (["--folds=7"], ["--folds", [7], [0, 1, 2]]),
        (["--data.root=/typo"], ["/typo", "--data.root"]),
        (["--site=/typo.yaml"], ["/typo.yaml"]),
    ],
)
def test_what_is_wrong_is_told_before_anything_is_handed_in(
    demo_tiles: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], wrong: list[str], values: list[object]
) -> None:
    call = ["slurm", "train", "--run", str(tmp_path / "run"), "--data.root", str(demo_tiles), *TINY, *wrong, "--submit"]
    try:
        assert main(call) == 2
    except SystemExit as ended:
        assert ended.code == 2
    assert holds(capsys.readouterr().err, *values)
    assert not (tmp_path / "run" / "slurm").exists()


@pytest.mark.parametrize(("folds", "array"), [("all", "1"), ("[0, 1, 2]", "1"), ("[0, 2]", None)])
def test_what_is_finished_does_not_queue(
    trained: Path, demo_tiles: Path, tmp_path: Path, folds: str, array: str | None
) -> None:
    run = tmp_path / "run"
    shutil.copytree(trained, run)  # its folds 0 and 2 are finished
    call = ["slurm", "train", "--run", str(run), "--data.root", str(demo_tiles), *TINY, "--model.tta=flips"]
    assert main([*call, "--folds", folds]) == 0
    scripts = {file.stem: options(file.read_text()) for file in (run / "slurm").glob("*.sbatch")}
    assert scripts.keys() == ({"train", "gather"} if array else {"gather"})
    assert not array or f"--array={array}" in scripts["train"]
    (run / "fold-2" / "test.parquet").unlink()  # stopped between its two predictions
    assert main([*call, "--folds", folds]) == 0
    assert f"--array={'1-2' if array else '2'}" in options((run / "slurm" / "train.sbatch").read_text())


def test_run_of_other_options_is_refused(trained: Path, demo_tiles: Path, capsys: pytest.CaptureFixture[str]) -> None:
    call = ["slurm", "train", "--run", str(trained), "--data.root", str(demo_tiles), *TINY, "--model.lr=0.5"]
    assert main(call) == 2
    assert holds(told(capsys), trained, "model.lr", 0.5)
    assert not (trained / "slurm").exists()


def test_without_slurm_it_is_said_where_to_go(
    trained: Path, demo_tiles: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    out = tmp_path / "tags.csv"
    call = ["slurm", "predict", str(trained), "--tiles", str(demo_tiles / "test-jpg"), "--out", str(out), "--shards=1"]
    assert main([*call, "--submit"]) == 2
    assert holds(told(capsys), "sbatch")
    assert main(["slurm", "status", f"{out}.parts"]) == 2
    assert holds(told(capsys), f"{out}.parts/slurm/jobs.json")
    text = (tmp_path / "tags.csv.parts" / "slurm" / "predict.sbatch").read_text()
    assert subprocess.run(["/bin/bash", "-n"], input=text, text=True).returncode == 0


# ---------------------------------------------------------------- what Slurm says


def commands(folder: Path, patch: pytest.MonkeyPatch, **texts: str) -> None:
    """Put commands on the PATH that are lines of shell."""
    for name, text in texts.items():
        (folder / name).write_text(f"#!/bin/sh\n{text}\n")
        (folder / name).chmod(0o755)
    patch.setenv("PATH", f"{folder}:/usr/bin:/bin")


FORGOTTEN = "echo 'slurm_load_jobs error: Invalid job id specified' >&2; exit 1"


def test_accounting_is_asked_for_what_the_queue_has_forgotten(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    queue = "printf '%s\\n' '7_1|PENDING|(Resources)' '7_3|RUNNING|c2'"
    ended = ["7_0|CANCELLED by 1000|c1", "7_1|PREEMPTED|c1", "7_2|OUT_OF_MEMORY|c1", "7_4|NODE_FAIL|c2"]
    waiting = ["7_[5-7%2]|PENDING|None assigned", "7_[10-14:2]|PENDING|None assigned"]
    accounts = " ".join(f"'{line}'" for line in [*ended, *waiting])
    commands(tmp_path, monkeypatch, squeue=queue, sacct=f"printf '%s\\n' {accounts}")
    known = tasks_of("7")
    assert {number: task.state for number, task in known.items()} == {
        0: "CANCELLED", 1: "PENDING", 2: "OUT_OF_MEMORY", 3: "RUNNING", 4: "NODE_FAIL",
        **dict.fromkeys([5, 6, 7, 10, 12, 14], "PENDING"),
    }  # fmt: skip
    assert known[1] == Task("PENDING", "(Resources)")


def test_what_nobody_knows_is_not_live(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    commands(tmp_path, monkeypatch, squeue=FORGOTTEN, sacct="echo 'Slurm accounting storage is disabled' >&2; exit 1")
    assert tasks_of("7") == {} and not is_live("7")
    commands(tmp_path, monkeypatch, squeue=FORGOTTEN, sacct="echo '7|RUNNING|c1'")  # lost by the accounting for ever
    assert tasks_of("7") == {None: Task("RUNNING", "c1")} and not is_live("7")


def test_slurm_that_does_not_answer_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    down = "echo 'slurm_load_jobs error: Unable to contact slurm controller (connect failure)' >&2; exit 1"
    commands(tmp_path, monkeypatch, squeue=down, sacct="exit 1")
    for ask in (tasks_of, is_live):
        with pytest.raises(WorkError, match=r"^squeue .*Unable to contact slurm controller"):
            ask("7")


def test_job_knows_nothing_of_the_job_it_is_handed_in_from(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    commands(tmp_path, monkeypatch, sbatch=f"env > {tmp_path}/env; echo '12;main'")
    for name in ("SLURM_CONF", "SLURM_CPU_BIND", "SLURM_MEM_PER_CPU", "SLURM_JOB_ID"):
        monkeypatch.setenv(name, "mine")
    assert submit(tmp_path / "x.sbatch") == "12"
    text = (tmp_path / "env").read_text()
    assert "SLURM_CONF=mine" in text and text.count("=mine") == 1


def test_refusal_of_sbatch_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    refusal = "sbatch: error: Batch job submission failed: Invalid account or account/partition combination specified"
    commands(tmp_path, monkeypatch, sbatch=f"echo '{refusal}' >&2; exit 1")
    with pytest.raises(WorkError, match=f"^sbatch .*{refusal}"):
        submit(tmp_path / "x.sbatch")


def test_what_live_jobs_go_by_is_left_alone(
    demo_tiles: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    run = tmp_path / "run"
    call = ["slurm", "train", "--run", str(run), "--data.root", str(demo_tiles), *TINY, "--submit"]
    commands(tmp_path, monkeypatch, sbatch="echo 12", squeue="echo '12_0|PENDING|(Priority)'")
    assert main([*call, "--folds=all"]) == 0
    before = {path: path.read_bytes() for path in (run / "slurm").iterdir()}
    assert main([*call, "--folds=0", "--nodes=2"]) == 2
    assert holds(told(capsys), "12, 12")
    assert {path: path.read_bytes() for path in (run / "slurm").iterdir()} == before


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
    (copy / "store.json").rename(copy / "plan.json")  # as a killed process leaves it
    assert main(["data", "copy", str(store), str(copy)]) == 0
    assert sorted(path.name for path in copy.iterdir()) == ["store.json", "tiles.npy"]


def test_what_is_no_store_is_not_copied(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["data", "copy", str(tmp_path), str(tmp_path / "copy")]) == 2
    assert holds(told(capsys), tmp_path, "store.json") and not (tmp_path / "copy").exists()


_LISTED = {"id": "1", "name": "train", "tasks": [0, 1], "log": "train-%A_%a.out"}


@pytest.mark.parametrize(
    "content",
    [
        {"a": 1}, 3, ["1"], [{}], [_LISTED, {**_LISTED, "id": 1}], [{**_LISTED, "name": "other"}],
        [{**_LISTED, "name": ["train"]}], [{**_LISTED, "tasks": None}], [{**_LISTED, "tasks": ["0"]}],
        [{**_LISTED, "log": None}], "no JSON",
    ],
)  # fmt: skip
def test_a_damaged_list_of_jobs_is_named(tmp_path: Path, content: object) -> None:
    file = job_folder(tmp_path) / "jobs.json"
    file.parent.mkdir()
    file.write_text(content if isinstance(content, str) else json.dumps(content))
    for read in (status, check_not_live):
        with pytest.raises(InputError) as refused:
            read(tmp_path)
        assert refused.value.file == file


def test_the_names_of_all_jobs_have_a_result() -> None:
    assert set(JOBS) == set(_DONE)


def test_a_table_of_an_earlier_prediction_does_not_count_as_merged(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    commands(tmp_path, monkeypatch, squeue=FORGOTTEN, sacct="exit 1")
    table, parts = tmp_path / "tags.parquet", Parts(tmp_path / "tags.parquet.parts")
    jobs = [{**_LISTED, "name": "predict"}, {**_LISTED, "name": "merge", "tasks": [], "log": "merge-%j.out"}]
    write_json(job_folder(parts.path) / "jobs.json", jobs)
    table.write_text("of an earlier prediction")
    assert [row["done"] for row in status(parts.path)] == [False, False, False]
    write_json(parts.plan, {"tiles": 4, "batch": 2, "shards": 2, "made_of": "x"})
    for number in range(2):
        assert [row["done"] for row in status(parts.path)] == [number > 0, False, False]
        save_part(parts, number, pd.DataFrame({"image_name": ["a"]}), "torch")
    os.utime(table, ns=(0, 0))
    assert [row["done"] for row in status(parts.path)] == [True, True, False]
    table.write_text("of these parts")
    assert [row["done"] for row in status(parts.path)] == [True, True, True]
    monkeypatch.chdir(parts.path)
    assert [row["done"] for row in status(Path())] == [True, True, True]
    monkeypatch.chdir(job_folder(parts.path))
    assert [row["done"] for row in status(Path(".."))] == [True, True, True]


def test_scores_count_as_gathered_if_they_cover_the_folds_of_the_jobs(
    trained: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    commands(tmp_path, monkeypatch, squeue=FORGOTTEN, sacct="exit 1")
    run = Run(shutil.copytree(trained, tmp_path / "run"))  # its folds 0 and 2 are finished

    def done(*folds: int) -> list[bool]:
        jobs = [{**_LISTED, "tasks": folds}, {**_LISTED, "name": "gather", "tasks": [], "log": "gather-%j.out"}]
        write_json(job_folder(run.path) / "jobs.json", jobs)
        return [row["done"] for row in status(run.path)]

    assert done(0, 2) == [True, True, True]
    assert done(0, 1, 2) == [True, False, True, False]
    run.fold(2).test.unlink()  # stopped before it predicted the untagged tiles
    assert done(0, 2) == [True, False, False]


# ---------------------------------------------------------------- folds that there are


@pytest.fixture
def split_tiles(tmp_path: Path) -> Path:
    """Write 24 tiles with a column of splits."""
    root = tmp_path / "set"
    (root / "tiles").mkdir(parents=True)
    for number in range(24):
        Image.new("RGB", (16, 16), (10 * number, 0, 0)).save(root / "tiles" / f"t{number:02}.png")
    rows = [f"t{number:02},{'ab'[number % 2]},{'val' if number < 12 else 'train'}" for number in range(24)]
    (root / "labels.csv").write_text("\n".join(["image,tags,split", *rows, ""]))
    return root


@pytest.mark.parametrize(
    ("folds", "more", "array", "partial"),
    [
        (None, ["--data.split_column=split"], "--array=0", False),
        (None, [], "--array=0-2", False),
        ([-1, 0, 1], [], "--array=0-1", False),
        ([-1, 0, 1], ["--folds=[1]"], "--array=1", True),
        ([-1, 0], ["--data.split_column=split"], "--array=0", False),
    ],
)
def test_only_folds_that_there_are_get_a_task(
    split_tiles: Path, tmp_path: Path, folds: list[int] | None, more: list[str], array: str, partial: bool
) -> None:
    run = tmp_path / "run"
    if folds is not None:
        run.mkdir()
        rows = [f"t{number:02},{folds[number % len(folds)]}" for number in range(24)]
        (run / "folds.csv").write_text("\n".join(["image_name,fold", *rows, ""]))
    call = ["slurm", "train", "--run", str(run), "--data.root", str(split_tiles), *TINY, "--data.tags_column=tags"]
    assert main([*call, "--folds=all", *more]) == 0
    assert array in options((run / "slurm" / "train.sbatch").read_text())
    assert ("--partial" in (run / "slurm" / "gather.sbatch").read_text()) == partial


def test_damaged_folds_are_named_before_a_job_is_written(split_tiles: Path, tmp_path: Path) -> None:
    run = tmp_path / "run"
    run.mkdir()
    for content in ("image_name,fold\nt00,first\n", "image_name\nt00\n", "image_name,fold\nt00,-1\n"):
        (run / "folds.csv").write_text(content)
        config = RunConfig.load([], {"run": str(run), "data.root": str(split_tiles), "data.tags_column": "tags"})
        with pytest.raises(InputError) as refused:
            plan_jobs(Run(run), config, TrainJobsConfig())
        assert refused.value.file == run / "folds.csv"


def _planned(split_tiles: Path, run: Path, **more: object) -> list[Job]:
    about = {
        "run": str(run),
        "data.root": str(split_tiles),
        "data.tags_column": "tags",
        "data.n_folds": 3,
        "folds": "all",
        **more,
    }
    return plan_jobs(Run(run), RunConfig.load([], about), TrainJobsConfig())


def test_tiles_are_listed_only_where_folds_depend_on_them(
    split_tiles: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise AssertionError("the tiles are listed")

    monkeypatch.setattr("amazon_ml.data.catalog.catalog.list_tiles_of", refuse)
    assert _planned(split_tiles, tmp_path / "run", **{"data.validate": False})[0].tasks == (0,)
    with pytest.raises(AssertionError):
        _planned(split_tiles, tmp_path / "other")


def test_own_folds_are_compared_with_the_tiles_before_a_job_is_written(split_tiles: Path, tmp_path: Path) -> None:
    run = tmp_path / "run"
    run.mkdir()
    rows = [f"t{number:02},{number % 2}" for number in range(24)]
    (run / "folds.csv").write_text("\n".join(["image_name,fold", *rows[:-1], ""]))
    with pytest.raises(InputError) as refused:
        _planned(split_tiles, run)
    assert refused.value.file == run / "folds.csv" and not (run / "slurm").exists()
    (run / "folds.csv").write_text("\n".join(["image_name,fold", *rows, ""]))
    assert _planned(split_tiles, run)[0].tasks == (0, 1)


def test_own_folds_of_some_tiles_are_compared_with_these(split_tiles: Path, tmp_path: Path) -> None:
    run = tmp_path / "run"
    config = RunConfig.load([], {"run": str(run), "data.root": str(split_tiles), "data.tags_column": "tags",
                                 "data.max_samples": 12, "folds": "all"})  # fmt: skip
    names = open_tiles(Run(run), config).catalog.labelled["image_name"]
    run.mkdir()
    rows = [f"{name},{number % 2}" for number, name in enumerate(names)]
    (run / "folds.csv").write_text("\n".join(["image_name,fold", *rows, ""]))
    assert len(rows) == 12 and plan_jobs(Run(run), config, TrainJobsConfig())[0].tasks == (0, 1)


@pytest.mark.parametrize("published", [True, False])
def test_a_begun_run_of_other_splits_is_refused_before_a_job_is_written(
    split_tiles: Path, tmp_path: Path, published: bool
) -> None:
    for split, numbers in (("val", range(12)), ("train", range(12, 24))):
        rows = [f"t{number:02},{'ab'[number % 2]}" for number in numbers]
        (split_tiles / f"set_{split}.csv").write_text("\n".join(["image,tags", *rows, ""]))
    every = str((split_tiles / "labels.csv").rename(tmp_path / "labels.csv"))
    own, other = (None, every) if published else (every, None)  # tables by split are found by their names
    run, folds = Run(tmp_path / "run"), [0] if published else [0, 1, 2]
    assert list(_planned(split_tiles, run.path, **{"data.labels_file": own})[0].tasks) == folds
    with made_by_run(run.folds):
        rows = [f"t{number:02},{number % 3 if not published else 0 if number < 12 else -1}" for number in range(24)]
        run.folds.write_text("\n".join(["image_name,fold", *rows, ""]))
    run.fold(0).last.parent.mkdir(parents=True)
    run.fold(0).last.write_text("a checkpoint")
    (run.path / "slurm" / "train.yaml").unlink()
    with refused(file=run.folds, option="data.labels_file"):
        _planned(split_tiles, run.path, **{"data.labels_file": other})
    assert not (run.path / "slurm" / "train.yaml").exists()


@pytest.mark.parametrize("number", ["nodes", "gpus_per_node", "at_once"])
def test_each_number_that_is_too_small_is_named_alone(number: str) -> None:
    with refused(option=number, says=-1):
        check_train_jobs(build(TrainJobsConfig, {number: -1}))
    if number != "nodes":
        with refused(option=number, says=-1):
            check_shard_jobs(build(PredictJobsConfig, {number: -1}))
