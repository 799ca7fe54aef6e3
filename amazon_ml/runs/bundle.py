"""The bundle: a run's networks and its decision, in a folder that needs nothing beside it.

``bundle.json`` says everything that prediction has to know; each network's weights lie beside it as
safetensors. A run is opened as the same plain data, so that both predict in one way, and a blend as that
of its members::

    run     ──describe──▶  content  ──▶  Bundle  ──▶  predict, evaluate, export
    bundle.json ────────▶  content  ──▶

The bundle in a run is withdrawn before each new decision and written after it: it cannot fall behind.
"""

import hashlib
import json
import logging
import os
import re
import shutil
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from safetensors import SafetensorError, safe_open

from amazon_ml.data.config import DataConfig, TableConfig
from amazon_ml.data.readers.bands import TileReader, reader_from
from amazon_ml.decisions.blending import Blender
from amazon_ml.errors import InputError
from amazon_ml.models.config import ModelConfig
from amazon_ml.runs.blend import read_blend
from amazon_ml.runs.decision import Decision, decision_from, read_decision
from amazon_ml.runs.folder import Run
from amazon_ml.runs.hashes import check_recorded, check_task, read_recorded
from amazon_ml.runs.tiles import read_bands
from amazon_ml.runs.trainer import TrainerConfig
from amazon_ml.runtime.files import atomic_write, read_json, sha256_of, write_json
from amazon_ml.runtime.regular_files import check_regular
from amazon_ml.settings import build

log = logging.getLogger(__name__)

#: Counted up when an older version would misread what a newer one writes.
FORMAT = 1
#: What `amazon_ml.data.readers.images.resize` does.
RESIZING = "area, cubic when enlarging"
_CONTENT, _CONTENT_HASH = "bundle.json", "sha256"
#: Options of the network that prediction needs; the loss, since it says how logits become probabilities.
_NETWORK = ("backbone", "backbone_args", "loss", "tta", "tta_mean", "channels_last")
#: Options that say how a tag table is read; where it lies is for every call to say.
_TABLE = (
    "name_column",
    "tags_column",
    "tag_columns",
    "tag_separator",
    "min_share",
    "allow_missing",
    "allow_untagged",
    "merge_rows",
)
#: What a bundle tells of changes by hand that were accepted; commands tell paths of this machine.
_ACCEPTED = ("time", "files")


@dataclass(frozen=True)
class Networks:
    """Trained networks of one kind, and how tiles come to them; their probabilities are averaged.

    Parameters
    ----------
    source
        Run or bundle, for messages.
    weights
        One safetensors file a network.
    tags
        In the order of the networks' outputs.
    model
        Options of the networks, as far as prediction needs them.
    size
        Edge of the tiles, pixels.
    read
        How tiles are read.
    batch_size
        Tiles at once.
    trainer
        Where and how networks are run.
    """

    source: Path
    weights: tuple[Path, ...]
    tags: tuple[str, ...]
    model: ModelConfig
    size: int
    read: TileReader
    batch_size: int
    trainer: TrainerConfig


