"""Predicts the tags of any tiles from Python: `Predictor.load(...)`, then `predict_proba` or `predict`."""

import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from os import PathLike
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
import pandas as pd
import torch

from amazon_ml.data.catalog.tiles import first_of
from amazon_ml.errors import InputError, check_least
from amazon_ml.labels import TagSet
from amazon_ml.models.config import Tta
from amazon_ml.models.engines import DEFAULT, REFERENCE, EngineName, Method, PrecisionName
from amazon_ml.models.preprocess import check_images
from amazon_ml.runs.bundle import Bundle, Networks
from amazon_ml.runs.engine_choice import SAMPLE, Requested, Sample, choose_method, sample_files, settle, spread
from amazon_ml.runs.given_tiles import (
    TileArrays,
    Tiles,
    as_array,
    check_same_files,
    check_same_levels,
    choose_files,
    list_given,
    list_scene,
    native,
)
from amazon_ml.runs.inference import Engine, Predicted, Probabilities, all_members, choose_device, predict_members
from amazon_ml.runs.predict import predict_listed
from amazon_ml.runs.reopening import Origin, origin_of, reopen
from amazon_ml.runs.views import open_with_views
from amazon_ml.settings import build

if TYPE_CHECKING:
    from amazon_ml.scenes.result import SceneResult


class _Here(threading.local):
    """What a thread records and uses within `Predictor.recorded`, while others predict into other folders."""

    record: Path | None = None
    engine: Engine | None = None


