"""A real Slurm of two nodes on this machine, for as long as the tests take: its daemons are children of the tests."""

import getpass
import os
import secrets
import shutil
import socket
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

#: Where the daemons lie, too.
PATH = f"{os.environ['PATH']}:/usr/sbin:/sbin"
DAEMONS = ("munged", "slurmctld", "slurmd")
NODES = ("c1", "c2")

#: Both nodes are this machine, each on a port of its own. A job of the partition `urgent` pushes those of `gpu` out.
#: `cred_expire` is also the time that a job waits before it starts again, and 5 s the least of it.
CONF = """\
ClusterName=tests
SlurmctldHost={host}(127.0.0.1)
SlurmctldPort={port}
SlurmUser={user}
SlurmdUser={user}
AuthType=auth/munge
CredType=cred/munge
AuthInfo=socket={folder}/munge.sock,cred_expire=5
StateSaveLocation={folder}/state
SlurmdSpoolDir={folder}/spool.%n
SlurmctldPidFile={folder}/slurmctld.pid
SlurmdPidFile={folder}/slurmd.%n.pid
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
JobAcctGatherType=jobacct_gather/none
SelectType=select/cons_tres
SelectTypeParameters=CR_Core
SlurmdParameters=config_overrides
MpiDefault=none
GresTypes=gpu
SwitchType=switch/none
ReturnToService=2
KillWait=20
MessageTimeout=60
MinJobAge=3600
SchedulerType=sched/backfill
SchedulerParameters=batch_sched_delay=0,bf_interval=1,sched_interval=1,sched_min_interval=0
PreemptType=preempt/partition_prio
PreemptMode=REQUEUE
AccountingStorageType=accounting_storage/none
{nodes}
PartitionName=gpu Nodes=ALL Default=YES MaxTime=INFINITE State=UP PriorityTier=1 PreemptMode=REQUEUE GraceTime=600
PartitionName=urgent Nodes=ALL MaxTime=INFINITE State=UP PriorityTier=10 PreemptMode=OFF
"""
NODE = "NodeName={name} NodeHostname={host} NodeAddr=127.0.0.1 Port={port} CPUs=4 RealMemory=4000 Gres=gpu:2"


def missing_daemons() -> list[str]:
    """List what is not installed."""
    return [name for name in DAEMONS if not shutil.which(name, path=PATH)]


@contextmanager
def running_cluster() -> Iterator[dict[str, str]]:
    """Start a cluster; gives the variables by which sbatch and its like find it."""
    # Not in a folder of pytest's, which lets nobody in: munged insists that anybody can reach its socket.
    with tempfile.TemporaryDirectory(prefix="slurm-") as folder, _running(Path(folder)) as environment:
        yield environment


@contextmanager
def _running(folder: Path) -> Iterator[dict[str, str]]:
    _configure(folder)
    environment = {"PATH": PATH, "SLURM_CONF": str(folder / "slurm.conf")}
    files = (("key-file", "munge.key"), ("socket", "munge.sock"), ("pid-file", "munged.pid"),
             ("log-file", "munged.log"), ("seed-file", "munge.seed"))  # fmt: skip
    commands = [
        ["munged", "--foreground", *(f"--{option}={folder / file}" for option, file in files)],
        ["slurmctld", "-D", "-c"],
        *(["slurmd", "-D", "-N", node] for node in NODES),
    ]
    daemons = []
    with (folder / "daemons.log").open("ab") as log:
        try:
            for command in commands:
                daemons.append(subprocess.Popen(command, env=os.environ | environment, stdout=log, stderr=log))
                if command[0] == "munged":
                    wait_until((folder / "munge.sock").exists, 20, "munged answers")
            wait_until(lambda: _idle(environment) == len(NODES), 60, f"all nodes are idle; see {log.name}")
            yield environment
        finally:
            _asked(environment, "scancel", "--user", getpass.getuser())
            wait_until(lambda: not _asked(environment, "squeue", "--noheader"), 60, "no job is left")
            for daemon in reversed(daemons):
                daemon.terminate()
                daemon.wait(20)


def wait_until(holds: Callable[[], object], seconds: float, told: str, every: float = 0.1) -> None:
    """Wait for something; a test fails that waits in vain."""
    end = time.monotonic() + seconds
    while not holds():
        assert time.monotonic() < end, f"waited {seconds} s until {told}"
        time.sleep(every)


def _configure(folder: Path) -> None:
    folder.chmod(0o755)
    (folder / "state").mkdir()
    (folder / "munge.key").write_bytes(secrets.token_bytes(128))
    (folder / "munge.key").chmod(0o600)
    host, ports = socket.gethostname().split(".")[0], _free_ports(1 + len(NODES))
    nodes = [NODE.format(name=name, host=host, port=port) for name, port in zip(NODES, ports[1:], strict=True)]
    content = CONF.format(host=host, port=ports[0], user=getpass.getuser(), folder=folder, nodes="\n".join(nodes))
    (folder / "slurm.conf").write_text(content)
    for number in range(2):
        (folder / f"gpu{number}").touch()  # pretended: a GPU is counted, and never used
    (folder / "gres.conf").write_text(f"Name=gpu File={folder}/gpu[0-1]\n")


def _free_ports(count: int) -> list[int]:
    sockets = [socket.socket() for _ in range(count)]
    for each in sockets:
        each.bind(("127.0.0.1", 0))
    ports = [int(each.getsockname()[1]) for each in sockets]
    for each in sockets:
        each.close()
    return ports


def _idle(environment: dict[str, str]) -> int:
    return len(set(_asked(environment, "sinfo", "-h", "-N", "-p", "gpu", "-t", "idle", "-o", "%N").split()))


def _asked(environment: dict[str, str], *command: str) -> str:
    return subprocess.run(command, env=os.environ | environment, capture_output=True, text=True).stdout
