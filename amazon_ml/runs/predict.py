"""Probabilities and tags of any folder of tiles, with the networks and the decision of a run or a bundle."""

import hashlib
import json
import logging
import math
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pandas as pd

from amazon_ml.data.bands import TileReader, name_bands
from amazon_ml.data.catalog.layout import known_tables, read_mapping
from amazon_ml.data.catalog.tiles import choose_files, files_needed, list_tiles
from amazon_ml.data.loading import TileDataset, loader_workers, tile_loader
from amazon_ml.data.sources import TileFiles
from amazon_ml.decisions.rules import rule_to_dict
from amazon_ml.errors import InputError
from amazon_ml.files import sha256_of, write_table
from amazon_ml.labels import TagSet
from amazon_ml.models.tagger import TileTagger
from amazon_ml.models.weights import load_weights
from amazon_ml.outputs import check_outputs
from amazon_ml.runs.access import own_paths
from amazon_ml.runs.blend import refuse_apart, stack_tables
from amazon_ml.runs.bundle import Blended, Bundle, Networks, bundle_paths, is_bundle, open_bundle
from amazon_ml.runs.fit import on_gpu, predict
from amazon_ml.runs.folder import Run, probability_table
from amazon_ml.runs.shards import (
    Parts,
    Shard,
    check_parts,
    keep_plan,
    parse_shard,
    read_shard,
    refuse_ending,
    refuse_other_plan,
)

#: Lists tiles for a reader: a table as a catalog's.
Listing = Callable[[TileReader], pd.DataFrame]

log = logging.getLogger(__name__)


def predict_tiles(
    run: Path, tiles: Path, out: Path, *, workers: int | None = None, shard: str | None = None,
    overwrite: bool = False,
) -> None:  # fmt: skip
    """Tag a folder of tiles: writes name, tags, and one probability a tag.

    Parameters
    ----------
    run
        Run folder, trained and tuned, or a bundle.
    tiles
        Folder of images; those in folders beneath are found, too.
    out
        File to write, .parquet or .csv; with a shard, the folder of the parts.
    workers
        Loader processes; by default none on the CPU, one a core beside a GPU.
    shard
        Tag one part of the tiles, such as 3/16, counted from 0; a part that is there is left as it is.
        Once all are there, amazon-ml merge makes one table of them.
    overwrite
        Replace a file that is there.
    """
    if shard is not None:
        _predict_shard(run, tiles, Parts(out), parse_shard(shard), workers)
        return
    refuse_ending(out)
    bundle = open_bundle(run)
    check_outputs({"--out": out}, inputs_of(run, bundle, tiles), overwrite=overwrite)
    table = _tag(bundle, partial(_chosen, _tiles_below(tiles), tiles), workers)
    write_table(out, table)
    log.info("wrote %s: %s tiles", out, f"{len(table):,}")


def inputs_of(source: Path, bundle: Bundle, tiles: Path | None = None) -> list[Path]:
    """List what prediction reads, which nothing may be written onto: the networks with their runs, and tables."""
    members = _members(bundle.networks)
    folders = [source, *(member.source for member in members)]
    runs = [path for folder in folders if not is_bundle(folder) for path in own_paths(Run(folder))]
    weights = [file for member in members for file in member.weights]
    return [*runs, *bundle_paths(source), *weights, *(known_tables(tiles) if tiles and tiles.is_dir() else [])]


def plan_shards(run: Path, tiles: Path, parts: Parts, count: int) -> Bundle:
    """Open a run or a bundle, and cut the tiles into shards, unless they are cut already for just that."""
    bundle = open_bundle(run)
    check_parts(parts)
    with parts.lock():
        if parts.plan.exists():
            refuse_other_plan(parts, count, _made_of(bundle))
        else:
            batch = math.lcm(*(member.batch_size for member in _members(bundle.networks)))
            keep_plan(parts, _tiles_below(tiles), tiles, count, batch, _made_of(bundle))
    return bundle


def _predict_shard(run: Path, tiles: Path, parts: Parts, shard: Shard, workers: int | None) -> None:
    bundle = plan_shards(run, tiles, parts, shard.count)
    part = parts.part(shard.number)
    with parts.part_lock(shard.number):
        if part.exists():
            log.info("%s is there", part)
            return
        listed = read_shard(parts, shard.number, tiles)
        write_table(part, _tag(bundle, partial(_chosen, listed, tiles), workers))
    log.info("wrote %s: %s tiles", part, f"{len(listed):,}")


