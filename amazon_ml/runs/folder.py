"""The run folder: what lies where, and how its tables are read."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from amazon_ml.errors import InputError
from amazon_ml.labels import MultiHot, TagSet
from amazon_ml.runs.config import RunConfig
from amazon_ml.runs.config_file import read_config
from amazon_ml.runs.hashes import check_recorded, write_table
from amazon_ml.runtime.files import read_json
from amazon_ml.runtime.locks import is_locked
from amazon_ml.runtime.regular_files import check_regular


class _Record(dict[str, Any]):
    """What a file of a run tells, with its sections: a key that is asked for and is not there is an `InputError`."""

    def __init__(self, file: Path, content: dict[str, Any], section: str = "") -> None:
        deeper = not section
        super().__init__(
            (key, _Record(file, value, f"{key}.") if deeper and isinstance(value, dict) else value)
            for key, value in content.items()
        )
        self._file, self._section = file, section

    def __missing__(self, key: str) -> Any:
        raise InputError(f"{self._file} lacks {self._section}{key}; put the file back as the run wrote it")


@dataclass(frozen=True)
class Run:
    """Paths in a run folder; nothing is read or made by naming them."""

    path: Path

    @property
    def config(self) -> Path:
        """What was asked."""
        return self.path / "config.yaml"

    @property
    def provenance(self) -> Path:
        """What it was done with: versions, hashes, commands."""
        return self.path / "provenance.json"

    @property
    def folds(self) -> Path:
        """Which tile is held out in which fold."""
        return self.path / "folds.csv"

    @property
    def bands(self) -> Path:
        """How tiles are read."""
        return self.path / "bands.json"

    @property
    def tiles(self) -> Path:
        """Sizes, times and hashes of the tiles' files when training began."""
        return self.path / "tiles.parquet"

    @property
    def truth(self) -> Path:
        """The labelled tiles and their tags, as they were read."""
        return self.path / "truth.csv"

    @property
    def oof(self) -> Path:
        """Out-of-fold probabilities of the labelled tiles."""
        return self.path / "oof.parquet"

    @property
    def test(self) -> Path:
        """Probabilities of the untagged tiles, averaged over folds."""
        return self.path / "test.parquet"

    @property
    def blend(self) -> Path:
        """The runs that this one is made of, and how; only a blend has it."""
        return self.path / "blend.json"

    @property
    def decision(self) -> Path:
        """The rule that turns probabilities into tags."""
        return self.path / "decision.json"

    @property
    def metrics(self) -> Path:
        """The scores."""
        return self.path / "metrics.json"

    @property
    def bundle(self) -> Path:
        """What one hands to somebody else."""
        return self.path / "bundle"

    @property
    def picture(self) -> Path:
        """Held-out tiles with their true and predicted tags."""
        return self.path / "tiles.png"

    @property
    def report(self) -> Path:
        """All of this on one page, to look at."""
        return self.path / "report.html"

    @property
    def audit(self) -> Path:
        """Labels that the networks contradict."""
        return self.path / "audit.csv"

    @property
    def audit_page(self) -> Path:
        """The same, to look at."""
        return self.path / "audit.html"

    @property
    def submission(self) -> Path:
        """Tags of the untagged tiles, in Kaggle's form."""
        return self.path / "submission.csv"

    @property
    def submissions(self) -> Path:
        """What was sent to Kaggle, and its scores."""
        return self.path / "submissions.json"

    def fold(self, number: int) -> "FoldFolder":
        """Give the folder of one fold."""
        return FoldFolder(self.path / f"fold-{number}")

    def finished_folds(self) -> list["FoldFolder"]:
        """List the folds whose network is trained and has predicted its held-out tiles."""
        return [fold for fold in self._folds() if fold.weights.exists() and fold.valid.exists()]

    def lost_networks(self) -> list[Path]:
        """List weights that are gone, though their network has predicted its held-out tiles."""
        return [fold.weights for fold in self._folds() if fold.valid.exists() and not fold.weights.exists()]

    def begun(self) -> bool:
        """Whether there is any training to lose, or a process at work on a fold."""
        return any(fold.weights.exists() or fold.last.exists() or is_locked(fold.lock) for fold in self._folds())

    def _folds(self) -> list["FoldFolder"]:
        numbers = [re.fullmatch(r"fold-(\d+)", path.name) for path in self.path.glob("fold-*")]
        return [self.fold(number) for number in sorted(int(match[1]) for match in numbers if match)]

    def begun_folds(self) -> list["FoldFolder"]:
        """List the folds that have weights or a checkpoint."""
        return [fold for fold in self._folds() if fold.weights.exists() or fold.last.exists()]

    def trusted(self) -> list[Path]:
        """List the files that later steps trust, those of the folds included; each has a hash."""
        own = (self.config, self.provenance, self.folds, self.bands, self.tiles, self.truth, self.blend, self.test,
               self.oof, self.decision, self.metrics)  # fmt: skip
        return [path for path in own if path.is_file()] + [path for fold in self._folds() for path in fold.trusted()]

    def read_config(self, *, checked: bool = True) -> RunConfig:
        """Read what was asked; an `InputError` where this is no run, or one whose options were changed."""
        config = read_config(self.config)
        if checked:
            check_recorded(self.config)
        return config

    def read_provenance(self, *, checked: bool = True) -> dict[str, Any]:
        """Read what the run was made with; an `InputError` where its provenance is not that of a run."""
        if checked:
            check_recorded(self.provenance)
        facts = read_json(self.provenance)
        if not isinstance(facts, dict) or not isinstance(facts.get("data"), dict):
            raise InputError(f"{self.provenance} is not the provenance of a run")
        return _Record(self.provenance, facts)

    def tags(self) -> tuple[str, ...]:
        """Read the tags that the run's networks were trained for, in the order of their outputs."""
        tags = self.read_provenance()["data"]["tags"]
        if not isinstance(tags, dict) or not tags:
            raise InputError(f"{self.provenance} does not tell the tags of a run")
        return tuple(tags)


