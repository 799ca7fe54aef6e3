"""Jobs on a real Slurm of two nodes: trained, killed, stopped, pushed out and queued again, and the same in the end."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import forked
import pytest
from conftest import TINY
from scene_files import ground, write_scene
from slurm_cluster import missing_daemons, running_cluster, wait_until

from amazon_ml.cli.main import main
from amazon_ml.slurm.client import submit, tasks_of
from amazon_ml.slurm.job import TASK, Job, script
from amazon_ml.slurm.site import Site
from amazon_ml.slurm.status import status
from amazon_ml.slurm.submit import submitted

pytestmark = pytest.mark.slurm

#: How often work is stopped and queued again; each time takes half a minute. By a signal, by urgency, and so on.
STOPS = int(os.environ.get("AMAZON_ML_STOPS", "2"))
#: Of each stretch between two stops: enough for a signal to arrive before they are over.
EPOCHS = 4
#: Few tiles, and time beside each of the two or more steps of an epoch, so that epochs last without much work.
LITTLE = [*TINY, "--data.max_samples=48", "--data.batch_size=8"]
WAIT_AT_STEPS = "0.2"
#: Seconds between two questions to Slurm, each of which takes a process and an answer of the daemon.
ASKED = 0.5
PYTHON = sys.executable


@pytest.fixture(scope="module", autouse=True)
def cluster() -> Iterator[None]:
    """Start Slurm, for the jobs and for the commands that ask after them."""
    missing = missing_daemons()
    if missing:
        pytest.skip(f"no Slurm: {', '.join(missing)} are not installed; make install-slurm does that")
    with running_cluster() as environment, pytest.MonkeyPatch.context() as patch:
        python = {
            "OMP_NUM_THREADS": "1",
            forked.WITHOUT_PAGES: "1",
            forked.WAIT_AT_STEPS: WAIT_AT_STEPS,
            "PYTHONPATH": os.pathsep.join(filter(None, sys.path)),
        }
        for name, value in {**environment, **python}.items():
            patch.setenv(name, value)
        patch.setattr(sys, "executable", str(forked.python()))
        yield


@pytest.fixture
def new_interpreters(monkeypatch: pytest.MonkeyPatch) -> None:
    """Have jobs start Python itself, not what forks a process that has imported everything."""
    monkeypatch.setattr(sys, "executable", PYTHON)


ONE_THREAD = """
import sys, torch
from amazon_ml.cli.main import main
torch.set_num_threads(1)
sys.exit(main())
"""


def states(job: str) -> set[str]:
    return {task.state for task in tasks_of(job).values()}


def wait_for(job: str, *wanted: str, seconds: float = 900) -> None:
    def reached() -> bool:
        there = states(job)
        return bool(there) and there <= set(wanted)

    wait_until(reached, seconds, f"job {job} is {wanted}", every=ASKED)


def output(job: Job, number: str) -> str:
    return "".join(path.read_text() for path in sorted(job.folder.glob(f"{job.name}-{number}*.out")))


def stub(folder: Path, text: str) -> Site:
    """Make a site whose amazon-ml is another program."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "amazon-ml").write_text(text)
    (folder / "amazon-ml").chmod(0o755)
    return Site(grace=30, setup=[f"PATH={str(folder)!r}:$PATH"])


def submit_jobs(job: Job, site: Site) -> str:
    job.folder.mkdir(parents=True, exist_ok=True)
    job.script.write_text(script(job, site))
    return submit(job.script)


# ---------------------------------------------------------------- the work itself


