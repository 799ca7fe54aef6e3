"""The form of a submission: names and their order, tags, and the separator between tags."""

from dataclasses import dataclass
from pathlib import Path

import pandas as pd

from amazon_ml.data.catalog.layout import find_sample
from amazon_ml.data.catalog.name_lists import read_names
from amazon_ml.errors import InputError
from amazon_ml.labels import PLANET, TagSet, declared
from amazon_ml.runs.folder import Run
from amazon_ml.runs.hashes import check_recorded
from amazon_ml.runtime.regular_files import check_regular


@dataclass(frozen=True)
class Form:
    """The form of a submission.

    Parameters
    ----------
    names
        Names of the tiles, in order.
    source
        Where the names come from, for messages.
    tags
        The allowed tags.
    separator
        Text between two tags.
    """

    names: list[str]
    source: str
    tags: TagSet = PLANET
    separator: str = " "


def find_form(run: Path | None = None, sample: Path | None = None) -> Form:
    """Find the form of a run's submission, or that of the competition where there is no run.

    Names come from `sample`, else from the sample submission in the run's folder of tiles, else from the official list
    where the tags are those of the competition, else from the run's test.parquet.
    """
    if run is None:
        return Form(read_names(sample), str(sample)) if sample else Form(official_names(), "the official list")
    folder, separator = Run(run), separator_of(run)
    tags = declared(folder.tags())
    sample = sample or find_sample(Path(folder.read_provenance()["data"]["root"]))
    if sample:
        names, source = read_names(sample), str(sample)
    elif tags.names == PLANET.names:
        names, source = official_names(), "the official list"
    else:
        names, source = _tested_names(folder), str(folder.test)
    return Form(names, source, tags, separator)


def separator_of(run: Path | None) -> str:
    """Give the separator between tags in a run's submission; a space where there is no run."""
    if run is None:
        return " "
    folder = Run(run)
    wanted = folder.read_config().data.tag_separator
    return declared(folder.tags()).separator(wanted)


def run_around(file: Path) -> Path | None:
    """Give the folder of a file where that folder is a run, else None."""
    folder = Run(file.parent)
    return folder.path if folder.config.exists() and folder.provenance.exists() else None


def official_names() -> list[str]:
    """List the competition's 61,191 test tiles in the order of its sample submission.

    First ``test_0`` to ``test_40668`` by number, then ``file_0`` to ``file_20521`` in lexicographic order.
    """
    return [f"test_{n}" for n in range(40_669)] + sorted(f"file_{n}" for n in range(20_522))


def _tested_names(folder: Run) -> list[str]:
    check_regular(folder.test)
    check_recorded(folder.test)
    try:
        return [str(name) for name in pd.read_parquet(folder.test, columns=["image_name"])["image_name"]]
    except FileNotFoundError:
        raise InputError("there is no such file", file=folder.test) from None
    except (ValueError, OSError) as error:
        raise InputError(f"this is not a table of probabilities: {error}", file=folder.test) from None