def _tag(bundle: Bundle, listing: Listing, workers: int | None) -> pd.DataFrame:
    decision = bundle.decision
    names, p = predict_listed(bundle.networks, listing, workers)
    table = probability_table(names, decision.tags, p)
    separator = bundle.table["tag_separator"] or " "
    table.insert(1, "tags", TagSet(decision.tags).decode(decision.rule.decide(p), separator=separator))
    return table


def _members(networks: Networks | Blended) -> list[Networks]:
    if isinstance(networks, Networks):
        return [networks]
    return [each for member in networks.members for each in _members(member)]


def _made_of(bundle: Bundle) -> str:
    """Hash of the weights and the decision, the same for a run and its bundle."""
    weights = [sha256_of(file) for member in _members(bundle.networks) for file in member.weights]
    decision = [bundle.decision.tags, rule_to_dict(bundle.decision.rule)]
    return hashlib.sha256(json.dumps([weights, decision]).encode()).hexdigest()


def predict_listed(
    networks: Networks | Blended, listing: Listing, workers: int | None
) -> tuple[pd.Series, npt.NDArray[np.float32]]:
    """Predict tiles with the networks of a run, or with those of all members of a blend.

    Parameters
    ----------
    networks
        What predicts.
    listing
        Lists the tiles, each with the files that a reader needs: members of a blend may read others.

    Returns
    -------
    Names and probabilities of shape (tiles, tags).
    """
    if isinstance(networks, Networks):
        tiles = listing(networks.read)
        return tiles["image_name"], predict_table(networks, tiles, workers)
    tables = []
    for member in networks.members:
        names, p = predict_listed(member, listing, workers)
        tables.append(pd.DataFrame(p, index=pd.Index(names), columns=list(member.tags)))
        told = f"{member.source} reads other tiles than {networks.members[0].source}"
        refuse_apart(tables[0].index, tables[-1].index, told)
    first = tables[0].index
    blended = networks.blender.apply(stack_tables(tables, first, networks.tags))
    return first.to_series(), blended.astype(np.float32)


def predict_table(networks: Networks, tiles: pd.DataFrame, workers: int | None) -> npt.NDArray[np.float32]:
    """Probabilities of the tiles of a catalog's table, averaged over the networks: shape (tiles, tags)."""
    files = TileFiles(tiles, networks.read, networks.model["size"])
    options = {"trainer": networks.trainer}
    gpu = on_gpu(options)
    loader = tile_loader(TileDataset(files), networks.batch_size, loader_workers(workers, on_gpu=gpu), on_gpu=gpu)
    total = np.zeros((len(tiles), len(networks.tags)), dtype=np.float64)
    for tagger in load_taggers(networks):
        total += predict(tagger, loader, options)
    return (total / len(networks.weights)).astype(np.float32)


def load_taggers(networks: Networks) -> Iterator[TileTagger]:
    """Make each network, one after the other."""
    for file in networks.weights:
        try:
            tagger = TileTagger(list(networks.tags), pretrained=False, **networks.model)
        except InputError as error:
            raise InputError(f"{networks.source}: {error}") from None
        load_weights(file, tagger)
        yield tagger


def _tiles_below(folder: Path) -> pd.DataFrame:
    if not folder.is_dir():
        raise InputError(f"--tiles {folder}: there is no such folder")
    listed = list_tiles([folder], renamed=read_mapping(folder))
    if listed.empty:
        raise InputError(f"--tiles {folder}: the folder holds no images")
    return listed


def _chosen(listed: pd.DataFrame, folder: Path, read: TileReader) -> pd.DataFrame:
    chosen, lacking = choose_files(listed, read.bands, read.colours)
    if len(lacking):
        needed = files_needed(read.bands, read.colours)
        raise InputError(
            f"--tiles {folder}: the run reads bands {name_bands(read.bands)} of a {needed}, which {len(lacking):,} of "
            f"{len(listed):,} tiles lack, such as {lacking.iloc[0]}"
        )
    return chosen
