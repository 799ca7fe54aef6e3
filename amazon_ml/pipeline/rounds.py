"""Rounds of learning from a teacher: the student of each round is the teacher of the next one."""

import logging
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

from amazon_ml.decisions.paired import Difference
from amazon_ml.decisions.rules import DEFAULT_RULE
from amazon_ml.errors import InputError
from amazon_ml.pipeline.train import RunResult, train
from amazon_ml.runs.compare import compare_runs
from amazon_ml.runs.config import RunConfig
from amazon_ml.runs.folder import Run
from amazon_ml.training.launch import is_launched

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Round:
    """One round.

    Parameters
    ----------
    student
        The run that was trained.
    teacher
        The folder of its teacher.
    minus_teacher
        Cross-fitted F-beta of the student minus that of the teacher, on the tiles that both held out.
    """

    student: RunResult
    teacher: Path
    minus_teacher: Difference


def train_rounds(config: RunConfig, rounds: int) -> Iterator[Round]:
    """Train a student, make it the teacher of the next one, and so on, as long as it is better than its teacher.

    Each round is a run of its own: ``RUN-1``, ``RUN-2`` and so on. The same call resumes them. No round follows one
    whose paired difference to its teacher is not above noise.

    Parameters
    ----------
    config
        Options of every round; `data.teacher` is the teacher of the first one, and `run` the start of the names.
    rounds
        Most rounds.

    Yields
    ------
    Round
        When it is trained and compared.

    Raises
    ------
    InputError
        For options that cannot be, and as `train` does.
    """
    _check_rounds(config, rounds)
    teacher = Path(str(config.data.teacher))
    for number in range(1, rounds + 1):
        folder = config.folder.with_name(f"{config.folder.name}-{number}")
        student = train(replace(config, run=str(folder), data=replace(config.data, teacher=str(teacher))))
        compared = compare_runs([Run(teacher), Run(folder)], DEFAULT_RULE)["runs"][1]["minus_first"]
        assert compared is not None  # only the first of the compared runs has none
        difference = compared["cross_fitted"]
        low, high = difference["interval"]
        log.info("round %d: %s minus %s is %+.4f (%+.4f to %+.4f): %s", number, folder, teacher, difference["value"],
                 low, high, difference["verdict"])  # fmt: skip
        yield Round(student, teacher, difference)
        if difference["verdict"] != "higher":
            if number < rounds:
                log.info("no further round: the student is not better than its teacher by more than noise")
            return
        teacher = folder


def _check_rounds(config: RunConfig, rounds: int) -> None:
    if rounds < 1:
        raise InputError(f"`rounds` must be at least 1, not {rounds}", option="rounds")
    if not config.folder.name or config.folder.name == "..":
        raise InputError(f"`run` {config.folder} has no name that the numbers of the rounds can follow", option="run",
                         remedy="name a folder, such as runs/student")  # fmt: skip
    if config.data.teacher is None:
        raise InputError("`rounds` needs the teacher of the first round", option="data.teacher",
                         remedy="name a run with `data.teacher`")  # fmt: skip
    if not config.data.validate:
        raise InputError("rounds are compared on held-out tiles, and the run holds out none", option="data.validate",
                         remedy="leave `data.validate` out, or train each round by itself")  # fmt: skip
    if is_launched():
        raise InputError(
            "torchrun and srun start the processes of one training, not of several rounds", option="rounds",
            remedy="train each round by itself: the next one with `data.teacher` RUN-1 and `run` RUN-2",
        )  # fmt: skip
    teacher = Run(Path(config.data.teacher))
    if teacher.config.exists() and (beta := teacher.read_config().beta) != config.beta:
        raise InputError(f"rounds compare scores of one beta: the teacher has {beta:g}, the student {config.beta:g}",
                         option="beta", remedy="give the `beta` of the teacher")  # fmt: skip