@dataclass(frozen=True)
class FoldFolder:
    """Paths in the folder of one fold."""

    path: Path

    @property
    def number(self) -> int:
        """The fold that is held out."""
        return int(self.path.name.removeprefix("fold-"))

    @property
    def lock(self) -> Path:
        """Held by the process that trains the fold."""
        return self.path / ".lock"

    @property
    def checkpoints(self) -> Path:
        """Where training resumes."""
        return self.path / "checkpoints"

    @property
    def last(self) -> Path:
        """The checkpoint to resume from."""
        return self.checkpoints / "last.ckpt"

    @property
    def weights(self) -> Path:
        """The trained network; its presence says that training is done."""
        return self.path / "model.safetensors"

    @property
    def metrics(self) -> Path:
        """Learning curves."""
        return self.path / "metrics.csv"

    @property
    def per_tag(self) -> Path:
        """Figures of each tag after each epoch."""
        return self.path / "per_tag.csv"

    @property
    def loggers(self) -> Path:
        """Under which names logging services know this fold."""
        return self.path / "loggers.json"

    @property
    def valid(self) -> Path:
        """Probabilities of the held-out tiles."""
        return self.path / "valid.parquet"

    @property
    def test(self) -> Path:
        """Probabilities of the untagged tiles."""
        return self.path / "test.parquet"

    def trusted(self) -> list[Path]:
        """List the files that later steps trust."""
        return [path for path in (self.weights, self.valid, self.test) if path.is_file()]


#: Between tags in truth.csv; a tag cannot hold it.
_SEPARATOR = "|"


def check_trained(run: Run) -> None:
    """Check what a begun run goes on from: what its folds share, and what they hold."""
    for path in (run.provenance, run.tiles):
        if not path.exists():
            raise InputError(f"{path} is gone; put it back, or choose another `run`")
    for path in (run.provenance, run.folds, run.bands, run.tiles):
        check_recorded(path)
    for fold in run.begun_folds():
        for path in fold.trusted():
            check_recorded(path, sources=False)  # probabilities of a former network are made anew
    check_recorded(run.decision, sources=False)  # the next one is of the same rule


