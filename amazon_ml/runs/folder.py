"""The run folder: the paths of its files, and readers of its tables."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pandas as pd

from amazon_ml.errors import InputError
from amazon_ml.labels import MultiHot, TagSet
from amazon_ml.runs.config import RunConfig
from amazon_ml.runs.config_file import read_config
from amazon_ml.runs.hash_remedies import missing
from amazon_ml.runs.hashes import check_recorded, write_table
from amazon_ml.runs.provenance_file import Provenance, read_provenance
from amazon_ml.runtime.locks import is_locked
from amazon_ml.runtime.regular_files import cannot_read, check_regular


@dataclass(frozen=True)
class Run:
    """Paths in a run folder. To name a path reads and makes nothing."""

    path: Path

    @property
    def config(self) -> Path:
        """The options of the run."""
        return self.path / "config.yaml"

    @property
    def provenance(self) -> Path:
        """Where the run comes from: versions, hashes, commands."""
        return self.path / "provenance.json"

    @property
    def folds(self) -> Path:
        """The fold in which each tile is held out."""
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
    def untagged(self) -> Path:
        """Sizes, times and hashes of the files of the untagged tiles that a teacher tags; other runs lack it."""
        return self.path / "untagged.parquet"

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
    def tested(self) -> Path:
        """The tiles of a published test split and their tags; other runs lack it."""
        return self.path / "tested.csv"

    @property
    def blend(self) -> Path:
        """The runs that a blend is made of, and how; other runs lack it."""
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
        """The networks and the decision, in a folder that needs nothing beside it."""
        return self.path / "bundle"

    @property
    def picture(self) -> Path:
        """Held-out tiles with their true and predicted tags."""
        return self.path / "tiles.png"

    @property
    def report(self) -> Path:
        """The page of the run, for a browser."""
        return self.path / "report.html"

    @property
    def catalog(self) -> Path:
        """The tiles, as the processes that train together map them; each start writes it anew."""
        return self.path / "catalog.arrow"

    @property
    def audit(self) -> Path:
        """Labels that the networks contradict, as a table."""
        return self.path / "audit.csv"

    @property
    def audit_page(self) -> Path:
        """Labels that the networks contradict, as a page with the tiles."""
        return self.path / "audit.html"

    @property
    def submission(self) -> Path:
        """Tags of the untagged tiles, in Kaggle's form."""
        return self.path / "submission.csv"

    @property
    def submissions(self) -> Path:
        """The submissions that were sent to Kaggle, and their scores."""
        return self.path / "submissions.json"

    def fold(self, number: int) -> "FoldFolder":
        """Give the folder of one fold."""
        return FoldFolder(self.path / f"fold-{number}")

    def finished_folds(self) -> list["FoldFolder"]:
        """List the folds whose network is trained and has predicted its held-out tiles."""
        return [fold for fold in self._folds() if fold.weights.exists() and fold.valid.exists()]

    def lost_networks(self) -> list[Path]:
        """List weights that are missing although their network has predicted its held-out tiles."""
        return [fold.weights for fold in self._folds() if fold.valid.exists() and not fold.weights.exists()]

    def begun(self) -> bool:
        """Whether any fold has weights or a checkpoint, or a process works on one."""
        return any(fold.weights.exists() or fold.last.exists() or is_locked(fold.lock) for fold in self._folds())

    def _folds(self) -> list["FoldFolder"]:
        numbers = [re.fullmatch(r"fold-(\d+)", path.name) for path in self.path.glob("fold-*")]
        return [self.fold(number) for number in sorted(int(match[1]) for match in numbers if match)]

    def begun_folds(self) -> list["FoldFolder"]:
        """List the folds that have weights or a checkpoint."""
        return [fold for fold in self._folds() if fold.weights.exists() or fold.last.exists()]

    def trusted(self) -> list[Path]:
        """List the files that later steps depend on, with those of the folds; each has a hash."""
        own = (self.config, self.provenance, self.folds, self.bands, self.tiles, self.untagged, self.truth, self.tested,
               self.blend, self.test, self.oof, self.decision, self.metrics)  # fmt: skip
        return [path for path in own if path.is_file()] + [path for fold in self._folds() for path in fold.trusted()]

    def read_config(self, *, checked: bool = True) -> RunConfig:
        """Read the options; an `InputError` where this is no run, or where its options were changed."""
        config = read_config(self.config)
        if checked:
            check_recorded(self.config)
        return config

    def read_provenance(self, *, checked: bool = True) -> Provenance:
        """Read where the run comes from; an `InputError` where the file is not the provenance of a run."""
        if not self.provenance.exists():
            raise missing(self.provenance)
        if checked:
            check_recorded(self.provenance)
        return read_provenance(self.provenance)

    def tags(self) -> tuple[str, ...]:
        """Read the tags that the run's networks were trained for, in the order of their outputs."""
        tags = self.read_provenance()["data"]["tags"]
        if not isinstance(tags, dict) or not tags:
            raise InputError("the file does not hold the tags of a run", file=self.provenance)
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
        """Lock of the process that trains the fold."""
        return self.path / ".lock"

    @property
    def checkpoints(self) -> Path:
        """Folder of the checkpoints."""
        return self.path / "checkpoints"

    @property
    def last(self) -> Path:
        """The checkpoint that training resumes from."""
        return self.checkpoints / "last.ckpt"

    @property
    def weights(self) -> Path:
        """Weights of the trained network; where the file is there, training is done."""
        return self.path / "model.safetensors"

    @property
    def metrics(self) -> Path:
        """Learning curves."""
        return self.path / "metrics.csv"

    @property
    def per_tag(self) -> Path:
        """Scores of each tag after each epoch."""
        return self.path / "per_tag.csv"

    @property
    def loggers(self) -> Path:
        """Names of this fold in logging services."""
        return self.path / "loggers.json"

    @property
    def valid(self) -> Path:
        """Probabilities of the held-out tiles."""
        return self.path / "valid.parquet"

    @property
    def test(self) -> Path:
        """Probabilities of the untagged tiles."""
        return self.path / "test.parquet"

    @property
    def teacher(self) -> Path:
        """Probabilities that the teacher gives the training tiles; folds without a teacher lack it."""
        return self.path / "teacher.parquet"

    @property
    def taught_by(self) -> Path:
        """The networks that gave these probabilities."""
        return self.path / "teacher.json"

    def trusted(self) -> list[Path]:
        """List the files that later steps depend on."""
        own = (self.teacher, self.taught_by, self.weights, self.valid, self.test)
        return [path for path in own if path.is_file()]


