"""Finds how this process was started (torchrun, srun or alone), and checks that the options can run in it."""

import logging
import os
import socket
import sys
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

#: First number of steps of Slurm that are no steps of srun: the batch script itself, or the shell of an allocation.
_SPECIAL_STEPS = 2**32 - 16
#: Names of interactive jobs, as in Lightning.
_BY_HAND = ("bash", "interactive")
#: Variables with the place of a process of srun.
_PLACE = ("SLURM_PROCID", "SLURM_LOCALID", "SLURM_NODEID")
#: Seconds in which a name server must find the first host.
_RESOLVES = 20
_NO_GPU = (
    "train on the CPU with `trainer.accelerator` cpu, or start from configs/thumbnails.yaml, which is made for one; "
    "if there is a GPU, nvidia-smi and torch.cuda.is_available() show what is missing"
)


def quiet_lightning() -> None:
    """Silence log lines of Lightning about missing hardware and unused services."""
    logging.getLogger("pytorch_lightning").setLevel(logging.WARNING)


@dataclass(frozen=True)
class _Step:
    """A step of srun: numbers of processes and of nodes."""

    tasks: int
    nodes: int


class _StepEnvironment(SLURMEnvironment):
    """A step of srun, instead of Lightning's class for Slurm.

    Lightning's class uses the request of sbatch, and puts jobs into the queue again; for that it saves in a signal
    handler, where processes wait forever.
    """

    def __init__(self, step: _Step) -> None:
        self._step = step
        super().__init__(auto_requeue=False)

    def world_size(self) -> int:
        """Count the processes of the step."""
        return self._step.tasks

    def validate_settings(self, num_devices: int, num_nodes: int) -> None:
        """Check that the options fit the number of processes of srun."""
        step = self._step
        if (num_devices, num_nodes) != (step.tasks // step.nodes, step.nodes):
            raise ValueError(
                f"srun started {step.tasks} processes on {step.nodes} nodes, but the options request "
                f"{num_devices} devices on each of {num_nodes}; omit `trainer.devices` and `trainer.num_nodes`"
            )

    @staticmethod
    def _validate_srun_used() -> None:
        """Do nothing: `_step` has checked that."""

    @staticmethod
    def _validate_srun_variables() -> None:
        """Do nothing: `_step` has read the variables."""


def launched(trainer: TrainerConfig) -> dict[str, int]:
    """Return the numbers of devices and hosts of torchrun or srun, if the options do not set them."""
    if trainer.devices != "auto" or trainer.num_nodes != 1:
        return {}
    if TorchElasticEnvironment.detect():
        here, world = _needed("LOCAL_WORLD_SIZE"), _needed("WORLD_SIZE")
        if not 0 < here <= world:
            problem = f"WORLD_SIZE={world} and LOCAL_WORLD_SIZE={here} do not fit"
            raise InputError(problem, remedy="torchrun sets both")
        return {"devices": here, "num_nodes": world // here}
    if step := _step():
        return {"devices": step.tasks // step.nodes, "num_nodes": step.nodes}
    return {}


def is_launched() -> bool:
    """Whether torchrun or srun started this process together with others."""
    return TorchElasticEnvironment.detect() or _step() is not None


def cluster_plugins() -> list[Any]:
    """Return the plugins that describe to Lightning how this process was started, where its guess would be wrong.

    In an allocation of Slurm, Lightning assumes that srun started this process with others, and waits for them.
    """
    if TorchElasticEnvironment.detect():
        return []
    if step := _step():
        return [_StepEnvironment(step)]
    return [LightningEnvironment()] if "SLURM_NTASKS" in os.environ else []


@contextmanager
def command_of(config: RunConfig) -> Iterator[list[str]]:
    """Yield the arguments of a call that trains with this configuration, which is in a temporary file meanwhile."""
    with tempfile.TemporaryDirectory(prefix="amazon-ml-") as folder:
        file = Path(folder) / "config.yaml"
        file.write_text(config_text(config), encoding="utf-8")
        yield ["train", "--config", str(file), "--run", str(config.folder)]


def check_accelerator(trainer: TrainerConfig) -> None:
    """Check that the requested GPU exists, before data is read.

    Raises
    ------
    InputError
        If it does not, with the options that train without one.
    """
    name = trainer.accelerator
    there = {"cuda": torch.cuda.is_available(), "mps": torch.backends.mps.is_available()}
    there["gpu"] = any(there.values())
    if not there.get(name, True):
        problem = f"`trainer.accelerator` is {name}, but PyTorch finds no GPU here"
        raise InputError(problem, option="trainer.accelerator", remedy=_NO_GPU)


def check_tasks(trainer: TrainerConfig) -> None:
    """Check that one process of an allocation for several does not train alone, unless one is requested.

    Raises
    ------
    InputError
        If it would, with both remedies.
    """
    tasks = _number("SLURM_NTASKS") or 1
    if tasks == 1 or _step() or TorchElasticEnvironment.detect():
        return
    devices, by_hand = _devices(trainer.devices), os.environ.get("SLURM_JOB_NAME") in _BY_HAND
    if trainer.num_nodes == 1 and (devices == 1 or (by_hand and devices)):
        return
    raise InputError(
        f"this allocation of Slurm is for {tasks} tasks (SLURM_NTASKS), but srun did not start this process",
        option="trainer.devices",
        remedy="start it with srun, or with `trainer.devices` 1 `trainer.num_nodes` 1",
    )


def check_notebook(trainer: TrainerConfig) -> None:
    """Check that no notebook and no prompt of Python has to start other processes: Lightning cannot do it from there.

    Raises
    ------
    InputError
        If it has to, with both remedies.
    """
    if not (hasattr(sys, "ps1") or sys.flags.interactive) or is_launched():
        return
    devices = torch.cuda.device_count() if str(trainer.devices).strip() == "-1" else _devices(trainer.devices) or 1
    one_process = trainer.strategy == "auto" or trainer.strategy.startswith("single")
    if devices > 1 or trainer.num_nodes > 1 or not one_process:
        raise InputError(
            "several processes cannot be started from a notebook or a prompt of Python", option="trainer.devices",
            remedy="run amazon-ml train in a shell; or set `trainer.devices` 1, `trainer.num_nodes` 1 and "
            "`trainer.strategy` auto",
        )  # fmt: skip


#: Variables of launchers that start every process of a job: number of processes, and number of this process.
_WORLD = {"WORLD_SIZE": "RANK", "OMPI_COMM_WORLD_SIZE": "OMPI_COMM_WORLD_RANK", "PMI_SIZE": "PMI_RANK"}


def check_world(trainer: TrainerConfig, joined: int) -> None:
    """Check that a process that a launcher started as one of several does not train alone.

    This is allowed if the options set the number of devices or of nodes, or the launcher is known.

    Parameters
    ----------
    trainer
        Options of the trainer.
    joined
        Number of processes that work together.

    Raises
    ------
    InputError
        If it would, with the variables of the launcher, and the remedies.
    """
    if joined > 1 or trainer.num_nodes != 1 or _devices(trainer.devices) or TorchElasticEnvironment.detect():
        return
    if _step():
        return
    for size, place in _WORLD.items():
        if place == "PMI_RANK" and "SLURM_NTASKS" in os.environ:  # srun sets it, and `check_tasks` has checked it
            continue
        if place in os.environ and (_number(size) or 1) > 1:
            raise InputError(
                f"by {size}={os.environ[size]} and {place}={os.environ[place]} in the environment, this is one process "
                "of several, but they are not connected", option="trainer.devices",
                remedy="start them with torchrun or srun, let this one start them with `trainer.devices`, or train in "
                "this process alone with `trainer.devices` 1",
            )  # fmt: skip


def check_address(name: str) -> None:
    """Check that the name of the first host is known here; otherwise connecting would be tried for half an hour.

    Raises
    ------
    InputError
        If it is not, after at most `_RESOLVES` seconds.
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

    resolver = threading.Thread(target=resolve, daemon=True)  # a name server may take minutes to answer
    resolver.start()
    resolver.join(_RESOLVES)
    if not found:
        reason = (failed[0].strerror or failed[0]) if failed else f"no answer in {_RESOLVES} s"
        problem = f"the first host of this job is {name!r}, but that name does not resolve here ({reason})"
        raise InputError(problem, remedy="set MASTER_ADDR to an address by which all hosts reach it")


def _step() -> _Step | None:
    """Return the step of srun if this process is one of several in it, else None."""
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
        problem = f"srun started {tasks} processes on {nodes} nodes, which is not the same number on each"
        raise InputError(problem, remedy="use --ntasks-per-node of srun")
    return _Step(tasks, nodes)


def _devices(devices: int | str | list[int]) -> int | None:
    """Count the requested devices, given by number or by name; None if the options do not set them."""
    if isinstance(devices, list):
        return len(devices)
    parts = [part for part in str(devices).split(",") if part.strip()]
    if len(parts) > 1 or str(devices).rstrip().endswith(","):
        return len(parts)
    return int(devices) if str(devices).strip().isdigit() else None


def _number(variable: str) -> int | None:
    """Read a number from the environment; None if it is not set."""
    text = os.environ.get(variable, "")
    if text and not text.isdigit():
        problem = f"{variable} is {text!r} in the environment, not a number"
        raise InputError(problem, remedy="a launcher sets it")
    return int(text) if text else None


def _needed(variable: str) -> int:
    number = _number(variable)
    if number is None:
        problem = f"{variable} is not set in the environment, although a launcher started this process"
        raise InputError(problem, remedy="the launcher sets it")
    return number
