"""How a process was started: allocations of Slurm without srun, missing GPUs and hosts, and waits that signals end."""

import os
import signal
import socket
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pandas as pd
import pytest
import torch
from conftest import TINY
from forked import Forked
from pytorch_lightning.trainer.connectors import accelerator_connector
from refused import refused
from requested import config_of

from amazon_ml.cli.main import main
from amazon_ml.runs.config import RunConfig
from amazon_ml.runs.trainer import TrainerConfig
from amazon_ml.training.fit import started_processes
from amazon_ml.training.launch import check_accelerator, check_tasks, check_world, cluster_plugins, launched

pytestmark = pytest.mark.usefixtures("without_pages")

#: What salloc, a Jupyter job, or a plain line of an sbatch script has in its environment.
ALLOCATION = {"SLURM_JOB_ID": "77", "SLURM_NTASKS": "4", "SLURM_NNODES": "1", "SLURM_NODELIST": "c1"}
#: What srun adds for each of its processes.
STEP = {**ALLOCATION, "SLURM_STEP_ID": "0", "SLURM_STEP_NUM_TASKS": "4", "SLURM_STEP_NUM_NODES": "2",
        "SLURM_PROCID": "1", "SLURM_LOCALID": "1", "SLURM_NODEID": "0"}  # fmt: skip
#: Seconds in which a signal must end a wait, on a busy machine, after it has begun.
SECONDS = 30


@pytest.fixture(autouse=True)
def plain_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in [name for name in os.environ if name.startswith(("SLURM_", "TORCHELASTIC_"))]:
        monkeypatch.delenv(name)


def _set(patch: pytest.MonkeyPatch, variables: dict[str, str]) -> None:
    for name, value in variables.items():
        patch.setenv(name, value)


def _trainer(*words: str) -> TrainerConfig:
    return config_of(["--data.root", "x", *words]).trainer


# ---------------------------------------------------------------- notebooks


