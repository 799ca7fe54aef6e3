"""The bundle: the networks and the decision of a run, in a folder that needs no other file.

``bundle.json`` holds everything that prediction needs; the weights of each network lie beside it as safetensors. A run
is read as the same plain data, so that both predict in the same way. A blend is read as the data of its members::

    run     ──describe──▶  content  ──▶  Bundle  ──▶  predict, evaluate, export
    bundle.json ────────▶  content  ──▶

The bundle in a run is removed before each new decision and written after it, so that it never holds a former one.
"""

import hashlib
import json
import logging
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from safetensors import SafetensorError, safe_open

from amazon_ml.data.config import DataConfig, TableConfig
from amazon_ml.data.readers.bands import TileReader
from amazon_ml.data.readers.reader_file import describe_reader, reader_from
from amazon_ml.decisions.blending import Blender
from amazon_ml.errors import InputError
from amazon_ml.models.config import ModelConfig
from amazon_ml.runs.blend import read_blend
from amazon_ml.runs.bundle_content import Content, Description
from amazon_ml.runs.decision import Decision, decision_from, read_decision
from amazon_ml.runs.folder import Run
from amazon_ml.runs.hashes import check_recorded, check_task, read_recorded
from amazon_ml.runs.known_tiles import KNOWN, hash_names, known_names, write_known
from amazon_ml.runs.tiles import read_bands
from amazon_ml.runs.trainer import TrainerConfig
from amazon_ml.runtime.files import link_or_copy, read_json, sha256_of, write_json
from amazon_ml.runtime.regular_files import check_regular
from amazon_ml.settings import build

log = logging.getLogger(__name__)

#: Increased when an older version would misread what a newer one writes.
FORMAT = 1
#: The method of `amazon_ml.data.readers.images.resize`.
RESIZING = "area, cubic when enlarging"
_CONTENT, _CONTENT_HASH = "bundle.json", "sha256"
_AGAIN = "export the bundle again from its run"
#: The name of an option in a message; a value may hold the same mark.
_OPTION = re.compile(r"(?<![^\s(])`([a-z_.]+)`")
#: Options of the network that prediction needs. The loss is one, since it decides how logits become probabilities.
_NETWORK = ("backbone", "backbone_args", "loss", "tta", "tta_mean", "channels_last")
#: Options that say how a tag table is read; every call names its own table.
_TABLE = (
    "name_column", "tags_column", "tag_columns", "tag_separator", "min_share", "allow_missing", "allow_untagged",
    "merge_rows",
)  # fmt: skip


@dataclass(frozen=True)
class Networks:
    """Trained networks of one kind, and how their tiles are read; their probabilities are averaged.

    Parameters
    ----------
    source
        Run or bundle, for messages.
    weights
        A safetensors file for each network.
    tags
        In the order of the networks' outputs.
    model
        Options of the networks that prediction needs.
    size
        Edge of the tiles, pixels.
    read
        How tiles are read.
    batch_size
        Tiles at once.
    trainer
        Device and precision.
    gsd
        Metres on the ground that a pixel of a tile of this size shows; None where that is not known.
    """

    source: Path
    weights: tuple[Path, ...]
    tags: tuple[str, ...]
    model: ModelConfig
    size: int
    read: TileReader
    batch_size: int
    trainer: TrainerConfig
    gsd: float | None = None


@dataclass(frozen=True)
class Blended:
    """Networks of several kinds, whose probabilities are blended.

    Parameters
    ----------
    source
        The blend, for messages.
    members
        Networks that are blended, or blends of them.
    tags
        Order of the tags in the probabilities that the blender takes and gives.
    blender
        Combines the probabilities of the members.
    """

    source: Path
    members: "tuple[Networks | Blended, ...]"
    tags: tuple[str, ...]
    blender: Blender

    @property
    def read(self) -> TileReader:
        """How the first member reads tiles."""
        return self.members[0].read


@dataclass(frozen=True)
class Bundle:
    """Networks and decision: everything that turns tiles into tags.

    Parameters
    ----------
    networks
        Turn tiles into probabilities.
    decision
        Turns probabilities into tags.
    table
        Data options that say how a tag table is read.
    frequencies
        Share of the labelled tiles with each tag, by its name; empty where that is not recorded.
    known
        File of a bundle with the hashes of the names of its training tiles; None for a run.
    """

    networks: Networks | Blended
    decision: Decision
    table: TableConfig
    frequencies: Mapping[str, float] = field(default_factory=dict)
    known: Path | None = None


def is_bundle(path: Path) -> bool:
    """Whether a folder is a bundle itself, not a run that holds one."""
    return (path / _CONTENT).is_file()


def without_options(error: InputError, path: Path) -> InputError:
    """Make the error of a bundle out of one of options: whoever reads the bundle did not give them."""
    problem, remedy = (_OPTION.sub(_own_name, text) for text in (error.problem, error.remedy))
    return InputError(problem, file=path / _CONTENT, remedy=remedy)


