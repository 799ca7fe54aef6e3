"""How this process was started, by torchrun, by srun or by itself, and whether what is requested can run in it."""

import logging
import os
import socket
import tempfile
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from pytorch_lightning.plugins.environments import (  # type: ignore[attr-defined]
    LightningEnvironment,
    SLURMEnvironment,
    TorchElasticEnvironment,
)

from amazon_ml.errors import InputError
from amazon_ml.runs.config import RunConfig
from amazon_ml.runs.config_file import config_text
from amazon_ml.runs.trainer import TrainerConfig

#: From this number on, steps of Slurm are no steps of srun: the batch script itself, or the shell of an allocation.
_SPECIAL_STEPS = 2**32 - 16
#: Names of jobs that people work in by hand; so Lightning has it, too.
_BY_HAND = ("bash", "interactive")
#: Variables that tell a process of srun which one it is.
_PLACE = ("SLURM_PROCID", "SLURM_LOCALID", "SLURM_NODEID")
#: Seconds that a name server has to know the first host.
_RESOLVES = 20
_NO_GPU = (
    "trainer.accelerator is {name}, and PyTorch sees no GPU here: train on the CPU with `trainer.accelerator` cpu, or "
    "start from configs/thumbnails.yaml, which is made for one; where there is a GPU, nvidia-smi and "
    "torch.cuda.is_available() show what is missing"
)


def quiet_lightning() -> None:
    """Leave out what Lightning logs about hardware that is not there and services that are not used."""
    logging.getLogger("pytorch_lightning").setLevel(logging.WARNING)


@dataclass(frozen=True)
class _Step:
    """What srun started: so many processes, on so many nodes."""

    tasks: int
    nodes: int


