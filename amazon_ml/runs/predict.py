"""Tag any folder of tiles with the networks and the decision of a run or a bundle."""

import hashlib
import itertools
import json
import logging
import math
import os
from collections.abc import Callable, Mapping
from dataclasses import replace
from functools import partial
from pathlib import Path

import pandas as pd

from amazon_ml.data.batches.tolerant import TolerantFiles
from amazon_ml.data.catalog.by_template import choose_files_for, files_of
from amazon_ml.data.catalog.contents import check_folder
from amazon_ml.data.catalog.file_table import FilesOf, alone
from amazon_ml.data.catalog.layout import tiles_below
from amazon_ml.data.catalog.nearby import tables_around
from amazon_ml.data.catalog.tiles import files_needed
from amazon_ml.data.readers.bands import TileReader, name_bands
from amazon_ml.data.readers.broken import find_broken, is_broken
from amazon_ml.data.readers.fitting import reading_of
from amazon_ml.data.readers.limits import compare_values
from amazon_ml.decisions.blending import RankMean
from amazon_ml.decisions.rules import rule_to_dict
from amazon_ml.errors import InputError
from amazon_ml.labels import TagSet
from amazon_ml.models.config import Tta
from amazon_ml.models.engines import DEFAULT, EngineName, PrecisionName
from amazon_ml.runs.access import own_paths
from amazon_ml.runs.bundle import Blended, Bundle, Networks, bundle_paths, is_bundle, open_bundle
from amazon_ml.runs.engine_choice import Requested, choose_method, sample_files, settle
from amazon_ml.runs.folder import Run, probability_table
from amazon_ml.runs.given_tiles import check_same_files
from amazon_ml.runs.inference import Engine, Predicted, all_members, predict_members
from amazon_ml.runs.planned_files import add_measures, check_most_same
from amazon_ml.runs.saving import check_defuse, defused, save_table
from amazon_ml.runs.shards import (
    Parts,
    Shard,
    check_ending,
    check_parts,
    check_plan,
    check_tiles_of,
    missing_parts,
    parse_shard,
    read_shard,
    save_part,
    save_plan,
    save_skipped,
)
from amazon_ml.runs.skipping import REFUSE, Policy
from amazon_ml.runs.views import open_with_views, with_views
from amazon_ml.runtime.files import sha256_of
from amazon_ml.runtime.outputs import check_outputs, check_place

#: Lists the tiles for a reader, as a table like that of a catalog.
Listing = Callable[[TileReader], pd.DataFrame]

log = logging.getLogger(__name__)


def predict_tiles(
    run: Path, tiles: Path, out: Path, *, tta: Tta | None = None, engine: EngineName = "torch",
    precision: PrecisionName | None = None, num_workers: int | None = None, shard: str | None = None,
    skip_broken: bool = False, broken: Path | None = None, defuse: bool = False, overwrite: bool = False,
) -> None:  # fmt: skip
    """Tag a folder of tiles: write a table of names, tags, and a probability for each tag.

    Parameters
    ----------
    run
        Run folder, trained and tuned, or a bundle.
    tiles
        Folder of images, with its subfolders.
    out
        File to write, .parquet or .csv; with a shard, the folder of the parts.
    tta
        Views of each tile that are averaged; see `amazon_ml.runs.evaluate.evaluate`.
    engine
        What computes; see `amazon_ml.runs.evaluate.evaluate`.
    precision
        Precision of the operations; see `amazon_ml.runs.evaluate.evaluate`.
    num_workers
        Loader processes; see `amazon_ml.runs.evaluate.evaluate`.
    shard
        Tag one part of the tiles, such as 3/16, counted from 0. An existing part is not computed again. When all parts
        are there, amazon-ml merge joins them to one table.
    skip_broken
        Leave out tiles that cannot be read, instead of refusing the folder; the table has no rows for them.
    broken
        CSV to write: the tiles that cannot be read, with the reasons.
    defuse
        Put an apostrophe before cells of a CSV that a spreadsheet would read as a formula: those that begin with
        = + - or @.
    overwrite
        Replace existing files.
    """
    policy, requested = Policy(skip_broken, listing=broken), Requested(engine, precision)
    if shard is not None:
        if broken is not None:
            check_outputs({"broken": broken}, [*inputs_of(run, open_bundle(run), tiles), out], overwrite=overwrite)
        if defuse:
            raise InputError(
                "`defuse` is for a CSV, and parts are Parquet", option="defuse", remedy="use it in amazon-ml merge"
            )
        _predict_shard(run, tiles, Parts(out), parse_shard(shard), requested, num_workers, policy, tta)
        return
    check_ending(out)
    check_defuse(out, defuse)
    bundle = open_with_views(run, tta)
    check_outputs({"out": out, "broken": broken}, inputs_of(run, bundle, tiles), overwrite=overwrite)
    listed, known = _readable(bundle.networks, _tiles_below(tiles, bundle.networks.read), tiles, policy)
    method = choose_method(bundle, requested, sample_files(partial(_chosen, listed, tiles)))
    table = _tag(bundle, listed, tiles, out, Engine(num_workers=num_workers, method=method), policy, known)
    save_table(out, defused(table) if defuse else table)
    log.info("wrote %s: %s tiles", out, f"{len(table):,}")