def _own_name(option: re.Match[str]) -> str:
    name = option[1].rpartition(".")[2]
    return "batch_size" if name == "predict_batch_size" else name


def bundle_paths(path: Path) -> list[Path]:
    """List the files of a bundle; none for another folder."""
    return [path / _CONTENT, *path.glob("*.safetensors")] if is_bundle(path) else []


def open_bundle(path: Path) -> Bundle:
    """Open a run as it is now, or a bundle.

    Raises
    ------
    InputError
        Where the folder is neither, or where its files do not fit together.
    """
    if is_bundle(path):
        return _read_bundle(path)
    run = Run(path)
    if not run.config.exists():
        raise InputError(
            f"this is neither a run nor a bundle: it has no {run.config.name} and no {_CONTENT}", file=path
        )
    decision = read_decision(run)
    data = run.read_provenance()["data"]
    table = build(TableConfig, _table(run.read_config().data))
    return Bundle(_networks(run), decision, table, _frequencies(data))


def run_networks(run: Run, fold: int | None = None) -> Networks:
    """Open the networks of a run that is no blend: those of all finished folds, or the one that holds out a fold."""
    weights = _weights(run)
    if fold is not None:
        name = f"{run.fold(fold).path.name}.safetensors"
        if name not in weights:
            raise InputError(f"the run has no finished network of fold {fold}", file=run.path)
        weights = {name: weights[name]}
    return _described(run.path, describe(run), tuple(weights.values()), run.read_config().trainer)


def _frequencies(data: Mapping[str, Any]) -> dict[str, float]:
    """Share of the labelled tiles with each tag, out of their numbers in the provenance of the tiles."""
    tiles = int(data.get("labelled", 0))
    return {str(tag): int(count) / tiles for tag, count in data["tags"].items()} if tiles else {}


def describe(run: Run) -> Description:
    """Give what prediction needs to know of a run, as plain data."""
    config = run.read_config()
    gsd, edge = config.data.gsd, run.read_provenance()["data"].get("edge")
    ground = gsd * edge / config.data.size if gsd and edge else None
    return {
        "format": FORMAT,
        "tags": list(run.tags()),
        "table": _table(config.data),
        "tiles": {**describe_reader(read_bands(run)), "size": config.data.size, "gsd": ground, "resizing": RESIZING},
        "network": _network(config.model),
        "predict": {"batch_size": config.data.predict_batch_size, "precision": config.trainer.precision},
        "data": _without(run.read_provenance()["data"], "root"),
    }


def _network(model: ModelConfig) -> dict[str, object]:
    return {name: getattr(model, name) for name in _NETWORK}


def _table(data: TableConfig) -> dict[str, object]:
    return {name: getattr(data, name) for name in _TABLE}


def write_bundle(run: Run) -> None:
    """Write the bundle of a run, without paths of this machine."""
    read_decision(run)  # a broken decision is an error here, not where the bundle is used
    provenance, weights, known = run.read_provenance(), _weights(run), hash_names(known_names(run))
    content: Content = {
        **describe(run),
        "decision": read_recorded(run.decision),
        "metrics": _without(read_recorded(run.metrics), "tiles_of"),
        "folds": provenance["folds"],
        "trained_with": provenance["made_with"],
        # Without the commands, which hold paths of this machine.
        "accepted": [{"time": one["time"], "files": one["files"]} for one in provenance.get("accepted", [])],
    }
    withdraw_bundle(run)
    for name, file in weights.items():
        link_or_copy(file, run.bundle / name)
    write_known(run.bundle / KNOWN, known)
    hashes = {name: sha256_of(run.bundle / name) for name in (*weights, KNOWN)}
    whole = {**content, "known": {KNOWN: hashes.pop(KNOWN)}, "weights": hashes}
    write_json(run.bundle / _CONTENT, {**whole, _CONTENT_HASH: content_hash(whole)})
    for file in run.bundle.glob("*.safetensors"):
        if re.fullmatch(r"fold-\d+\.safetensors", file.name) and file.name not in weights:
            file.unlink()
    log.info("wrote %s: %d network%s", run.bundle, len(weights), "s" if len(weights) > 1 else "")


def check_bundled(run: Run) -> None:
    """Check what `write_bundle` needs besides a decision and scores, before a new decision is written."""
    _weights(run)
    known_names(run)
    describe(run)


def content_hash(content: Mapping[str, object]) -> str:
    """SHA-256 of the content of a bundle: one that was edited by hand would tag in a way that nobody has scored."""
    plain = json.loads(json.dumps(_without(content, _CONTENT_HASH)))  # as it is read from JSON, where keys are text
    return hashlib.sha256(json.dumps(plain, sort_keys=True).encode()).hexdigest()


