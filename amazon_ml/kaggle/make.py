"""Write the submission of a run: every test tile once, in the official order, each with a tag."""

import logging
from pathlib import Path

import numpy as np
import pandas as pd

from amazon_ml.errors import InputError, WorkError
from amazon_ml.kaggle.form import Form, find_form
from amazon_ml.runs import hashes
from amazon_ml.runs.access import check_writable, locked, own_paths
from amazon_ml.runs.decision import read_decision
from amazon_ml.runs.folder import Run, read_probabilities
from amazon_ml.runtime.files import write_table
from amazon_ml.runtime.outputs import check_outputs

log = logging.getLogger(__name__)


def make_submission(run: Path, sample: Path | None = None, out: Path | None = None, *, overwrite: bool = False) -> None:
    """Write the submission of a run, from its test probabilities and its decision.

    Parameters
    ----------
    run
        Run folder.
    sample
        Sample submission with the names and their order. By default the one in the run's folder of tiles. Where there
        is none, the official list is used for the competition's tags, and the order of test.parquet for other tags.
    out
        File to write; submission.csv in the run by default.
    overwrite
        Replace an existing file `out`; submission.csv of the run is always replaced.
    """
    folder = Run(run)
    form = find_form(run, sample)
    if out is None or (out.parent.resolve(), out.name) == (folder.path.resolve(), folder.submission.name):
        with locked(folder):
            _save(folder, form)
        return
    check_outputs({"out": out}, [*own_paths(folder), sample], overwrite=overwrite)
    check_writable(folder)
    sources = _sources(folder)
    before = [hashes.hash_file(source) for source in sources if source.is_file()]
    write_table(out, _tagged(folder, form))
    _report(out, form)
    try:
        with locked(folder):
            if before == [hashes.hash_file(source) for source in sources if source.is_file()]:
                hashes.record_copy(folder.submission, out, sources)  # so that `submit send` knows it
    except (OSError, WorkError, InputError) as error:  # such as a run that may only be read, or is in use
        log.warning("%s does not record the file: %s", run, error)


def save_submission(folder: Run) -> None:
    """Write submission.csv of a run, for a caller that holds the run's lock."""
    _save(folder, find_form(folder.path))


def _save(folder: Run, form: Form) -> None:
    hashes.write_table(folder.submission, _tagged(folder, form), made_of=_sources(folder))
    _report(folder.submission, form)


def _sources(folder: Run) -> list[Path]:
    return [folder.decision, folder.test]


def _report(path: Path, form: Form) -> None:
    log.info("wrote %s: %s rows in the order of %s", path, f"{len(form.names):,}", form.source)


def _tagged(folder: Run, form: Form) -> pd.DataFrame:
    """Give each test tile of the form its tags."""
    decision = read_decision(folder)
    names, p = read_probabilities(folder.test, decision.tags)
    place = pd.Series(np.arange(len(names)), index=names)
    missing = [name for name in form.names if name not in place.index]
    if missing:
        raise InputError(
            f"the file lacks {len(missing):,} of the {len(form.names):,} tiles in {form.source}, such as {missing[0]}",
            file=folder.test,
            remedy="complete the test folders and train into a new `run`, or name another list with `sample`",
        )
    unlisted = len(names) - len(form.names)
    if unlisted:
        log.warning("%d tiles of %s are not in %s; they are left out", unlisted, folder.test, form.source)
    predicted = decision.rule.predict(p[place.loc[form.names].to_numpy()])
    tags = form.tags.decode(predicted, separator=form.separator)
    empty = [name for name, row in zip(form.names, tags, strict=True) if not row]
    if empty:
        raise InputError(
            f"{len(empty)} tiles have no predicted tag, such as {empty[0]}; Kaggle refuses rows without a tag"
        )
    return pd.DataFrame({"image_name": form.names, "tags": tags})