def test_killed_fold_is_named_and_the_next_submission_trains_it_alone(demo_tiles: Path, tmp_path: Path) -> None:
    run, plain = tmp_path / "it's a run", tmp_path / "plain"
    options = ["--data.root", str(demo_tiles), *LITTLE, "--data.n_folds=2", "--folds=all"]
    call = ["slurm", "train", "--run", str(run), *options, "--submit"]
    assert main(call) == 0
    train, gather = (job["id"] for job in submitted(run))
    wait_until((run / "fold-1" / ".lock").exists, 900, "fold 1 is begun")
    kill_process_of(f"{train}_1")
    assert main(call) == 2  # at work already
    wait_for(gather, "FAILED")
    said = {row["task"]: row for row in status(run)}
    assert [said[f"train {n}"]["state"] for n in range(2)] == ["COMPLETED", "FAILED"]
    assert [said[f"train {n}"]["done"] for n in range(2)] == [True, False]
    assert "folds [1] are not finished" in said["gather"]["last_line"]
    before = (run / "fold-0" / "valid.parquet").stat().st_mtime_ns
    assert main(call) == 0
    wait_for(submitted(run)[1]["id"], "COMPLETED", "FAILED")
    assert all(row["done"] and row["state"] == "COMPLETED" for row in status(run))
    assert (run / "fold-0" / "valid.parquet").stat().st_mtime_ns == before
    train_alone(plain, options)
    for name in (*(f"fold-{n}/model.safetensors" for n in range(2)), "oof.parquet", "metrics.json", "submission.csv"):
        assert (run / name).read_bytes() == (plain / name).read_bytes(), name


def train_alone(run: Path, options: list[str]) -> None:
    """Train without Slurm, in a process of its own: with as many threads as jobs have, on which sums depend."""
    script = run.with_suffix(".py")
    script.write_text(ONE_THREAD)
    at_once = {name: value for name, value in os.environ.items() if name != forked.WAIT_AT_STEPS}
    command = [str(script), "train", "--run", str(run), *options]
    done = forked.run(command, environment=at_once, fast_python=True)
    assert done.returncode == 0, done.stderr


def kill_process_of(task: str) -> None:
    raw = subprocess.run(["squeue", "-h", "-j", task, "-o", "%A"], capture_output=True, text=True).stdout.strip()
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            environment = (folder / "environ").read_bytes().split(b"\0")
            words = (folder / "cmdline").read_bytes().split(b"\0")
        except OSError:
            continue
        if f"SLURM_JOB_ID={raw}".encode() in environment and b"python" in words[0] and b"train" in words:
            os.kill(int(folder.name), signal.SIGKILL)


