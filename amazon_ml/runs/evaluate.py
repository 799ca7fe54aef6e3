"""Score a run or a bundle on another labelled folder."""

import logging
from dataclasses import asdict, replace
from functools import cache
from pathlib import Path

from amazon_ml.data.catalog.catalog import Catalog, read_catalog
from amazon_ml.data.catalog.layout import find_layout
from amazon_ml.data.config import ReadingConfig, RgbSource, TableConfig
from amazon_ml.data.demo.demo import is_generated
from amazon_ml.data.readers.bands import TileReader, name_bands
from amazon_ml.data.readers.broken import check_whole, describe_broken
from amazon_ml.decisions.crossfit import score
from amazon_ml.decisions.fbeta import fbeta_per_tile
from amazon_ml.decisions.rules import make_rules
from amazon_ml.decisions.thresholds import DEFAULT_THRESHOLD
from amazon_ml.errors import InputError
from amazon_ml.labels import TagSet
from amazon_ml.runs.bundle import Bundle, is_bundle, open_bundle
from amazon_ml.runs.folder import Run, read_truth
from amazon_ml.runs.predict import inputs_of, predict_listed
from amazon_ml.runs.scores import Metrics, score_breakdown
from amazon_ml.runtime.files import write_json
from amazon_ml.runtime.outputs import check_outputs

log = logging.getLogger(__name__)


def evaluate(
    run: Path, data: Path, *, labels_file: Path | None = None, image_dir: Path | None = None,
    exclude: Path | None = None, allow_untagged: bool = False, merge_rows: bool = False, json: Path | None = None,
    num_workers: int | None = None, overwrite: bool = False,
) -> Metrics:  # fmt: skip
    """Tag a labelled folder with the run's own decision, and score it.

    Nothing is fitted. The score is honest for tiles that the run was not trained on. The caller has to make sure that
    they are such tiles.

    Parameters
    ----------
    run
        Run folder, trained and tuned, or a bundle.
    data
        Folder of labelled tiles, in any layout that training reads.
    labels_file
        CSV of names and tags; searched for by default.
    image_dir
        Folder of the images; searched for by default.
    exclude
        CSV of names of tiles that are left out. The list that training used does not count here.
    allow_untagged
        Take tiles without a tag as they are; the default is the run's own setting.
    merge_rows
        Join rows of one name to one tile; the default is the run's own setting.
    json
        File for the scores.
    num_workers
        Loader processes; by default none on the CPU, one for each core with a GPU.
    overwrite
        Replace an existing file.

    Returns
    -------
    The scores, as they are written to `json`; see `amazon_ml.runs.scores.Metrics`.

    Raises
    ------
    InputError
        For a folder that is no run or bundle, for tiles or tables that are missing or damaged, and for a file `json`
        that is there already.

    Examples
    --------
    >>> metrics = evaluate(Path("runs/demo/bundle"), Path("data/demo"))
    >>> sorted(metrics["fbeta"])
    ['fixed_0.2', 'predicted', 'predicted_minus_fixed']
    """
    bundle = open_bundle(run)
    if json is not None:
        layout = find_layout(data, TableConfig(labels_file=_text(labels_file), image_dir=_text(image_dir)))
        inputs = [*inputs_of(run, bundle, data), layout.table, exclude]
        check_outputs({"json": json}, inputs, overwrite=overwrite)
    decision = bundle.decision
    written = TagSet(tuple(decision.tags)).separator(bundle.table.tag_separator)
    how = replace(
        bundle.table, labels_file=_text(labels_file), image_dir=_text(image_dir), exclude=_text(exclude),
        tags=list(decision.tags),
        tag_separator=None if written == " " else written,  # so that tables of `predict` can be read
        allow_untagged=allow_untagged or bundle.table.allow_untagged,
        merge_rows=merge_rows or bundle.table.merge_rows,
    )  # fmt: skip

    @cache
    def read(bands: str, rgb_source: RgbSource) -> Catalog:
        try:
            return read_catalog(data, ReadingConfig(**asdict(how), bands=bands, rgb_source=rgb_source))
        except InputError as error:
            raise InputError(
                f"{error.problem} (all other options of the table are those of {run})", file=error.file,
                line=error.line, option=error.option, remedy=error.remedy,
            ) from None  # fmt: skip

    def tiles_for(reader: TileReader) -> Catalog:
        return read(name_bands(reader.bands), reader.rgb_source)

    catalog = tiles_for(bundle.networks.read)
    known = _known(run, bundle, catalog)
    if known:
        log.warning("%d of these %d tiles have names of tiles that %s was trained and tuned on", known,
                    len(catalog.labelled), run)  # fmt: skip
    check_whole(catalog.labelled)
    predicted = predict_listed(bundle.networks, lambda reader: tiles_for(reader).labelled, num_workers)
    if predicted.failed:
        raise InputError(
            f"{describe_broken(list(predicted.failed.values()), len(predicted.names))}. amazon-ml data check {data} "
            "lists such tiles, and `write_exclude` there writes the list that `exclude` takes here"
        )
    p = predicted.p
    tagged = decision.rule.predict(p)
    true, beta = catalog.targets, decision.beta
    baseline = fbeta_per_tile(true, make_rules(beta=beta)["fixed"].fit(p, true).predict(p), beta)
    own = fbeta_per_tile(true, tagged, beta)
    breakdown = score_breakdown(decision.tags, p, true, tagged, decision.rule, beta)
    metrics: Metrics = {
        "tiles_of": str(data),
        "generated": is_generated(Path(catalog.labelled["path"].iloc[0])),
        "beta": beta,
        "tiles": len(p),
        "rule": decision.name,
        "fbeta": {
            f"fixed_{DEFAULT_THRESHOLD}": score(baseline),
            "predicted": score(own),
            "predicted_minus_fixed": score(own - baseline),
        },
        "tags": breakdown["tags"],
        "confusions": breakdown["confusions"],
        "logic_faults": breakdown["logic_faults"],
    }
    if json is not None:
        write_json(json, metrics)
    return metrics


def _text(path: Path | None) -> str | None:
    return None if path is None else str(path)


def _known(run: Path, bundle: Bundle, catalog: Catalog) -> int:
    """Count the tiles that were trained and tuned on; a bundle holds the hash of their table only, no names."""
    if is_bundle(run):
        return len(catalog.labelled) if catalog.sha256 == bundle.data_sha256 else 0
    return int(catalog.labelled["image_name"].isin(read_truth(Run(run)).index).sum())
