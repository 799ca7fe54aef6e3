"""Score a run or a bundle on another labelled folder."""

from pathlib import Path

from amazon_ml.data.catalog.catalog import Catalog
from amazon_ml.data.config import TABLE, Split, TableConfig
from amazon_ml.data.demo.demo import is_generated
from amazon_ml.models.config import Tta
from amazon_ml.models.engines import DEFAULT, EngineName, PrecisionName
from amazon_ml.runs.decision import Decision
from amazon_ml.runs.engine_choice import Requested
from amazon_ml.runs.labelled import predict_labelled, read_labelled
from amazon_ml.runs.labelled_folder import LabelledFolder
from amazon_ml.runs.predict import inputs_of
from amazon_ml.runs.scores import Metrics, TestScores, score_others
from amazon_ml.runs.views import open_with_views
from amazon_ml.runtime.files import write_json
from amazon_ml.runtime.outputs import check_outputs
from amazon_ml.settings import AnyPath, as_path


def evaluate(
    run: AnyPath, data: AnyPath, table: TableConfig = TABLE, *, split: Split | None = None, json: AnyPath | None = None,
    tta: Tta | None = None, engine: EngineName = "torch", precision: PrecisionName | None = None,
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
    table
        Options for finding and reading the table of tags, an `amazon_ml.data.config.TableConfig`. An option that is
        not given is that of the run, except for `labels_file`, `split_column`, `splits`, `image_dir` and `exclude`;
        the tag list is always that of the run.
    split
        Published split whose tiles are scored, as tables by split or `split_column` give it. By default the test split
        where there is one, else all tiles.
    json
        File for the scores.
    tta
        Views of each tile that are averaged: ``none``, ``flips`` (4) or ``d4`` (8). By default those of the run, with
        which its rule was tuned.
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
    run_path, requested = as_path("run", run), Requested(engine, precision)
    folder = LabelledFolder(as_path("data", data), table, split)
    scores_file = None if json is None else as_path("json", json)
    bundle = open_with_views(run_path, tta)
    if scores_file is not None:
        inputs = [*inputs_of(run_path, bundle, folder.root), *folder.tables()]
        check_outputs({"json": scores_file}, inputs, overwrite=overwrite)
    tiles, decision = read_labelled(run_path, bundle, folder), bundle.decision
    p, method = predict_labelled(bundle, tiles, requested, num_workers)
    scores = score_others(decision.tags, p, tiles.catalog.targets, decision.rule, decision.beta)
    metrics = _metrics(scores, tiles.catalog, decision, folder.root)
    if method != DEFAULT:
        metrics["engine"] = str(method)
    if tta is not None:
        metrics["tta"] = tta
    if scores_file is not None:
        write_json(scores_file, metrics)
    return metrics


def _metrics(scores: TestScores, catalog: Catalog, decision: Decision, data: Path) -> Metrics:
    """Put the scores together with what they are of."""
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
    return metrics
