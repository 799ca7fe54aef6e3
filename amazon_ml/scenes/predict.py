"""Tags a scene: the whole of it, or a shard."""

from collections.abc import Sequence
from pathlib import Path

from amazon_ml.errors import InputError
from amazon_ml.models.engines import EngineName, PrecisionName
from amazon_ml.predictor import Predictor
from amazon_ml.runs.predict import inputs_of
from amazon_ml.runs.shards import parse_shard
from amazon_ml.scenes.config import SCENE, SceneConfig
from amazon_ml.scenes.finish import finish
from amazon_ml.scenes.outputs import check_folder
from amazon_ml.scenes.prepare import prepare
from amazon_ml.scenes.result import SceneResult
from amazon_ml.scenes.shards import predict_shard
from amazon_ml.scenes.tagging import Tagger


def tag_scene(
    run: Path, *, scene: list[str], out: Path, how: SceneConfig = SCENE, engine: EngineName = "torch",
    precision: PrecisionName | None = None, geojson: bool = False, shard: str | None = None, overwrite: bool = False,
) -> SceneResult | None:  # fmt: skip
    """Tag a scene: write a map with a cell for each window, and the area of each tag.

    Parameters
    ----------
    run
        Run folder, trained and tuned, or a bundle.
    scene
        GeoTIFF, JPEG 2000 or VRT, several of them, or folders. All files together make one scene; where several show
        the same place, the first that has data counts.
    out
        Folder to write: map.html, cells.gpkg, cells.parquet, probabilities.tif, summary.csv and scene.json.
    how
        How the scene is read.
    engine
        What computes: PyTorch (``torch``), PyTorch with batch norm folded into convolutions (``folded``), or
        onnxruntime (``onnx``). ``auto`` times each on up to 64 of the first windows, and chooses the fastest one that
        agrees with torch in float32: each probability to 0.002, and 99.9 % of the tags.
    precision
        Precision of the operations; see `amazon_ml.runs.evaluate.evaluate`.
    geojson
        Write cells.geojson, too, in longitude and latitude.
    shard
        Tag one part of the scene, such as 3/16, counted from 0, and write no map. Strips that are done are not
        computed again. When all are there, amazon-ml scene merge writes the map.
    overwrite
        Replace existing results, and the beginning of another call.
    """
    predictor = Predictor.load(run, engine=engine, precision=precision)
    check_folder(out, [run, *inputs_of(run, predictor.bundle), *map(Path, scene)])
    if shard is None:
        return predict_scene(predictor, scene, how, out=out, geojson=geojson, overwrite=overwrite)
    for option, given in (("geojson", geojson), ("overwrite", overwrite)):
        if given:
            raise InputError(f"`shard` writes no map, which `{option}` is for", option=option,
                             remedy="use it in amazon-ml scene merge")  # fmt: skip
    prepared = prepare(Tagger(predictor.bundle, predictor), scene, how, out=out)
    predict_shard(run, prepared, scene, out, parse_shard(shard))
    return None


def predict_scene(
    predictor: Predictor, scene: str | Path | Sequence[str | Path], how: SceneConfig = SCENE, *,
    out: Path | None = None, geojson: bool = False, overwrite: bool = False,
) -> SceneResult:  # fmt: skip
    """Predict the tags of a scene.

    Parameters
    ----------
    predictor
        The networks and the decision rule.
    scene
        File or folder, or several of them.
    how
        Options.
    out
        Folder for the results; None writes nothing. A call that was killed resumes there.
    geojson
        Write a GeoJSON, too.
    overwrite
        Replace existing results.

    Returns
    -------
    SceneResult
        Probabilities and tags of each cell.

    Raises
    ------
    InputError
        If a file cannot be read, does not fit the networks, or an output exists.
    """
    prepared = prepare(Tagger(predictor.bundle, predictor), scene, how, out=out)
    return finish(prepared, out, geojson=geojson, overwrite=overwrite)
