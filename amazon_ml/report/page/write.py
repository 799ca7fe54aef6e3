"""Write ``report.html``: a run on one page."""

import logging
from collections.abc import Callable, Iterator
from functools import cache
from html import escape
from pathlib import Path

import pandas as pd

from amazon_ml.data.readers.shown import shown_channels
from amazon_ml.errors import InputError
from amazon_ml.report.page.calibration import calibration_section
from amazon_ml.report.page.checks import checks_section
from amazon_ml.report.page.curves import curves_section
from amazon_ml.report.page.document import Section, document
from amazon_ml.report.page.gallery import gallery_section
from amazon_ml.report.page.html import paragraph
from amazon_ml.report.page.provenance import provenance_section
from amazon_ml.report.page.results import Results, read_results
from amazon_ml.report.page.score import SOFT_LABELS, score_section, test_section
from amazon_ml.report.page.tags import tags_section
from amazon_ml.report.page.thresholds import thresholds_section
from amazon_ml.report.page.thumbnails import data_uri
from amazon_ml.report.page.together import together_section
from amazon_ml.runs.access import check_writable
from amazon_ml.runs.folder import Run
from amazon_ml.runs.hashes import ChangedError
from amazon_ml.runs.scores import scored_rule
from amazon_ml.runs.tiles import listed_tiles, read_bands
from amazon_ml.runtime.files import write_text

log = logging.getLogger(__name__)

#: Sections before and after those of tiles; a section may be missing for some runs.
_BEFORE: tuple[Callable[[Results], Section | None], ...] = (
    score_section, test_section, curves_section, tags_section, thresholds_section, calibration_section,
    together_section,
)  # fmt: skip
_AFTER: tuple[Callable[[Results], Section | None], ...] = (checks_section, provenance_section)

#: Pixels of a thumbnail: with about 250 of them, the page is smaller than 5 MB for any tiles.
_EDGE = 112


def report(run: Path, *, tiles: Path | None = None, saliency: bool = True) -> None:
    """Write report.html into a finished run: one page that needs no other file and no internet.

    Parameters
    ----------
    run
        Run folder, trained and tuned, or a blend.
    tiles
        Folder of the run's tiles; by default the one that the run was trained on.
    saliency
        Show where the network looks on some tiles; only this part loads the network.
    """
    folder = Run(run)
    folder.read_config()  # before tiles are searched for: an error where this is no run
    check_writable(folder)
    write_report(folder, listed_tiles(folder, tiles), saliency=saliency)


def write_report(run: Run, tiles: pd.DataFrame | None, *, saliency: bool = True) -> None:
    """Write the page of a run.

    Parameters
    ----------
    run
        Run folder, tuned and scored.
    tiles
        Labelled tiles of a catalog; without them the page shows none.
    saliency
        Show where the network looks on some tiles.

    Raises
    ------
    InputError
        Where the run is not scored, or its files do not fit together.
    """
    results = read_results(run)
    sections = [
        *filter(None, (make(results) for make in _BEFORE)),
        *_tile_sections(results, tiles, saliency),
        *filter(None, (make(results) for make in _AFTER)),
    ]
    write_text(run.report, document(f"Run {run.path.resolve().name}", _lead(results), sections))
    log.info("wrote %s: %.1f MB", run.report, run.report.stat().st_size / 1e6)


def _lead(results: Results) -> str:
    network = "a blend of runs" if results.run.blend.exists() else results.config.model.backbone
    root = escape(str(results.metrics["tiles_of"]))
    lines = [
        paragraph(
            f"{escape(str(network))} on {len(results.p):,} tiles of <code>{root}</code>, {len(results.tags)} tags, "
            f"predicted by the rule {escape(scored_rule(results.metrics))}."
        )
    ]
    if results.metrics["generated"]:
        lines.append(paragraph("These tiles are generated: the results say nothing about real tiles.", "warning"))
    if not results.metrics["held_out"]:
        lines.append(paragraph("The network was trained on these tiles, so all scores are too high.", "warning"))
    if results.metrics.get("soft_labels"):
        lines.append(paragraph(SOFT_LABELS, "warning"))
    return "\n".join(lines)


def _tile_sections(results: Results, tiles: pd.DataFrame | None, saliency: bool) -> Iterator[Section]:
    if tiles is None:
        yield _without("the folder of the tiles does not exist; name it with `tiles`")
        return
    files = dict(zip(tiles["image_name"], zip(tiles["path"], tiles["tif"], strict=True), strict=True))
    reader = read_bands(results.run)

    @cache  # a tile may be the worst of several tags
    def thumbnail(name: str) -> str:
        return data_uri(shown_channels(reader, reader(*files[name])), _EDGE)

    try:
        yield gallery_section(results, thumbnail)
    except InputError as error:
        yield _without(str(error))
    shown = _saliency(results, files) if saliency and results.run.finished_folds() else None
    if shown is not None:
        yield shown


def _saliency(results: Results, files: dict[str, tuple[str, str]]) -> Section | None:
    """Make the section that loads the network; where it fails, the page is written without it."""
    from amazon_ml.report.page.saliency import saliency_section  # here: PyTorch takes seconds to import

    try:
        return saliency_section(results, files, read_bands(results.run))
    except ChangedError:
        raise
    except Exception as error:  # timm has a thousand networks, and some do not work with hooks
        log.warning("the page does not show where the network looks: %s", error)
        return None


def _without(reason: str) -> Section:
    return Section("tiles", "Tiles", paragraph(f"No tiles are shown: {escape(reason)}.", "note"))