def _incomplete(out: Path) -> Path:
    """Choose a free name for the table of the tiles that were predicted, where others could not be."""
    path = out.with_name(f"{out.stem}.incomplete{out.suffix}")
    others = (path.with_stem(f"{path.stem}-{number}") for number in itertools.count(2))
    return next(name for name in itertools.chain([path], others) if not os.path.lexists(name))


def inputs_of(source: Path, bundle: Bundle, tiles: Path | None = None) -> list[Path]:
    """List the files that prediction reads, and that no output may replace: networks with their runs, and tables."""
    members = all_members(bundle.networks)
    folders = [source, *(member.source for member in members)]
    runs = [path for folder in folders if not is_bundle(folder) for path in own_paths(Run(folder))]
    weights = [file for member in members for file in member.weights]
    return [*runs, *bundle_paths(source), *weights, *(tables_around(tiles) if tiles else [])]


def plan_shards(
    run: Path, tiles: Path, parts: Parts, count: int, policy: Policy = REFUSE, number: int | None = None, *,
    tta: Tta | None = None,
) -> Bundle:  # fmt: skip
    """Open a run or a bundle, and divide the tiles into shards; an existing plan is checked and used.

    The tiles of an existing plan are compared with the folder: those of one shard by its number, else all.
    """
    own = open_bundle(run)
    bundle = replace(own, networks=with_views(own.networks, tta))
    files, made = _files_of(bundle), made_of(bundle)
    if _views(bundle) != _views(own):
        made = f"{made} {tta}"
    check_parts(parts)
    with parts.lock():
        if is_planned := parts.plan.exists():
            check_plan(parts, count, made)
        else:
            batch = math.lcm(*(member.batch_size for member in all_members(bundle.networks)))
            listed = _tiles_below(tiles, bundle.networks.read)
            # Tiles that are left out stay in the plan: each shard lists its own, and the merge counts them.
            _readable(bundle.networks, listed, tiles, replace(policy, listing=None) if policy.skip else policy)
            save_plan(parts, add_measures(listed, files), tiles, count, batch, made)
    if is_planned:  # a plan does not change, so other processes need not wait while files are read
        check_tiles_of(parts, number, tiles, files)
    return bundle


def _views(bundle: Bundle) -> list[Tta]:
    return [member.model.tta for member in all_members(bundle.networks)]


def _files_of(bundle: Bundle) -> FilesOf:
    several = files_of(all_members(bundle.networks)[0].read)
    return alone if several is None else several.paths


def _predict_shard(
    run: Path, tiles: Path, parts: Parts, shard: Shard, requested: Requested, num_workers: int | None, policy: Policy,
    tta: Tta | None,
) -> None:  # fmt: skip
    bundle = plan_shards(run, tiles, parts, shard.count, policy, shard.number, tta=tta)
    part = parts.part(shard.number)
    with parts.part_lock(shard.number):
        if parts.is_done(shard.number):
            log.info("%s exists already", part)
            return
        check_place(part)
        planned = read_shard(parts, shard.number, tiles)
        present = add_measures(planned, _files_of(bundle))  # before they are read: a later change is found
        policy = replace(policy, may_be_all=True)
        listed, known = _readable(bundle.networks, planned[["image_name", "path", "tif"]], tiles, policy)
        check_most_same(planned, present, listed["image_name"], tiles)
        sample = sample_files(partial(_chosen, listed, tiles))
        with parts.lock():
            former = DEFAULT if len(missing_parts(parts)) < shard.count else None
            method = settle(parts.engine, requested, lambda: choose_method(bundle, requested, sample), former)
        engine = Engine(num_workers=num_workers, method=method)
        table = _tag(bundle, listed, tiles, part, engine, policy, known)
        save_skipped(parts, shard.number, planned["image_name"], table["image_name"])
        save_part(parts, shard.number, table, engine.names(all_members(bundle.networks)), present)
    log.info("wrote %s: %s tiles", part, f"{len(table):,}")