class _StepEnvironment(SLURMEnvironment):
    """A step of srun. Lightning's own class goes by what sbatch was asked for, and queues jobs again.

    It saves in a signal handler for that, where processes wait for ever.
    """

    def __init__(self, step: _Step) -> None:
        self._step = step
        super().__init__(auto_requeue=False)

    def world_size(self) -> int:
        """Count the processes of the step."""
        return self._step.tasks

    def validate_settings(self, num_devices: int, num_nodes: int) -> None:
        """Refuse another number of processes than srun has started."""
        step = self._step
        if (num_devices, num_nodes) != (step.tasks // step.nodes, step.nodes):
            raise ValueError(
                f"srun started {step.tasks} processes on {step.nodes} nodes, and the options ask for "
                f"{num_devices} devices on each of {num_nodes}; leave out trainer.devices and trainer.num_nodes"
            )

    @staticmethod
    def _validate_srun_used() -> None:
        """Leave it out: `_step` has seen that."""

    @staticmethod
    def _validate_srun_variables() -> None:
        """Leave it out: `_step` has read them."""


def launched(trainer: TrainerConfig) -> dict[str, int]:
    """Devices and hosts as torchrun or srun started processes for, where the options leave them open."""
    if trainer.devices != "auto" or trainer.num_nodes != 1:
        return {}
    if TorchElasticEnvironment.detect():
        here, world = _needed("LOCAL_WORLD_SIZE"), _needed("WORLD_SIZE")
        if not 0 < here <= world:
            raise InputError(f"WORLD_SIZE={world} and LOCAL_WORLD_SIZE={here} do not fit; torchrun sets both")
        return {"devices": here, "num_nodes": world // here}
    if step := _step():
        return {"devices": step.tasks // step.nodes, "num_nodes": step.nodes}
    return {}


def cluster_plugins() -> list[Any]:
    """Give what tells Lightning how this process was started, where Lightning would be wrong about it.

    It takes any process in an allocation of Slurm for one of many that srun started, and waits for the others.
    """
    if TorchElasticEnvironment.detect():
        return []
    if step := _step():
        return [_StepEnvironment(step)]
    return [LightningEnvironment()] if "SLURM_NTASKS" in os.environ else []


@contextmanager
def command_of(config: RunConfig) -> Iterator[list[str]]:
    """Give the words of a call that trains by this configuration, which lies in a file for so long."""
    with tempfile.TemporaryDirectory(prefix="amazon-ml-") as folder:
        file = Path(folder) / "config.yaml"
        file.write_text(config_text(config), encoding="utf-8")
        yield ["train", "--config", str(file), "--run", str(config.folder)]


def check_accelerator(trainer: TrainerConfig) -> None:
    """Refuse a GPU that is not there, before anything is read.

    Raises
    ------
    InputError
        With the options that train without one.
    """
    name = trainer.accelerator
    there = {"cuda": torch.cuda.is_available(), "mps": torch.backends.mps.is_available()}
    there["gpu"] = any(there.values())
    if not there.get(name, True):
        raise InputError(_NO_GPU.format(name=name))


def check_tasks(trainer: TrainerConfig) -> None:
    """Refuse to train in one process of an allocation that is for several, unless one is what is requested.

    Raises
    ------
    InputError
        With both ways out.
    """
    tasks = _number("SLURM_NTASKS") or 1
    if tasks == 1 or _step() or TorchElasticEnvironment.detect():
        return
    devices, by_hand = _devices(trainer.devices), os.environ.get("SLURM_JOB_NAME") in _BY_HAND
    if trainer.num_nodes == 1 and (devices == 1 or (by_hand and devices)):
        return
    raise InputError(
        f"this allocation of Slurm is for {tasks} tasks (SLURM_NTASKS), and this is one process that srun did not "
        "start: start it with srun, or with `trainer.devices` 1 `trainer.num_nodes` 1"
    )


#: Variables of launchers that start every process of a job, and whether this one is one of several by them.
_WORLD = {"WORLD_SIZE": "RANK", "OMPI_COMM_WORLD_SIZE": "OMPI_COMM_WORLD_RANK", "PMI_SIZE": "PMI_RANK"}


def check_world(trainer: TrainerConfig, joined: int) -> None:
    """Refuse to train alone in a process that a launcher started as one of several.

    A number of devices or of nodes that is requested says what is meant, and so does a launcher that is understood.

    Parameters
    ----------
    trainer
        Options of the trainer.
    joined
        How many processes work together.

    Raises
    ------
    InputError
        With the variables that say so, and both ways out.
    """
    if joined > 1 or trainer.num_nodes != 1 or _devices(trainer.devices) or TorchElasticEnvironment.detect():
        return
    if _step():
        return
    for size, place in _WORLD.items():
        if place == "PMI_RANK" and "SLURM_NTASKS" in os.environ:  # srun sets it, and `check_tasks` has seen to it
            continue
        if place in os.environ and (_number(size) or 1) > 1:
            raise InputError(
                f"{size}={os.environ[size]} and {place}={os.environ[place]} in the environment say that this is one "
                "process of several, and nothing joins them: start them with torchrun or srun, let this one start "
                "them with `trainer.devices`, or train in this process alone with `trainer.devices` 1"
            )


def check_address(name: str) -> None:
    """Refuse a first host whose name is not known here: connecting to it would be tried for half an hour.

    Raises
    ------
    InputError
        After `_RESOLVES` seconds at most, with the name.
    """
    found: list[object] = []
    failed: list[OSError] = []

    def resolve() -> None:
        try:
            found.extend(socket.getaddrinfo(name, None))
        except OSError as error:
            failed.append(error)
        except UnicodeError:  # an empty part between dots, or one that is too long
            failed.append(OSError("it is no host name"))

    asking = threading.Thread(target=resolve, daemon=True)  # a name server may keep it waiting for minutes
    asking.start()
    asking.join(_RESOLVES)
    if not found:
        reason = (failed[0].strerror or failed[0]) if failed else f"no answer in {_RESOLVES} s"
        raise InputError(
            f"the first host of this job is {name!r}, and that name does not resolve here ({reason}): set MASTER_ADDR "
            "to an address that all hosts reach it by"
        )


def _step() -> _Step | None:
    """Tell of the step of srun that this process is one of several of."""
    number = _number("SLURM_STEP_ID")
    if number is None or number >= _SPECIAL_STEPS or os.environ.get("SLURM_JOB_NAME") in _BY_HAND:
        return None
    tasks = _number("SLURM_STEP_NUM_TASKS") or _number("SLURM_NTASKS") or 1
    if tasks == 1:
        return None
    nodes = _number("SLURM_STEP_NUM_NODES") or _number("SLURM_NNODES") or 1
    for name in _PLACE:
        _needed(name)
    if tasks % nodes:
        raise InputError(
            f"srun started {tasks} processes on {nodes} nodes, which is not the same number on each; use "
            "--ntasks-per-node"
        )
    return _Step(tasks, nodes)


def _devices(devices: int | str | list[int]) -> int | None:
    """Count the devices that are requested by number or by name; none where that is left open."""
    if isinstance(devices, list):
        return len(devices)
    parts = [part for part in str(devices).split(",") if part.strip()]
    if len(parts) > 1 or str(devices).rstrip().endswith(","):
        return len(parts)
    return int(devices) if str(devices).strip().isdigit() else None


def _number(variable: str) -> int | None:
    """Read a number from the environment; none where it is not set."""
    text = os.environ.get(variable, "")
    if text and not text.isdigit():
        raise InputError(f"{variable} is {text!r} in the environment, and not a number; a launcher sets it")
    return int(text) if text else None


def _needed(variable: str) -> int:
    number = _number(variable)
    if number is None:
        raise InputError(
            f"{variable} is not set in the environment, though a launcher started this process; it sets it"
        )
    return number