#: Between tags in truth.csv; a tag cannot hold it.
_SEPARATOR = "|"


def check_trained(run: Run) -> None:
    """Check the files that a begun run is resumed from: those that its folds share, and those of each fold."""
    for path in (run.provenance, run.tiles):
        if not path.exists():
            raise InputError("the file is missing", file=path, remedy="put it back, or choose another `run`")
    for path in (run.provenance, run.folds, run.bands, run.tiles, run.untagged):
        check_recorded(path)
    for fold in run.begun_folds():
        for path in fold.trusted():
            check_recorded(path, sources=False)  # probabilities of a former network are computed again
    check_recorded(run.decision, sources=False)  # the next decision is of the same rule


def write_truth(run: Run, names: pd.Series, tags: TagSet, targets: MultiHot) -> None:
    """Write the labelled tiles and their tags."""
    _write_tags(run.truth, names, tags, targets)


def write_tested(run: Run, names: pd.Series, tags: TagSet, targets: MultiHot) -> None:
    """Write the tiles of a published test split and their tags, if there is one; else remove a former one."""
    if len(names):
        _write_tags(run.tested, names, tags, targets)
    else:
        run.tested.unlink(missing_ok=True)  # of a start with other options that stopped before it trained anything


def _write_tags(path: Path, names: pd.Series, tags: TagSet, targets: MultiHot) -> None:
    strings = tags.decode(targets, separator=_SEPARATOR)
    write_table(path, pd.DataFrame({"image_name": names, "tags": strings}))


def read_truth(run: Run) -> pd.Series:
    """Read the tag strings of the labelled tiles, by name."""
    return _read_tags(run.truth)