def withdraw_bundle(run: Run) -> None:
    """Remove the description of the bundle, so that the folder is no bundle until it is written again."""
    (run.bundle / _CONTENT).unlink(missing_ok=True)


def _read_bundle(path: Path) -> Bundle:
    file = path / _CONTENT
    content = read_json(file)
    found = content.get("format") if isinstance(content, dict) else None
    if found != FORMAT:
        raise InputError(f"the file has format {found}, and this version of amazon-ml reads format {FORMAT}", file=file)
    if content.get(_CONTENT_HASH) != content_hash(content):
        raise InputError("the file is not as it was written: its SHA-256 differs", file=file, remedy=_AGAIN)
    try:
        if content["tiles"]["resizing"] != RESIZING:
            raise InputError(
                f"tiles were resized by {content['tiles']['resizing']}, and this version resizes by {RESIZING}",
                file=file,
            )
        weights = tuple(_checked(path, str(name), str(sha256)) for name, sha256 in content["weights"].items())
        if not weights:
            raise InputError("the file names no weights", file=file)
        decision = decision_from(content["decision"], tuple(map(str, content["tags"])), file, _AGAIN)
        table = build(TableConfig, content["table"], strict=True)
        networks = _described(path, content, weights, TrainerConfig(precision=content["predict"]["precision"]))
        known = _checked(path, KNOWN, str(content["known"][KNOWN]))
        return Bundle(networks, decision, table, _frequencies(content["data"]), known)
    except InputError as error:
        if error.file is not None:
            raise
        raise without_options(error, path) from None
    except (LookupError, TypeError, ValueError, AttributeError) as error:
        raise InputError(f"the file does not describe a bundle: {error!r}", file=file, remedy=_AGAIN) from None


def _networks(run: Run, inside: tuple[Path, ...] = ()) -> Networks | Blended:
    if run.blend.exists():
        around = (*inside, run.path.resolve())
        if around[-1] in inside:
            raise InputError("a blend cannot be a member of itself", file=run.blend, remedy="blend the runs again")
        blend = read_blend(run)
        members = tuple(_networks(member, around) for member in blend.members)
        return Blended(run.path, members, run.tags(), blend.blender)
    return run_networks(run)


def _described(source: Path, content: Description, weights: tuple[Path, ...], trainer: TrainerConfig) -> Networks:
    tiles, batch_size = content["tiles"], content["predict"]["batch_size"]
    model = build(ModelConfig, {**content["network"], "pretrained": False}, strict=True)
    # The sizes are checked by the ranges of the options of training.
    values = {"root": "", "size": tiles["size"], "gsd": tiles.get("gsd"), "predict_batch_size": batch_size}
    data = build(DataConfig, values, strict=True)
    return Networks(
        source, weights, tuple(map(str, content["tags"])), model, data.size, reader_from(tiles), batch_size, trainer,
        data.gsd,
    )  # fmt: skip


def _weights(run: Run) -> dict[str, Path]:
    """Give the weights of a run's networks by their names in a bundle."""
    folds = run.finished_folds()
    if not folds:
        raise InputError(
            "the run has no trained network", file=run.path, remedy="run amazon-ml train again to finish it"
        )
    _check_lost(run)
    task = str(run.read_provenance()["task"])
    for fold in folds:
        check_task(fold.path, task)
        check_recorded(fold.weights)
    return {f"{fold.path.name}.safetensors": fold.weights for fold in folds}


def _check_lost(run: Run) -> None:
    """Refuse a run of which a network is gone or cut short, whose probabilities are among those of the run."""
    if lost := run.lost_networks():
        raise InputError(
            "the file is missing",
            file=lost[0],
            remedy=f"put it back, or train its fold again, or delete {lost[0].parent}",
        )
    for fold in run.finished_folds():
        check_regular(fold.weights)
        try:
            with safe_open(fold.weights, framework="numpy"):
                pass  # opening compares the list of tensors with the length of the file
        except (OSError, SafetensorError) as error:
            raise InputError(
                f"the file is damaged ({error})",
                file=fold.weights,
                remedy=f"put it back, or delete it and train its fold again, or delete {fold.path}",
            ) from None


def _checked(folder: Path, name: str, sha256: str) -> Path:
    file = folder / name
    if file.parent != folder or not file.is_file():
        raise InputError(
            f"the file names {name!r}, which {folder} lacks",
            file=folder / _CONTENT,
            remedy="copy the whole folder",
        )
    if sha256_of(file) != sha256:
        raise InputError(
            f"this is not the file that {_CONTENT} was written for: its SHA-256 differs",
            file=file,
            remedy="copy the bundle again",
        )
    return file


def _without(content: Mapping[str, object], key: str) -> dict[str, object]:
    return {name: value for name, value in content.items() if name != key}