@dataclass(frozen=True)
class Blended:
    """Networks of several kinds, whose probabilities a blend makes one of.

    Parameters
    ----------
    source
        The blend, for messages.
    members
        What is blended; blends, too.
    tags
        The order in which the blend takes and gives probabilities.
    blender
        Makes one probability of the members'.
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
    """All that turns tiles into tags.

    Parameters
    ----------
    networks
        Tiles to probabilities.
    decision
        Probabilities to tags.
    table
        Data options that say how a tag table is read.
    data_sha256
        Hash of the tiles and tags that were trained and tuned on, as `Catalog.sha256`.
    """

    networks: Networks | Blended
    decision: Decision
    table: TableConfig
    data_sha256: str


def is_bundle(path: Path) -> bool:
    """Whether a folder is a bundle, rather than a run that may hold one."""
    return (path / _CONTENT).is_file()


def bundle_paths(path: Path) -> list[Path]:
    """List the files of a bundle; none for another folder."""
    return [path / _CONTENT, *path.glob("*.safetensors")] if is_bundle(path) else []


def open_bundle(path: Path) -> Bundle:
    """Open a run as it is now, or a bundle.

    Raises
    ------
    InputError
        Where the folder is neither, or what it holds does not fit together.
    """
    if is_bundle(path):
        return _read_bundle(path)
    run = Run(path)
    if not run.config.exists():
        raise InputError(f"{path} is neither a run nor a bundle: it has no {run.config.name} and no {_CONTENT}")
    decision = read_decision(run)
    sha256 = str(run.read_provenance()["data"]["sha256"])
    return Bundle(_networks(run), decision, build(TableConfig, _table(run.read_config().data)), sha256)


def describe(run: Run) -> dict[str, Any]:
    """Tell what prediction has to know of a run, as plain data."""
    config = run.read_config()
    return {
        "format": FORMAT,
        "tags": list(run.tags()),
        "table": _table(config.data),
        "tiles": {**asdict(read_bands(run)), "size": config.data.size, "resizing": RESIZING},
        "network": _network(config.model),
        "predict": {"batch_size": config.data.predict_batch_size, "precision": config.trainer.precision},
        "data": _without(run.read_provenance()["data"], "root"),
    }


def _network(model: ModelConfig) -> dict[str, Any]:
    return {name: getattr(model, name) for name in _NETWORK}


def _table(data: TableConfig) -> dict[str, Any]:
    return {name: getattr(data, name) for name in _TABLE}


def write_bundle(run: Run) -> None:
    """Write a run's bundle; what one hands on tells no paths of this machine."""
    read_decision(run)  # a broken one is not handed on
    facts, weights = run.read_provenance(), _weights(run)
    content = {
        **describe(run),
        "decision": read_recorded(run.decision),
        "metrics": _without(read_recorded(run.metrics), "tiles_of"),
        "folds": facts["folds"],
        "trained_with": facts["made_with"],
        "accepted": [{key: one[key] for key in _ACCEPTED} for one in facts.get("accepted", [])],
    }
    withdraw_bundle(run)
    for name, file in weights.items():
        _place(file, run.bundle / name)
    content["weights"] = {name: sha256_of(run.bundle / name) for name in weights}
    write_json(run.bundle / _CONTENT, {**content, _CONTENT_HASH: content_hash(content)})
    for file in run.bundle.glob("*.safetensors"):
        if re.fullmatch(r"fold-\d+\.safetensors", file.name) and file.name not in weights:
            file.unlink()
    log.info("wrote %s: %d network%s", run.bundle, len(weights), "s" if len(weights) > 1 else "")


def check_bundled(run: Run) -> None:
    """Check what `write_bundle` needs beside a decision and scores, before a new decision is written."""
    _weights(run)
    describe(run)


def content_hash(content: dict[str, Any]) -> str:
    """SHA-256 of all that a bundle says: edited by hand, it would tag by what nobody has scored."""
    said = json.loads(json.dumps(_without(content, _CONTENT_HASH)))  # as it is read again, numbers as keys being text
    return hashlib.sha256(json.dumps(said, sort_keys=True).encode()).hexdigest()


def withdraw_bundle(run: Run) -> None:
    """Take the bundle's description away, so that what is left is no bundle until it is written anew."""
    (run.bundle / _CONTENT).unlink(missing_ok=True)