def _read_tags(path: Path) -> pd.Series:
    check_regular(path)
    check_recorded(path)
    try:
        table = pd.read_csv(path, dtype=str, keep_default_na=False)
        return table.set_index("image_name")["tags"]
    except FileNotFoundError:
        raise missing(path) from None
    except OSError as error:
        raise cannot_read(path, error) from None
    except (KeyError, ValueError) as error:
        raise InputError(f"this is not a table of tiles and their tags: {str(error).strip()}", file=path) from None


def read_targets(run: Run) -> pd.DataFrame:
    """Read the tags of the labelled tiles as a multi-hot table, one row a name and one column a tag."""
    tags, truth = run.tags(), read_truth(run)
    return pd.DataFrame(_encode(tags, truth), index=truth.index, columns=list(tags))


def read_oof(run: Run) -> tuple[pd.Series, tuple[str, ...], npt.NDArray[np.float32], MultiHot]:
    """Read names, tags, out-of-fold probabilities and the truth of the same tiles."""
    if not run.oof.exists():
        raise missing(run.oof)
    tags = run.tags()
    names, p = read_probabilities(run.oof, tags)
    truth = read_truth(run)
    wrong = names.duplicated() | ~names.isin(truth.index[~truth.index.duplicated(keep=False)])
    if wrong.any():
        raise InputError(
            f"the file does not fit {run.truth}: {names[wrong].iloc[0]} is not exactly once in both",
            file=run.oof,
            remedy="run the command that trained the run, which writes both again",
        )
    return names, tags, p, _encode(tags, truth.loc[names])


def read_tested(run: Run) -> tuple[pd.Series, npt.NDArray[np.float32], MultiHot] | None:
    """Read names, probabilities and truth of the published test split; None where the run has none, or no networks yet.

    Raises
    ------
    InputError
        If a tile of the split has no probabilities.
    """
    if not run.tested.exists() or not run.test.exists():
        return None
    tags, truth = run.tags(), _read_tags(run.tested)
    names, p = read_probabilities(run.test, tags)
    rows = pd.Index(names).get_indexer(truth.index)
    if (rows < 0).any() or not truth.index.is_unique:
        raise InputError(f"the file does not hold each tile of {run.tested} once", file=run.test, remedy=_ANEW)
    return truth.index.to_series(), p[rows], _encode(tags, truth)


def _encode(tags: Sequence[str], truth: pd.Series) -> MultiHot:
    return TagSet(tuple(tags)).encode(truth.tolist(), separator=_SEPARATOR)


def probability_table(
    names: Sequence[str] | pd.Series, tags: Sequence[str], values: npt.NDArray[np.float32]
) -> pd.DataFrame:
    """Probabilities as they are stored: ``image_name`` and one float32 column a tag."""
    table = pd.DataFrame(values, columns=list(tags))
    table.insert(0, "image_name", list(names))
    return table


_ANEW = "delete it, and run the command that wrote it"


def read_probabilities(path: Path, tags: Sequence[str]) -> tuple[pd.Series, npt.NDArray[np.float32]]:
    """Read names and probabilities of shape (tiles, tags); other tags, and values that are none, are an error."""
    check_regular(path)
    check_recorded(path)
    try:
        table = pd.read_parquet(path)
    except FileNotFoundError:
        raise InputError("there is no such file", file=path) from None
    except (ValueError, OSError) as error:
        raise InputError(f"this is not a table of probabilities ({error})", file=path, remedy=_ANEW) from None
    if list(table.columns) != ["image_name", *tags]:
        raise InputError(
            f"the table holds other tags than the run: {', '.join(map(str, table.columns[1:]))}", file=path
        )
    names = table["image_name"]
    try:
        p = table[list(tags)].to_numpy(dtype=np.float32)
    except ValueError as error:
        raise InputError(f"this is not a table of probabilities ({error})", file=path, remedy=_ANEW) from None
    wrong = ~((p >= 0) & (p <= 1)).all(axis=1)
    if wrong.any():
        raise InputError(
            f"{wrong.sum():,} of {len(p):,} tiles, such as {names.iloc[wrong.argmax()]}, have probabilities that are "
            "not in 0..1; the file is damaged, or the network diverged (then train again with a lower model.lr)",
            file=path,
        )
    return names, p
