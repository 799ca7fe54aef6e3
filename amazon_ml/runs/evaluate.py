"""Score a run or a bundle on another labelled folder."""

import logging
from collections.abc import Mapping, Sequence
from dataclasses import asdict, fields
from pathlib import Path
from typing import Any

import numpy as np

from amazon_ml.data.catalog.catalog import Catalog, read_catalog
from amazon_ml.data.catalog.layout import find_layout
from amazon_ml.data.config import TABLE, ReadingConfig, Split, TableConfig
from amazon_ml.data.demo.demo import is_generated
from amazon_ml.data.readers.bands import TileReader
from amazon_ml.data.readers.broken import check_whole, describe_broken
from amazon_ml.data.readers.fitting import reading_of
from amazon_ml.errors import InputError
from amazon_ml.labels import TagSet
from amazon_ml.models.engines import DEFAULT, EngineName, Method, PrecisionName
from amazon_ml.runs.bundle import open_bundle
from amazon_ml.runs.decision import Decision
from amazon_ml.runs.engine_choice import Requested, choose_method, sample_files
from amazon_ml.runs.folder import Run
from amazon_ml.runs.inference import Engine, Predicted
from amazon_ml.runs.known_tiles import hash_names, known_names, read_known
from amazon_ml.runs.predict import inputs_of, predict_listed
from amazon_ml.runs.scores import Metrics, TestScores, score_others
from amazon_ml.runtime.files import write_json
from amazon_ml.runtime.outputs import check_outputs
from amazon_ml.settings import AnyPath, as_path

log = logging.getLogger(__name__)


