"""List labels that may be wrong: networks that were not trained on the tile contradict them."""

import logging
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import pandas as pd

from amazon_ml.data.catalog.catalog import read_catalog
from amazon_ml.data.config import DataConfig
from amazon_ml.data.readers.images import Image
from amazon_ml.data.readers.shown import shown_channels
from amazon_ml.decisions.label_errors import contradictions
from amazon_ml.errors import InputError, WorkError, check_least
from amazon_ml.report.audit_page import write_audit_page
from amazon_ml.runs.access import check_writable, locked
from amazon_ml.runs.folder import Run, read_oof
from amazon_ml.runs.hashes import hash_file, is_edited, is_recorded, recorded, remove, write_table
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
        Largest number of contradicted labels to list, the strongest first.
    show
        Number of tiles on the page; 0 for no page. A former page is then removed, or left if somebody edited it.
    tiles
        Folder of the tiles; by default the one that the run was trained on.
    overwrite
        Replace an audit.csv or audit.html that somebody edited, or that has no recorded hash.
    """
    check_least("top", top, 1)
    check_least("show", show, 0)
    folder = Run(run)
    config = folder.read_config()
    if not config.data.validate:
        raise InputError(
            "the run was trained on every tile, so its probabilities repeat the tags",
            file=run,
            remedy="audit another run",
        )
    check_writable(folder)
    replaced = [folder.audit, folder.audit_page] if show else [folder.audit]
    _check_unedited(replaced, overwrite=overwrite)
    sources = _hash_sources(folder)
    names, tags, p, true = read_oof(folder)
    contradicted = contradictions(p, true)
    found = contradicted.head(top)
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
    extent = _extent(len(rows), len(contradicted), rows["image_name"].nunique())
    page = None
    if show and len(rows):  # before a former list is replaced: tiles may be missing
        page = _page(folder, rows, show, replace(
            config.data, root=str(tiles or config.data.root), rgb_source=read_bands(folder).rgb_source
        ))  # fmt: skip
    with locked(folder, wait=True):
        if _hash_sources(folder) != sources:
            raise WorkError(f"{run} was written to while it was audited; audit it again when that is done")
        _check_unedited(replaced, overwrite=overwrite)
        _write(folder, rows, page, extent)
    log.info("wrote %s: %s", folder.audit, extent)
    if page is not None:
        log.info("wrote %s: %s tiles", folder.audit_page, f"{len(page.images):,}")


def _extent(listed: int, contradicted: int, tiles: int) -> str:
    """Say how many labels are listed, of how many, and in how many tiles."""
    part = f"the strongest {listed:,} of " if listed < contradicted else ""
    return f"{part}{contradicted:,} contradicted labels, in {tiles:,} tiles"


def _sources(run: Run) -> list[Path]:
    return [run.oof, run.truth]


def _hash_sources(run: Run) -> list[str | None]:
    return [hash_file(source) if source.exists() else None for source in _sources(run)]


def _check_unedited(files: Sequence[Path], *, overwrite: bool) -> None:
    """Check that files are as this command wrote them, before they are replaced."""
    for file in files:
        check_regular(file)
        if overwrite or not file.exists():
            continue
        if not is_recorded(file) or is_edited(file):
            problem = "the file was edited since it was written" if is_recorded(file) else "the run has not written it"
            raise InputError(problem, file=file, remedy="give it another name, or replace it with `overwrite`")


@dataclass(frozen=True)
class _Contents:
    """What the page shows: rows of the list, and the picture and the tags of each of their tiles."""

    rows: pd.DataFrame
    images: list[Image]
    given: list[list[str]]


def _write(run: Run, rows: pd.DataFrame, page: _Contents | None, extent: str) -> None:
    """Write the list with its hash, so that an edited one is noticed, and the page, or no page."""
    sources, file = _sources(run), run.audit_page
    if page is not None:
        with recorded(file, sources) as temporary:
            title = f"Tags that {run.path.name} contradicts"
            write_audit_page(temporary, page.rows, page.images, page.given, title=title, extent=extent)
            if is_recorded(file):
                remove(file)  # first, so that no kill leaves it beside another list
            write_table(run.audit, rows, sources)
        return
    write_table(run.audit, rows, sources)
    if is_recorded(file) and not is_edited(file):
        remove(file)  # of a former list
    elif file.exists():
        log.warning("%s is left as it is, though it is of a former list", file)


def _page(folder: Run, rows: pd.DataFrame, show: int, data: DataConfig) -> _Contents:
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
    return _Contents(shown, images, given)