def _read_bundle(path: Path) -> Bundle:
    file = path / _CONTENT
    content = read_json(file)
    there = content.get("format") if isinstance(content, dict) else None
    if there != FORMAT:
        raise InputError(f"{file} is of format {there}, and this version of amazon-ml reads format {FORMAT}")
    if content.get(_CONTENT_HASH) != content_hash(content):
        raise InputError(f"{file} is not as it was written: its SHA-256 is another; export it anew from its run")
    try:
        if content["tiles"]["resizing"] != RESIZING:
            raise InputError(f"{file}: tiles were resized by {content['tiles']['resizing']}, here by {RESIZING}")
        weights = tuple(_checked(path, str(name), str(sha256)) for name, sha256 in content["weights"].items())
        if not weights:
            raise InputError(f"{file} names no weights")
        anew = "export the bundle anew from its run"
        decision = decision_from(content["decision"], tuple(map(str, content["tags"])), file, anew)
        table = build(TableConfig, content["table"], strict=True)
        networks = _described(path, content, weights, TrainerConfig(precision=content["predict"]["precision"]))
        return Bundle(networks, decision, table, str(content["data"]["sha256"]))
    except InputError as error:
        raise InputError(str(error) if str(error).startswith(str(file)) else f"{file}: {error}") from None
    except (LookupError, TypeError, ValueError, AttributeError) as error:
        raise InputError(f"{file} does not say what a bundle has to say: {error!r}; export it anew") from None


def _networks(run: Run, inside: tuple[Path, ...] = ()) -> Networks | Blended:
    if run.blend.exists():
        around = (*inside, run.path.resolve())
        if around[-1] in inside:
            raise InputError(f"{run.blend}: a blend cannot be a member of itself; blend the runs anew")
        blend = read_blend(run)
        members = tuple(_networks(member, around) for member in blend.members)
        return Blended(run.path, members, run.tags(), blend.blender)
    return _described(run.path, describe(run), tuple(_weights(run).values()), run.read_config().trainer)


def _described(source: Path, content: dict[str, Any], weights: tuple[Path, ...], trainer: TrainerConfig) -> Networks:
    tiles, batch_size = content["tiles"], content["predict"]["batch_size"]
    model = build(ModelConfig, {**content["network"], "pretrained": False}, strict=True)
    # Sizes have the ranges that they have in training.
    size = build(DataConfig, {"root": "", "size": tiles["size"], "predict_batch_size": batch_size}, strict=True).size
    return Networks(
        source, weights, tuple(map(str, content["tags"])), model, size, reader_from(tiles), batch_size, trainer
    )


def _weights(run: Run) -> dict[str, Path]:
    """Name a run's networks by their folds, one or five alike."""
    folds = run.finished_folds()
    if not folds:
        raise InputError(f"{run.path} holds no trained network; run amazon-ml train again to finish it")
    _check_lost(run)
    task = str(run.read_provenance()["task"])
    for fold in folds:
        check_task(fold.path, task)
        check_recorded(fold.weights)
    return {f"{fold.path.name}.safetensors": fold.weights for fold in folds}


def _check_lost(run: Run) -> None:
    """Refuse a run of which a network is gone or cut short, whose probabilities are among those of the run."""
    if lost := run.lost_networks():
        raise InputError(f"{lost[0]} is gone; put it back, or train its fold again, or delete {lost[0].parent}")
    for fold in run.finished_folds():
        check_regular(fold.weights)
        try:
            with safe_open(fold.weights, framework="numpy"):
                pass  # on opening, it holds the list of tensors against the length of the file
        except (OSError, SafetensorError) as error:
            raise InputError(
                f"{fold.weights} is damaged ({error}); put it back, or delete it and train its fold again, or delete "
                f"{fold.path}"
            ) from None


def _checked(folder: Path, name: str, sha256: str) -> Path:
    file = folder / name
    if file.parent != folder or not file.is_file():
        raise InputError(f"{folder / _CONTENT} names weights {name!r}, which {folder} lacks; copy the whole folder")
    if sha256_of(file) != sha256:
        raise InputError(f"{file} is not the file that {_CONTENT} is for: its SHA-256 is another; copy the bundle anew")
    return file


def _place(source: Path, target: Path) -> None:
    """Give weights a second name, or a copy where the disk has no such: they are replaced, never changed."""
    with atomic_write(target) as temporary:
        temporary.unlink()  # a second name takes a free place
        try:
            os.link(source, temporary)
        except OSError:
            shutil.copyfile(source, temporary)


def _without(facts: dict[str, Any], key: str) -> dict[str, Any]:
    return {name: value for name, value in facts.items() if name != key}