def evaluate(
    run: AnyPath, data: AnyPath, table: TableConfig = TABLE, *, split: Split | None = None, json: AnyPath | None = None,
    engine: EngineName = "torch", precision: PrecisionName | None = None, num_workers: int | None = None,
    overwrite: bool = False,
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
    table
        Options for finding and reading the table of tags, an `amazon_ml.data.config.TableConfig`. An option that is
        not given is that of the run, except for `labels_file`, `split_column`, `splits`, `image_dir` and `exclude`;
        the tag list is always that of the run.
    split
        Published split whose tiles are scored, as tables by split or `split_column` give it. By default the test split
        where there is one, else all tiles.
    json
        File for the scores.
    engine
        What computes: PyTorch (``torch``), PyTorch with batch norm folded into convolutions (``folded``), or
        onnxruntime (``onnx``). ``auto`` times each on up to 64 of the tiles, and chooses the fastest one that agrees
        with torch in float32: each probability to 0.002, and 99.9 % of the tags.
    precision
        ``float32``, ``bf16`` or ``auto``. By default float32 on a CPU, and the precision of training on a GPU.
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
    >>> metrics = evaluate("runs/demo/bundle", "data/demo")
    >>> sorted(metrics["fbeta"])
    ['fixed_0.2', 'predicted', 'predicted_minus_fixed']
    """
    run_path, root, requested = as_path("run", run), as_path("data", data), Requested(engine, precision)
    if not isinstance(table, TableConfig):
        raise InputError(f"`table` is {table!r}, not options of a table", option="table",
                         remedy="make them with amazon_ml.data.config.TableConfig")  # fmt: skip
    scores_file = None if json is None else as_path("json", json)
    bundle = open_bundle(run_path)
    if scores_file is not None:
        exclude = None if table.exclude is None else Path(table.exclude)
        check_outputs({"json": scores_file}, [*inputs_of(run_path, bundle, root),
                      *find_layout(root, table).table_paths, exclude], overwrite=overwrite)  # fmt: skip
    decision = bundle.decision
    how = _table_options(table, bundle.table, decision.tags)

    catalogs: dict[str, Catalog] = {}

    def tiles_for(reader: TileReader) -> Catalog:
        options = reading_of(reader)
        if repr(options) not in catalogs:
            catalog = _read(root, how, options, is_inherited=not table.min_share)
            chosen = split or ("test" if len(catalog.tested) else None)
            catalogs[repr(options)] = catalog.part(chosen) if chosen else catalog.everything()
        return catalogs[repr(options)]

    catalog = tiles_for(bundle.networks.read)
    known = _known(run_path, bundle.known, catalog)
    if known:
        log.warning("%d of these %d tiles have names of tiles that %s was trained and tuned on", known,
                    len(catalog.labelled), run_path)  # fmt: skip
    check_whole(catalog.labelled, files=catalog.files)
    method = choose_method(bundle, requested, sample_files(lambda reader: tiles_for(reader).labelled))
    predicted = predict_listed(
        bundle.networks, lambda reader: tiles_for(reader).labelled, None, Engine(num_workers=num_workers, method=method)
    )
    _check_read(predicted, root)
    scores = score_others(decision.tags, predicted.p, catalog.targets, decision.rule, decision.beta)
    metrics = _metrics(scores, catalog, decision, root, method)
    if scores_file is not None:
        write_json(scores_file, metrics)
    return metrics


def _check_read(predicted: Predicted, data: Path) -> None:
    """Check that every tile could be read."""
    if predicted.failed:
        faults = list(map(str, predicted.failed.values()))
        raise InputError(
            f"{describe_broken(faults, len(predicted.names))}. amazon-ml data check {data} "
            "lists such tiles, and `write_exclude` there writes the list that `exclude` takes here"
        )


def _metrics(scores: TestScores, catalog: Catalog, decision: Decision, data: Path, method: Method) -> Metrics:
    """Put the scores together with what they are of; the engine only where it is another one than the default."""
    metrics: Metrics = {
        "tiles_of": str(data),
        "generated": is_generated(Path(catalog.labelled["path"].iloc[0])),
        "beta": decision.beta,
        "tiles": scores["tiles"],
        "rule": decision.name,
        "fbeta": scores["fbeta"],
        "tags": scores["tags"],
        "other_scores": scores["other_scores"],
        "tags_without_positive": scores["tags_without_positive"],
        "tags_with_few_positives": scores["tags_with_few_positives"],
        "confusions": scores["confusions"],
        "logic_faults": scores["logic_faults"],
    }
    if catalog.split is not None:
        metrics["split"] = catalog.split
    if method != DEFAULT:
        metrics["engine"] = str(method)
    return metrics


def _read(data: Path, how: TableConfig, options: Mapping[str, Any], *, is_inherited: bool) -> Catalog:
    """Read the tiles of a folder; a least share that the run gave is dropped where the table has no shares."""
    try:
        return read_catalog(data, ReadingConfig(**asdict(how), **options))
    except InputError as error:
        if error.option != "data.min_share" or not is_inherited:
            raise
        return read_catalog(data, ReadingConfig(**{**asdict(how), "min_share": 0.0}, **options))


def _table_options(given: TableConfig, own: TableConfig, tags: Sequence[str]) -> TableConfig:
    """Return the options of the run with those that are given in their place."""
    written = TagSet(tuple(tags)).separator(own.tag_separator)
    options = {**asdict(own), "tag_separator": None if written == " " else written}  # that of tables of `predict`
    changed = {field.name: getattr(given, field.name) for field in fields(given)
               if getattr(given, field.name) != field.default}  # fmt: skip
    for one, other in (("tags_column", "tag_columns"), ("tag_columns", "tags_column")):
        if one in changed:
            options[other] = None
    if given.tags is not None and set(given.tags) != set(tags):
        raise InputError("the tag list is not that of the run", option="data.tags", remedy="leave it out")
    return TableConfig(**{**options, **changed, "tags": list(tags)})


def _known(run: Path, hashes: Path | None, catalog: Catalog) -> int:
    """Count the tiles that were trained and tuned on, by their names, or by the file of a bundle with their hashes."""
    names = catalog.labelled["image_name"]
    if hashes is None:
        return int(names.isin(known_names(Run(run))).sum())
    return int(np.isin(hash_names(names), read_known(hashes)).sum())
