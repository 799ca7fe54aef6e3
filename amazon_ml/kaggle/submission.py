"""The submission file: every test tile once, in the official order, none without a tag."""

import logging
from pathlib import Path

import numpy as np
import pandas as pd

from amazon_ml.data.catalog import find_sample, read_names
from amazon_ml.errors import InputError
from amazon_ml.files import read_json, write_table
from amazon_ml.labels import PLANET, TagSet
from amazon_ml.runs.decision import read_decision
from amazon_ml.runs.folder import Run, read_probabilities

log = logging.getLogger(__name__)


def make_submission(run: Path, sample: Path | None = None, out: Path | None = None) -> None:
    """Write the submission of a run, from its test probabilities and its decision.

    Parameters
    ----------
    run
        Run folder.
    sample
        Sample submission whose rows and order are followed. By default that in the run's folder of
        tiles; where there is none, the official names and order are used for the competition's
        tags, and the order of test.parquet for others.
    out
        File to write; submission.csv in the run by default.
    """
    folder = Run(run)
    separator = folder.options()["data"]["tag_separator"] or " "
    decision = read_decision(folder)
    names, p = read_probabilities(folder.test, decision.tags)
    sample = sample or find_sample(Path(read_json(folder.provenance)["data"]["root"]))
    if sample:
        wanted, source = read_names(sample), str(sample)
    elif decision.tags == PLANET.names:
        wanted, source = official_names(), "the official list"
    else:
        wanted, source = names.tolist(), str(folder.test)
    place = pd.Series(np.arange(len(names)), index=names)
    missing = [name for name in wanted if name not in place.index]
    if missing:
        raise InputError(
            f"{folder.test} lacks {len(missing):,} of the {len(wanted):,} tiles in {source}, such as {missing[0]}; "
            "complete the test folders and train into a new --run, or name another list with --sample"
        )
    surplus = len(names) - len(wanted)
    if surplus:
        log.warning("%d tiles of %s are not in %s; they are left out", surplus, folder.test, source)
    tags = TagSet(decision.tags).decode(decision.rule.decide(p[place.loc[wanted].to_numpy()]), separator=separator)
    empty = [name for name, row in zip(wanted, tags, strict=True) if not row]
    if empty:
        raise InputError(f"{len(empty)} tiles got no tag, such as {empty[0]}; Kaggle refuses empty answers")
    path = out or folder.submission
    write_table(path, pd.DataFrame({"image_name": wanted, "tags": tags}))
    log.info("wrote %s: %s rows in the order of %s", path, f"{len(wanted):,}", source)


def official_names() -> list[str]:
    """List the competition's 61,191 test tiles in the order of its sample submission.

    First ``test_0`` to ``test_40668`` by number, then ``file_0`` to ``file_20521`` in lexicographic order.
    """
    return [f"test_{n}" for n in range(40_669)] + sorted(f"file_{n}" for n in range(20_522))