class Predictor:
    """The networks and the decision rule of a run, a bundle or a blend; make one with `Predictor.load`.

    Networks are in evaluation mode, and no gradients are computed. Probabilities are those of ``amazon-ml predict``, to
    1e-6. Several threads may use one predictor at the same time.

    Parameters
    ----------
    bundle
        Result of `amazon_ml.runs.bundle.open_bundle`.
    device
        Device of the networks, such as ``cpu`` or ``cuda:1``; by default the GPU, if there is one.
    batch_size
        Number of tiles in a batch; by default that of the run.
    num_workers
        Number of processes that read files; by default 0 on the CPU, one for each core beside a GPU.
    progress
        Whether to show a progress bar.
    engine
        What computes: ``torch``, ``folded``, ``onnx``, or ``auto``, as in ``amazon-ml predict``. ``auto`` is decided
        at the first call with 64 tiles or more.
    precision
        ``float32``, ``bf16`` or ``auto``; by default float32 on a CPU, and the precision of training on a GPU.

    Raises
    ------
    InputError
        For a device that is not there, a batch size below 1, a negative number of processes, and an engine or a
        precision that cannot be used here.

    Examples
    --------
    >>> import numpy as np
    >>> tagger = Predictor.load("runs/demo/bundle", device="cpu")
    >>> tagger.predict("tiles/").columns.tolist()
    ['image_name', 'tags']
    >>> p = tagger.predict_proba(np.zeros((2, 256, 256, 3), dtype=np.uint8), scale=True)
    >>> p.shape, p.dtype
    ((2, 17), dtype('float32'))
    """

    def __init__(
        self,
        bundle: Bundle,
        *,
        device: str | torch.device | None = None,
        batch_size: int | None = None,
        num_workers: int | None = None,
        progress: bool = False,
        engine: EngineName = "torch",
        precision: PrecisionName | None = None,
    ) -> None:
        check_least("batch_size", batch_size, 1)
        check_least("num_workers", num_workers, 0)
        self._bundle, self._batch_size = bundle, batch_size
        self._requested, self._lock = Requested(engine, precision), threading.Lock()
        self._members = all_members(bundle.networks)
        devices = [choose_device(member, device) for member in self._members]
        self._engine = Engine(None if device is None else devices[0], num_workers, progress)
        self._few: Engine | None = None
        self._method: Method | None = None
        self._here = _Here()
        self._origin: Origin | None = None
        if self._requested.fixed is not None:
            self._prepare(self._requested.fixed)

    @classmethod
    def load(
        cls, path: str | PathLike[str], *, device: str | torch.device | None = None, batch_size: int | None = None,
        num_workers: int | None = None, progress: bool = False, tta: Tta | None = None, engine: EngineName = "torch",
        precision: PrecisionName | None = None,
    ) -> "Predictor":  # fmt: skip
        """Load the networks and the rule of a run, a bundle or a blend.

        Parameters
        ----------
        path
            Folder of the run, the bundle or the blend.
        device
            Where networks predict; the GPU where there is one by default.
        batch_size
            Tiles at once; as the run has it by default.
        num_workers
            Processes that read files; by default none on the CPU, one a core beside a GPU.
        progress
            Whether to show a progress bar.
        tta
            Views of each tile: ``none``, ``flips`` (4) or ``d4`` (8); by default those that the rule was tuned with.
        engine
            ``torch``, ``folded``, ``onnx`` or ``auto``.
        precision
            ``float32``, ``bf16`` or ``auto``; by default float32 on a CPU, and that of training on a GPU.

        Returns
        -------
        Predictor
            With all networks in memory, unless engine or precision are ``auto``.

        Raises
        ------
        InputError
            If the folder is none of these, or a file of it is missing or damaged.
        """
        folder = Path(path).expanduser()
        bundle = open_with_views(folder, tta)
        options: dict[str, Any] = {"device": device, "batch_size": batch_size, "num_workers": num_workers,
                                   "progress": progress, "engine": engine, "precision": precision}  # fmt: skip
        loaded = cls(bundle, **options)
        loaded._origin = origin_of(folder, {**options, "tta": tta}, bundle)
        return loaded

    @property
    def bundle(self) -> Bundle:
        """The networks, how they read tiles, and the decision."""
        return self._bundle

    @property
    def tags(self) -> tuple[str, ...]:
        """The tags, in the order of the columns of `predict_proba`."""
        return tuple(self._bundle.decision.tags)

    @property
    def rule(self) -> Any:
        """The decision rule, which converts probabilities to tags."""
        return self._bundle.decision.rule

    @property
    def requested(self) -> Requested:
        """The engine and the precision that were requested."""
        return self._requested

    @property
    def engine(self) -> str | None:
        """The engine and the precision that are used; None where ``auto`` has not been decided yet."""
        used = self._here.engine or (None if self._method is None else self._engine)
        return None if used is None else used.names(self._members)

    @property
    def on_gpu(self) -> bool:
        """Whether networks compute on a GPU."""
        return any(self._engine.placement(member).device.type == "cuda" for member in self._members)

    def predict_proba(self, tiles: Tiles, *, scale: bool = False) -> Probabilities:
        """Predict the probability of each tag.

        Parameters
        ----------
        tiles
            An array of uint8, or of uint16 where the run has that `data.dtype`, of shape (tiles, height, width, bands),
            with the bands of the run in their order; or a folder, with its subfolders; or a list, a Series or an array
            of files (of the first band, if each band has its own); or a table with a column ``path``, and a column
            ``tif`` for the TIF beside a JPG if the run reads both.
        scale
            Scale arrays of another height and width as files are scaled; by default they are an error.

        Returns
        -------
        numpy.ndarray
            float32 of shape (tiles, tags), in 0..1. Rows are in the order of arrays, files or table rows, and in the
            natural order of names for a folder (``2`` before ``10``). Columns are in the order of `tags`.

        Raises
        ------
        InputError
            If an array has masked values, or another type, shape or number of bands than expected, or is given to a
            blend whose members read other bands or limits; or if a file cannot be read.
        """
        return self._predict(tiles, scale).p

    def predict(self, tiles: Tiles, *, scale: bool = False) -> pd.DataFrame:
        """Predict the tags of each tile with the decision rule.

        Parameters
        ----------
        tiles
            As `predict_proba` takes them.
        scale
            Scale arrays of another height and width as files are scaled; they are refused by default.

        Returns
        -------
        pandas.DataFrame
            A row for each tile: ``image_name`` (row numbers for arrays) and ``tags``, separated as in the table that
            was trained on. Its index is that of a table or a Series of tiles, so that columns can be assigned to it.

        Raises
        ------
        InputError
            As `predict_proba` does.
        """
        predicted = self._predict(tiles, scale)
        separator = TagSet(self.tags).separator(self._bundle.table.tag_separator)
        encoded = self.rule.predict(predicted.p) if len(predicted.p) else None
        tags = [] if encoded is None else TagSet(self.tags).decode(encoded, separator=separator)
        table = pd.DataFrame({"image_name": predicted.names.to_numpy(), "tags": pd.Series(tags, dtype=object)})
        return table.set_axis(tiles.index) if isinstance(tiles, pd.DataFrame | pd.Series) else table

    def predict_scene(
        self, scene: str | PathLike[str] | Sequence[str | PathLike[str]], out: str | PathLike[str] | None = None, *,
        geojson: bool = False, overwrite: bool = False, **options: object,
    ) -> "SceneResult":  # fmt: skip
        """Tag a scene: a georeferenced raster, cut into windows of the size of the tiles.

        Parameters
        ----------
        scene
            GeoTIFF, JPEG 2000 or VRT, or a folder of them, or several; all files together make one scene.
        out
            Folder to write maps to; by default nothing is written. A call that was killed resumes there.
        geojson
            Write a GeoJSON, too.
        overwrite
            Replace existing results.
        options
            Options of `amazon_ml.scenes.config.SceneConfig`, such as ``stride=128`` or ``aoi="area.geojson"``.

        Returns
        -------
        SceneResult
            Probabilities and tags of each cell; `summary` gives the area of each tag.

        Raises
        ------
        InputError
            If a file cannot be read or does not fit the networks, or an output exists.
        """
        from amazon_ml.scenes.config import SceneConfig
        from amazon_ml.scenes.predict import predict_scene

        return predict_scene(
            self, list_scene(scene), build(SceneConfig, options), out=None if out is None else Path(out),
            geojson=geojson, overwrite=overwrite,
        )  # fmt: skip

    def __reduce__(self) -> tuple[Any, ...]:
        """Give the folder and the options, so that another process loads it again, with locks of its own."""
        if self._origin is None:
            raise InputError("only a predictor that `Predictor.load` made can be pickled or copied",
                             remedy="call `Predictor.load` in each process")  # fmt: skip
        return reopen, (type(self).load, self._origin, self._method)

    def _predict(self, tiles: Tiles, scale: bool) -> Predicted:
        if (array := as_array(tiles)) is not None:
            return self._predict_array(array, scale)
        check_same_files(self._bundle.networks)
        return self._predict_table(list_given(tiles, self._bundle.networks.read))

    def _predict_array(self, images: npt.NDArray[Any], scale: bool) -> Predicted:
        check_same_levels({member.source: member.read for member in self._members})
        names: pd.Series[Any] = pd.Series(range(len(images)) if images.ndim else [])

        def tiles(networks: Networks) -> TileArrays:
            check_images(
                native(images), images.shape, len(networks.read.bands), None if scale else networks.size,
                networks.read.dtype,
            )  # fmt: skip
            return TileArrays(images, networks.size)

        def predict(networks: Networks) -> Predicted:
            return Predicted(names, engine.score(self._sized(networks), tiles(networks)), {})

        count = len(images) if images.ndim else 0
        engine = self._decide(lambda networks: tiles(networks).fetch(spread(count)), count)
        engine = replace(engine, num_workers=0)  # the tiles are in memory; processes would only copy them
        predicted = predict_members(self._bundle.networks, predict)
        return replace(predicted, p=self._in_order(predicted.p), names=names)

    def _predict_table(self, table: pd.DataFrame) -> Predicted:
        rows = table.assign(image_name=list(map(str, range(len(table)))))  # names may occur twice
        if table.empty:
            return Predicted(table["image_name"], np.zeros((0, len(self.tags)), dtype=np.float32), {})
        engine = self._decide(sample_files(lambda read: choose_files(rows, read)), len(rows))
        predicted = predict_members(
            self._bundle.networks,
            lambda one: predict_listed(self._sized(one), lambda read: choose_files(rows, read), None, engine),
        )
        if predicted.failed:
            raise first_of(list(predicted.failed.values()))
        return Predicted(table["image_name"], self._in_order(predicted.p), {})

    def _in_order(self, p: Probabilities) -> Probabilities:
        """Put the columns into the order of the tags of the decision."""
        own = list(self._bundle.networks.tags)
        return p if tuple(own) == self.tags else p[:, [own.index(tag) for tag in self.tags]]

    def _sized(self, networks: Networks) -> Networks:
        return networks if self._batch_size is None else replace(networks, batch_size=self._batch_size)

    @contextmanager
    def recorded(self, file: Path | None, has_parts: bool) -> Iterator[None]:
        """Record the engine beside the parts of a prediction, or use the one that is recorded there.

        Parameters
        ----------
        file
            File of the record; None records nothing.
        has_parts
            Whether parts are there already.
        """
        if file is None:
            yield
            return
        here, engine = self._here, None
        with self._lock:
            if self._method is not None or file.exists() or has_parts:
                engine = self._settled(file, DEFAULT if has_parts else None)
        outer, here.record, here.engine = (here.record, here.engine), file, engine
        try:
            yield
        finally:
            here.record, here.engine = outer

    def _decide(self, sample: Sample, count: int) -> Engine:
        """Give the engine for some tiles; the first call with enough tiles chooses it, where that is left open."""
        here = self._here
        if here.engine is not None:
            return here.engine
        with self._lock:
            if self._method is None:
                if count < SAMPLE and here.record is None:  # too few to judge the engines by
                    self._few = self._few or self._with(REFERENCE)
                    return self._few
                device, size, method = self._engine.device, self._batch_size, REFERENCE
                if count >= SAMPLE:
                    method = choose_method(self._bundle, self._requested, sample, device, size)
                self._prepare(method)
            if here.record is not None:
                here.engine = self._settled(here.record)
            return self._engine

    def _settled(self, file: Path, former: Method | None = None) -> Engine:
        """Use the method that is recorded beside parts, or record that in use."""
        chosen = self._method or DEFAULT
        used = settle(file, self._requested, lambda: chosen, former)
        if used != self._method:
            self._prepare(used)
        return self._engine

    def _prepare(self, method: Method) -> None:
        self._engine, self._method, self._few = self._with(method), method, None

    def _with(self, method: Method) -> Engine:
        """Give an engine with its prepared networks, which a call keeps while another call chooses."""
        engine = replace(self._engine, method=method, ready=None)
        ready = {member.weights: list(engine.prepare(member)) for member in self._members}
        return replace(engine, ready=lambda networks: ready[networks.weights])
