"""List labels that may be wrong: networks that were not trained on the tile contradict them."""

import logging
from dataclasses import replace
from pathlib import Path

import pandas as pd

from amazon_ml.data.catalog.catalog import read_catalog
from amazon_ml.data.config import DataConfig
from amazon_ml.data.readers.shown import shown_channels
from amazon_ml.decisions.label_errors import contradictions
from amazon_ml.errors import InputError
from amazon_ml.report.audit_page import write_audit_page
from amazon_ml.runs.access import check_writable, locked
from amazon_ml.runs.folder import Run, read_oof
from amazon_ml.runs.hashes import is_edited, is_recorded, recorded, remove, write_table
from amazon_ml.runs.tiles import read_bands
from amazon_ml.runtime.regular_files import check_regular

log = logging.getLogger(__name__)


def audit(run: Path, *, top: int = 500, show: int = 100, tiles: Path | None = None, overwrite: bool = False) -> None:
    """List the tags that a run's networks contradict most: audit.csv, and audit.html with the tiles.

    Both are written into the run. Training can read the CSV, to leave its tiles out (`data.exclude`) or to use its
    probabilities as soft labels (`data.soft_labels`). Look at the page first, and delete the rows of right tags.

    Parameters
    ----------
    run
        Run folder, trained.
    top
        Number of contradicted labels to list, the strongest first.
    show
        Number of tiles on the page.
    tiles
        Folder of the tiles; by default the one that the run was trained on.
    overwrite
        Replace an audit.csv that somebody edited, or that has no recorded hash.
    """
    if top < 1 or show < 0:
        raise InputError("`top` must be at least 1, `show` not below 0")
    folder = Run(run)
    config = folder.read_config()
    if not config.data.validate:
        raise InputError(
            "the run was trained on every tile, so its probabilities repeat the tags",
            file=run,
            remedy="audit another run",
        )
    check_writable(folder)
    _check_unedited(folder, overwrite=overwrite)
    names, tags, p, true = read_oof(folder)
    found = contradictions(p, true).head(top)
    if found.empty:
        log.info("the networks of %s contradict none of %s tiles", run, f"{len(p):,}")
    rows = pd.DataFrame(
        {
            "image_name": names.iloc[found["tile"]].to_numpy(),
            "tag": [tags[column] for column in found["column"]],
            "given": found["given"],
            "probability": found["probability"].round(4),
            "contradiction": found["contradiction"].round(4),
        }
    )
    with locked(folder, wait=True):
        if is_recorded(folder.audit_page):
            remove(folder.audit_page)  # of a former list
        write_table(folder.audit, rows, _sources(folder))  # with its hash, so that an edited list is noticed
    log.info("wrote %s: %d contradicted labels of %d tiles", folder.audit, len(rows), rows["image_name"].nunique())
    if show and len(rows):
        _draw(
            folder,
            rows,
            show,
            replace(config.data, root=str(tiles or config.data.root), rgb_source=read_bands(folder).rgb_source),
        )


def _sources(run: Run) -> list[Path]:
    return [run.oof, run.truth]


def _check_unedited(run: Run, *, overwrite: bool) -> None:
    """Check that the list is as this command wrote it, before it is replaced."""
    check_regular(run.audit)
    if not overwrite and run.audit.exists() and (not is_recorded(run.audit) or is_edited(run.audit)):
        raise InputError(
            "the file was edited since it was written",
            file=run.audit,
            remedy="give it another name, or replace it with `overwrite`",
        )


def _draw(folder: Run, rows: pd.DataFrame, show: int, data: DataConfig) -> None:
    shown = rows[rows["image_name"].isin(rows["image_name"].unique()[:show])]
    names = shown["image_name"].unique()
    catalog = read_catalog(Path(data.root), data)
    where = catalog.labelled.reset_index().set_index("image_name")
    missing = [name for name in names if name not in where.index]
    if missing:
        raise InputError(
            f"the folder does not hold {missing[0]}",
            file=data.root,
            option="tiles",
            remedy="name the folder of the run's tiles with `tiles`",
        )
    found, read = where.loc[names], read_bands(folder)
    images = [shown_channels(read, read(path, tif)) for path, tif in zip(found["path"], found["tif"], strict=True)]
    given = [[catalog.tags.names[i] for i in row.nonzero()[0]] for row in catalog.targets[found["index"]]]
    with locked(folder, wait=True), recorded(folder.audit_page, _sources(folder)) as temporary:
        write_audit_page(temporary, shown, images, given, title=f"Tags that {folder.path.name} contradicts")
    log.info("wrote %s: %d tiles", folder.audit_page, len(names))