def test_training_that_is_stopped_and_pushed_out_time_and_again_ends_in_the_same_weights(
    demo_tiles: Path, tmp_path: Path
) -> None:
    run, plain = tmp_path / "run", tmp_path / "plain"
    options = ["--data.root", str(demo_tiles), *LITTLE, f"--trainer.max_epochs={EPOCHS * STOPS}"]
    assert main(["slurm", "train", "--run", str(run), *options, "--submit"]) == 0
    stops = [by_signal, by_urgency] * (STOPS // 2) + [by_signal] * (STOPS % 2)
    assert stopped_log(run, stops).count("; the same command resumes") == STOPS
    train_alone(plain, options)
    for name in ("fold-0/model.safetensors", "oof.parquet", "submission.csv"):
        assert (run / name).read_bytes() == (plain / name).read_bytes(), name


def stopped_log(run: Path, stops: Sequence[Callable[[str], None]]) -> str:
    """Stop training time and again, each time after an epoch or some more; gives its output."""
    train, gather = (job["id"] for job in submitted(run))
    last = run / "fold-0" / "checkpoints" / "last.ckpt"
    for stop in stops:
        wait_until(newer(last, train), 900, "an epoch is over")
        stop(f"{train}_0")
        wait_for(train, "PENDING", "FAILED")  # one that failed is told of below, and not waited for
    wait_for(gather, "COMPLETED", "FAILED")
    assert [row["state"] for row in status(run)] == ["COMPLETED", "COMPLETED"]
    log = (run / "slurm" / f"train-{train}_0.out").read_text()
    assert log.count("resuming") == len(stops)
    return log


def newer(file: Path, job: str) -> Callable[[], bool]:
    """Tell, whenever it is called, whether a file was written since now; or the job failed, and none will be."""
    before, asked = time_of(file), time.monotonic()

    def is_newer() -> bool:
        nonlocal asked
        if time_of(file) != before:
            return True
        if time.monotonic() < asked + ASKED:
            return False
        asked = time.monotonic()
        return "FAILED" in states(job)

    return is_newer


def time_of(file: Path) -> int:
    return file.stat().st_mtime_ns if file.exists() else 0


def by_signal(task: str) -> None:
    subprocess.run(["scancel", "--signal=USR1", task], check=True)  # to the steps, as --signal of sbatch does


def by_urgency(task: str) -> None:
    urgent = ["sbatch", "--partition=urgent", "--nodes=2", "--exclusive", "--output=/dev/null", "--wrap=true"]
    subprocess.run(urgent, check=True, stdout=subprocess.DEVNULL)


def test_network_that_two_nodes_train_together_is_stopped_and_ends_in_the_same_weights(
    demo_tiles: Path, tmp_path: Path
) -> None:
    run, plain = tmp_path / "run", tmp_path / "plain"
    options = ["--data.root", str(demo_tiles), *LITTLE, f"--trainer.max_epochs={EPOCHS}"]
    assert main(["slurm", "train", "--run", str(run), *options, "--nodes=2", "--submit"]) == 0
    log = stopped_log(run, [by_signal])
    assert "2 processes: a step has 16 tiles, 8 in each" in log
    assert log.count("; the same command resumes") == 1  # said by the first process for both
    train_alone(plain, [*options, "--trainer.devices=2"])
    for name in ("fold-0/model.safetensors", "oof.parquet", "submission.csv"):
        assert (run / name).read_bytes() == (plain / name).read_bytes(), name


def test_shards_are_predicted_and_merged_though_one_is_queued_again(
    trained: Path, demo_tiles: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(forked.WAIT_AT_START, "3")  # so that it is seen at work
    out, plain = tmp_path / "tags.parquet", tmp_path / "plain.parquet"
    tiles = ["--tiles", str(demo_tiles / "train-jpg")]
    views = ["--tta", "none"]  # not those of the run
    call = ["slurm", "predict", str(trained / "bundle"), *tiles, "--out", str(out), *views]
    assert main([*call, "--shards=1", "--submit"]) == 0
    predict, merge = (job["id"] for job in submitted(Path(f"{out}.parts")))
    wait_for(predict, "RUNNING")
    subprocess.run(["scontrol", "requeue", predict], check=True)
    wait_for(merge, "COMPLETED", "FAILED")
    assert main(["predict", str(trained / "bundle"), *tiles, "--out", str(plain), *views]) == 0
    assert out.read_bytes() == plain.read_bytes()
    assert [row["done"] for row in status(Path(f"{out}.parts"))] == [True, True]


def test_a_scene_is_tagged_in_shards_and_joined(trained: Path, tmp_path: Path) -> None:
    scene, out, plain = tmp_path / "a scene.tif", tmp_path / "out", tmp_path / "plain"
    write_scene(scene, ground(4_000, 96))  # 125 x 3 windows, some batches of them
    run = [str(trained / "bundle"), "--scene", str(scene)]
    assert main(["slurm", "scene", *run, "--out", str(out), "--shards=2", "--submit"]) == 0
    wait_for(submitted(out)[1]["id"], "COMPLETED", "FAILED")
    assert [row["done"] for row in status(out)] == [True] * 3
    assert main(["scene", "predict", *run, "--out", str(plain)]) == 0
    for name in ("cells.parquet", "probabilities.tif", "summary.csv", "map.html"):
        assert (out / name).read_bytes() == (plain / name).read_bytes(), name


@pytest.mark.usefixtures("new_interpreters")
def test_command_is_started_by_a_new_interpreter(trained: Path, tmp_path: Path) -> None:
    out = tmp_path / "submission.csv"
    job = Job("make", "Makes a submission.", ("submit", "make", str(trained), "--out", str(out)), tmp_path / "jobs")
    number = submit_jobs(job, Site())
    wait_for(number, "COMPLETED", "FAILED", seconds=120)
    assert out.read_bytes() == (trained / "submission.csv").read_bytes(), output(job, number)


# ---------------------------------------------------------------- what the script sees to


def test_work_that_fails_is_not_queued_again(tmp_path: Path) -> None:
    job = Job("fails", "Fails.", ("fail",), tmp_path / "jobs", tasks=(0,), resumes=True)
    number = submit_jobs(job, stub(tmp_path / "bin", "#!/bin/bash\necho broken; exit 3\n"))
    wait_for(number, "FAILED", seconds=60)
    assert sorted(output(job, number).splitlines()) == ["broken", "srun: error: c1: task 0: Exited with exit code 3"]


def test_cancelled_work_saves_itself_and_is_not_queued_again(tmp_path: Path) -> None:
    saves = "#!/bin/bash\ntrap 'echo saved; exit 85' TERM\necho begun\nfor i in {1..300}; do sleep 0.2 & wait; done\n"
    job = Job("long", "Takes long.", ("long",), tmp_path / "jobs", tasks=(0,), resumes=True)
    number = submit_jobs(job, stub(tmp_path / "bin", saves))
    wait_until(lambda: "begun" in output(job, number), 60, "it is begun")
    subprocess.run(["scancel", number], check=True)
    wait_for(number, "CANCELLED", seconds=60)
    assert "saved" in output(job, number)


def test_work_that_does_not_listen_is_queued_again_when_it_is_pushed_out(tmp_path: Path) -> None:
    deaf = '#!/bin/bash\necho "begun $SLURM_RESTART_COUNT"\n[ "$SLURM_RESTART_COUNT" ] || exec sleep 300\n'
    job = Job("deaf", "Does not listen.", ("deaf",), tmp_path / "jobs", tasks=(0,))
    number = submit_jobs(job, stub(tmp_path / "bin", deaf))
    wait_until(lambda: "begun" in output(job, number), 60, "it is begun")
    by_urgency(f"{number}_0")
    wait_for(number, "PENDING", "FAILED", seconds=60)
    wait_for(number, "COMPLETED", "FAILED", seconds=60)
    # The last line of a job may reach its file a moment after the job counts as completed.
    wait_until(lambda: "begun 1" in output(job, number), 20, "it has begun again")
    assert [line for line in output(job, number).splitlines() if line.startswith("begun")] == ["begun ", "begun 1"]


def test_work_is_told_before_its_time_is_over(tmp_path: Path) -> None:
    told = "#!/bin/bash\ntrap 'echo told; exit 0' USR1\nfor i in {1..300}; do sleep 0.2 & wait; done\n"
    site = stub(tmp_path / "bin", told)
    job = Job("long", "Takes long.", ("long",), tmp_path / "jobs", resumes=True)
    number = submit_jobs(job, Site(time="00:01:00", grace=55, setup=site.setup))
    wait_for(number, "COMPLETED", "FAILED", "TIMEOUT", seconds=90)
    assert output(job, number) == "told\n"


def test_task_of_an_array_knows_its_number(tmp_path: Path) -> None:
    job = Job("say", "Says.", ("say", TASK, f"{TASK}/3"), tmp_path / "jo bs%A", tasks=(0, 2))
    number = submit_jobs(job, stub(tmp_path / "bin", '#!/bin/bash\necho "$@"\n'))
    wait_for(number, "COMPLETED", "FAILED", seconds=60)
    assert [(job.folder / f"say-{number}_{n}.out").read_text() for n in (0, 2)] == ["say 0 0/3\n", "say 2 2/3\n"]