@pytest.mark.parametrize(
    "words",
    [
        ["--trainer.devices=2"],
        ["--trainer.devices=2", "--trainer.strategy=ddp"],
        ["--trainer.devices=2", "--trainer.strategy=ddp_notebook"],
        ["--trainer.devices=1", "--trainer.strategy=ddp"],
        ["--trainer.num_nodes=2"],
    ],
)
def test_several_processes_in_a_notebook_are_refused_with_remedies_that_work(
    words: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    config = config_of(["--data.root", "x", "--trainer.accelerator=cpu", *words])
    monkeypatch.setattr(sys, "ps1", "In [1]: ", raising=False)
    monkeypatch.setattr(accelerator_connector, "_IS_INTERACTIVE", True)  # Lightning looks when it is imported
    with (
        refused(option="trainer.devices", says=["`trainer.devices` 1", "`trainer.strategy` auto"]),
        started_processes(config),
    ):
        pass
    alone = {"trainer.devices": 1, "trainer.num_nodes": 1, "trainer.strategy": "auto", "trainer.accelerator": "cpu"}
    with started_processes(RunConfig.load([], {"data.root": "x", **alone})):
        pass


# ---------------------------------------------------------------- allocations


@pytest.mark.parametrize(
    "more",
    [
        {},
        {"SLURM_NTASKS": "2"},
        {"SLURM_NTASKS_PER_NODE": "4"},
        {"SLURM_PROCID": "0", "SLURM_LOCALID": "0", "SLURM_NODEID": "0"},  # a batch script
        {"SLURM_STEP_ID": "4294967290", "SLURM_STEP_NUM_TASKS": "1", "SLURM_PROCID": "0"},  # salloc's own step
        {"SLURM_JOB_NAME": "interactive"},
        {"SLURM_NNODES": "2"},
    ],
)
def test_one_process_of_an_allocation_for_several_is_refused_before_it_waits(
    more: dict[str, str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    _set(monkeypatch, {**ALLOCATION, **more})
    assert main(["train", "--run", str(tmp_path / "run"), "--data.root", "nowhere", *TINY]) == 2
    said = capsys.readouterr().err
    tasks = more.get("SLURM_NTASKS", "4")
    assert f"{tasks} tasks" in said and "srun" in said and "--trainer.devices 1" in said
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize("words", [["--trainer.devices=2"], ["--trainer.num_nodes=2", "--trainer.devices=1"]])
def test_more_than_one_device_is_refused_there_too(words: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    _set(monkeypatch, ALLOCATION)
    with refused(option="trainer.devices", says=["SLURM_NTASKS", 4]):
        check_tasks(_trainer(*words))


@pytest.mark.parametrize("devices", ["1", "[0]", "0,"])
def test_one_device_is_one_process_in_any_allocation(devices: str, monkeypatch: pytest.MonkeyPatch) -> None:
    _set(monkeypatch, ALLOCATION)
    check_tasks(_trainer(f"--trainer.devices={devices}"))
    assert [type(plugin).__name__ for plugin in cluster_plugins()] == ["LightningEnvironment"]


def test_one_process_trains_and_predicts_in_an_allocation(
    demo_tiles: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    _set(monkeypatch, {**ALLOCATION, "SLURM_PROCID": "3", "SLURM_LOCALID": "0", "SLURM_NODEID": "0"})
    run, out = tmp_path / "run", tmp_path / "tags.csv"
    data = ["--data.root", str(demo_tiles), *TINY, "--trainer.devices=1", "--trainer.max_epochs=1"]
    assert main(["train", "--run", str(run), *data]) == 0
    assert pd.read_csv(run / "fold-0" / "metrics.csv")["val_f2"].count() == 1
    assert main(["predict", str(run), "--tiles", str(demo_tiles / "test-jpg"), "--out", str(out)]) == 0
    assert main(["evaluate", str(run), "--data", str(demo_tiles)]) == 0
    assert main(["find", "lr", "--run", str(tmp_path / "lr"), *data, "--steps=10"]) == 0


def test_processes_of_srun_are_taken_for_them(monkeypatch: pytest.MonkeyPatch) -> None:
    _set(monkeypatch, STEP)
    check_tasks(_trainer())
    assert launched(_trainer()) == {"devices": 2, "num_nodes": 2}
    (environment,) = cluster_plugins()
    assert (environment.world_size(), environment.global_rank(), environment.node_rank()) == (4, 1, 0)
    assert environment.creates_processes_externally and not environment.auto_requeue
    environment.validate_settings(2, 2)
    with pytest.raises(ValueError, match=r"\b4 .*\b2 .*\b4 .*\b1\b.*`trainer\.devices`.*`trainer\.num_nodes`"):
        environment.validate_settings(4, 1)


def test_step_of_one_task_is_a_process_as_any_other(monkeypatch: pytest.MonkeyPatch) -> None:
    _set(monkeypatch, {**STEP, "SLURM_NTASKS": "1", "SLURM_STEP_NUM_TASKS": "1", "SLURM_NTASKS_PER_NODE": "4"})
    check_tasks(_trainer("--trainer.devices=2"))
    assert launched(_trainer()) == {}
    assert [type(plugin).__name__ for plugin in cluster_plugins()] == ["LightningEnvironment"]


def test_torchrun_within_a_step_is_torchrun(monkeypatch: pytest.MonkeyPatch) -> None:
    _set(monkeypatch, {**ALLOCATION, "TORCHELASTIC_RUN_ID": "x", "LOCAL_WORLD_SIZE": "2", "WORLD_SIZE": "4"})
    check_tasks(_trainer())
    assert launched(_trainer()) == {"devices": 2, "num_nodes": 2} and cluster_plugins() == []


@pytest.mark.parametrize(
    ("variables", "named"),
    [
        ({**STEP, "SLURM_STEP_NUM_TASKS": "3"}, "--ntasks-per-node"),
        ({**STEP, "SLURM_NODEID": ""}, "SLURM_NODEID"),
        ({**STEP, "SLURM_PROCID": "first"}, "SLURM_PROCID"),
        ({"SLURM_NTASKS": "x"}, "SLURM_NTASKS"),
        ({"TORCHELASTIC_RUN_ID": "x"}, "LOCAL_WORLD_SIZE"),
        ({"TORCHELASTIC_RUN_ID": "x", "LOCAL_WORLD_SIZE": "2", "WORLD_SIZE": "1"}, "WORLD_SIZE"),
    ],
)
def test_odd_variables_are_named(
    variables: dict[str, str], named: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    _set(monkeypatch, variables)
    assert main(["train", "--data.root", "nowhere", *TINY]) == 2
    assert named in capsys.readouterr().err


# ---------------------------------------------------------------- what is not there


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU")
@pytest.mark.parametrize("verb", ["train", "find lr", "find batch"])
def test_gpu_that_is_not_there_is_said_before_anything_is_read(
    verb: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    planet = Path(__file__).parents[1] / "configs" / "planet.yaml"
    assert main([*verb.split(), "--config", str(planet), "--data.root", "nowhere"]) == 2
    said = capsys.readouterr().err
    assert "--trainer.accelerator cpu" in said and "thumbnails.yaml" in said and "nowhere" not in said


def test_cpu_is_always_there() -> None:
    check_accelerator(TrainerConfig(accelerator="cpu"))
    check_accelerator(TrainerConfig(accelerator="auto"))


@pytest.mark.parametrize("name", ["no-such-host.invalid", "a..b", "x" * 300])
def test_host_that_does_not_resolve_is_said_in_time(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    began = time.monotonic()
    _set(monkeypatch, {**STEP, "MASTER_ADDR": name})
    assert main(["train", "--run", str(tmp_path / "run"), "--data.root", "nowhere", *TINY]) == 2
    said = capsys.readouterr().err
    assert name in said and "MASTER_ADDR" in said and time.monotonic() - began < 30


# ---------------------------------------------------------------- waits


@contextmanager
def _one_of_two(run: Path, rank: int, launcher: str) -> Iterator[Forked]:
    """Start one of two processes, and give it once it waits for the other, which never comes."""
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        port = other.getsockname()[1]
        if rank:
            other.listen()
        else:
            other.close()
        process = _started(run, rank, port, launcher)
        try:
            if rank:
                other.settimeout(120)
                connection, _ = other.accept()  # whom it asks says nothing
            else:
                connection = _connected(port)
            with connection:
                time.sleep(0.5)
                yield process
        finally:
            process.kill()


def _started(run: Path, rank: int, port: int, launcher: str) -> Forked:
    meet = {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port)}
    elastic = {"TORCHELASTIC_RUN_ID": "x", "RANK": str(rank), "LOCAL_RANK": str(rank), "WORLD_SIZE": "2",
               "LOCAL_WORLD_SIZE": "2", "GROUP_RANK": "0"}  # fmt: skip
    own = elastic if launcher == "torchrun" else {"LOCAL_RANK": str(rank), "NODE_RANK": "0"}
    devices = [] if launcher == "torchrun" else ["--trainer.devices=2"]
    command = ["train", "--run", str(run), "--data.root", "nowhere", *TINY, *devices]
    return Forked(command, environment={**os.environ, **meet, **own})


def _connected(port: int) -> socket.socket:
    """Connect to the first process, once it waits for others to do so."""
    end = time.monotonic() + 120
    while True:
        try:
            return socket.create_connection(("127.0.0.1", port))
        except OSError:
            assert time.monotonic() < end
            time.sleep(0.2)


@pytest.mark.parametrize(
    ("rank", "launcher", "sign", "status"),
    [
        (0, "torchrun", signal.SIGTERM, 85),
        (1, "torchrun", signal.SIGINT, 130),
        (1, "hand", signal.SIGTERM, 85),
    ],
)
def test_signal_ends_a_wait_for_processes_that_never_come(
    rank: int, launcher: str, sign: signal.Signals, status: int, tmp_path: Path
) -> None:
    with _one_of_two(tmp_path / "run", rank, launcher) as process:
        began = time.monotonic()
        process.send_signal(sign)
        said = process.communicate(timeout=SECONDS)[1]
    assert process.returncode == status, said
    assert time.monotonic() - began < SECONDS and "Traceback" not in said and sign.name in said


@pytest.mark.parametrize("names", [("WORLD_SIZE", "RANK"), ("OMPI_COMM_WORLD_SIZE", "OMPI_COMM_WORLD_RANK")])
def test_one_process_of_several_does_not_train_alone(names: tuple[str, str], monkeypatch: pytest.MonkeyPatch) -> None:
    auto = TrainerConfig()
    _set(monkeypatch, dict(zip(names, ("2", "1"), strict=True)))
    with refused(option="trainer.devices", says=[f"{names[0]}=2", f"{names[1]}=1"]):
        check_world(auto, 1)
    check_world(auto, 2)
    check_world(TrainerConfig(devices=1), 1)
    _set(monkeypatch, {names[0]: "1"})
    check_world(auto, 1)