def _readable(
    networks: Networks | Blended, listed: pd.DataFrame, folder: Path, policy: Policy
) -> tuple[pd.DataFrame, dict[str, str]]:
    """Check the headers of all files that the networks read; return the tiles without a fault, and the faults."""
    check_same_files(networks)
    readers = {repr(reading_of(member.read)): member.read for member in all_members(networks)}
    faults: dict[str, str] = {}
    broken: dict[str, str] = {}
    for read in readers.values():
        table, several = _chosen(listed, folder, read), files_of(read)
        faults |= find_broken([table], None if several is None else several.paths)
        for name, path, tif in table.loc[is_broken(table, faults), ["image_name", "path", "tif"]].to_numpy().tolist():
            broken[name] = faults.get(path) or faults[tif]
    policy.apply(broken, len(listed))
    return listed[~listed["image_name"].isin(broken)].reset_index(drop=True), broken


def _tag(
    bundle: Bundle, listed: pd.DataFrame, folder: Path, out: Path, engine: Engine, policy: Policy,
    known: Mapping[str, str],
) -> pd.DataFrame:  # fmt: skip
    """Make the table of names, tags and probabilities; tiles that cannot be decoded are left out or are an error."""
    decision, tags = bundle.decision, TagSet(bundle.decision.tags)
    predicted = predict_listed(bundle.networks, partial(_chosen, listed, folder), None, engine)
    decoded = ~predicted.names.isin(predicted.failed).to_numpy()
    p = predicted.p[decoded]
    table = probability_table(predicted.names[decoded], decision.tags, p)
    separator = tags.separator(bundle.table.tag_separator)
    table.insert(1, "tags", tags.decode(decision.rule.predict(p), separator=separator) if len(p) else [])
    if predicted.failed:
        aside = _incomplete(out)
        if not policy.skip:
            save_table(aside, table)
        faults = {name: str(fault) for name, fault in predicted.failed.items()}
        policy.apply({**faults, **known}, len(known) + len(listed), f"; the rows of the others are in {aside}")
    return table


def made_of(bundle: Bundle) -> str:
    """Hash of the weights, the decision and how members are blended; the same for a run and its bundle."""
    weights = [sha256_of(file) for member in all_members(bundle.networks) for file in member.weights]
    content: list[object] = [weights, [bundle.decision.tags, rule_to_dict(bundle.decision.rule)]]
    if isinstance(bundle.networks, Blended):
        content.append(describe_blend(bundle.networks))
    return hashlib.sha256(json.dumps(content).encode()).hexdigest()


def describe_blend(networks: Networks | Blended) -> list[object]:
    """Describe how members are blended, with all that the blended probabilities depend on; networks are counted."""
    if not isinstance(networks, Blended):
        return [len(networks.weights)]
    blender = networks.blender
    reference = hashlib.sha256(blender.reference.tobytes()).hexdigest() if isinstance(blender, RankMean) else None
    members = [describe_blend(member) for member in networks.members]
    return [type(blender).__name__, blender.to_dict(), reference, networks.tags, members]


def predict_listed(
    networks: Networks | Blended, listing: Listing, num_workers: int | None, engine: Engine | None = None
) -> Predicted:
    """Predict tiles with the networks of a run, or with those of all members of a blend.

    Parameters
    ----------
    networks
        The networks, or the blend.
    listing
        Lists the tiles with the files that a reader needs; members of a blend may read different files.
    num_workers
        Loader processes.
    engine
        How they predict; its own `num_workers` counts then.
    """
    engine = engine or Engine(num_workers=num_workers)
    return predict_members(networks, lambda one: _predict_table(one, listing(one.read), engine))


def _predict_table(networks: Networks, tiles: pd.DataFrame, engine: Engine) -> Predicted:
    """Predict the tiles of a catalog's table, averaged over the networks."""
    files = TolerantFiles(tiles, networks.read, networks.size)
    compare_values(networks.read, tiles)
    p, names = engine.score(networks, files), tiles["image_name"]
    failed = {str(names.iloc[row]): fault for row, fault in files.failures().items()}
    return Predicted(names, p, failed)


def _tiles_below(folder: Path, read: TileReader) -> pd.DataFrame:
    check_folder(folder, "name the folder of tiles with `tiles`", option="tiles")
    return tiles_below(folder, read)


def _chosen(listed: pd.DataFrame, folder: Path, read: TileReader) -> pd.DataFrame:
    chosen, lacking = choose_files_for(read, listed)
    if len(lacking):
        needed = files_needed(read.bands, read.rgb_source)
        raise InputError(
            f"`tiles` {folder}: the run reads bands {name_bands(read.bands)} of a {needed}, which {len(lacking):,} of "
            f"{len(listed):,} tiles lack, such as {lacking.iloc[0]}",
            option="tiles",
        )
    return chosen