def write_truth(run: Run, names: pd.Series, tags: TagSet, targets: MultiHot) -> None:
    """Write the labelled tiles and their tags."""
    strings = tags.decode(targets, separator=_SEPARATOR)
    write_table(run.truth, pd.DataFrame({"image_name": names, "tags": strings}))


def read_truth(run: Run) -> pd.Series:
    """Read the tag strings of the labelled tiles, by name."""
    check_regular(run.truth)
    check_recorded(run.truth)
    try:
        table = pd.read_csv(run.truth, dtype=str, keep_default_na=False)
        return table.set_index("image_name")["tags"]
    except OSError:
        raise InputError(f"there is no {run.truth}") from None
    except (KeyError, ValueError) as error:
        raise InputError(f"{run.truth} is not a table of tiles and their tags: {str(error).strip()}") from None


def read_targets(run: Run) -> pd.DataFrame:
    """Read the tags of the labelled tiles as a multi-hot table, one row a name and one column a tag."""
    tags, truth = run.tags(), read_truth(run)
    return pd.DataFrame(_encode(tags, truth), index=truth.index, columns=list(tags))


def read_oof(run: Run) -> tuple[pd.Series, tuple[str, ...], npt.NDArray[np.float32], MultiHot]:
    """Read names, tags, out-of-fold probabilities and the truth of the same tiles."""
    if not run.oof.exists():
        raise InputError(f"there is no {run.oof}: {run.path} is not finished; the command that began it goes on")
    tags = run.tags()
    names, p = read_probabilities(run.oof, tags)
    truth = read_truth(run)
    wrong = names.duplicated() | ~names.isin(truth.index[~truth.index.duplicated(keep=False)])
    if wrong.any():
        raise InputError(
            f"{run.oof} does not fit {run.truth}: {names[wrong].iloc[0]} is not there once in both; "
            "the command that trained the run writes them anew"
        )
    return names, tags, p, _encode(tags, truth.loc[names])


def _encode(tags: Sequence[str], truth: pd.Series) -> MultiHot:
    return TagSet(tuple(tags)).encode(truth.tolist(), separator=_SEPARATOR)


def probability_table(
    names: Sequence[str] | pd.Series, tags: Sequence[str], values: npt.NDArray[np.float32]
) -> pd.DataFrame:
    """Probabilities as they are stored: ``image_name`` and one float32 column a tag."""
    table = pd.DataFrame(values, columns=list(tags))
    table.insert(0, "image_name", list(names))
    return table


_ANEW = "delete it, and the command that made it writes it anew"


def read_probabilities(path: Path, tags: Sequence[str]) -> tuple[pd.Series, npt.NDArray[np.float32]]:
    """Read names and probabilities, shape (tiles, tags); refused when the tags are others, or a value is none."""
    check_regular(path)
    check_recorded(path)
    try:
        table = pd.read_parquet(path)
    except FileNotFoundError:
        raise InputError(f"there is no {path}") from None
    except (ValueError, OSError) as error:
        raise InputError(f"{path} is not a table of probabilities ({error}); {_ANEW}") from None
    if list(table.columns) != ["image_name", *tags]:
        raise InputError(f"{path} holds other tags than asked: {', '.join(map(str, table.columns[1:]))}")
    names = table["image_name"]
    try:
        p = table[list(tags)].to_numpy(dtype=np.float32)
    except ValueError as error:
        raise InputError(f"{path} is not a table of probabilities ({error}); {_ANEW}") from None
    wrong = ~((p >= 0) & (p <= 1)).all(axis=1)
    if wrong.any():
        raise InputError(
            f"{path}: {wrong.sum():,} of {len(p):,} tiles, such as {names.iloc[wrong.argmax()]}, have "
            "probabilities that are not in 0..1; the file is damaged, or the network diverged "
            "(then train anew with a lower model.lr)"
        )
    return names, p
