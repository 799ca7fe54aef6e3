"""A blend: a run whose probabilities are computed from those of other runs, its members."""

import logging
import os
from collections.abc import Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from typing import TypedDict

import numpy as np
import pandas as pd

from amazon_ml.data.config import ReadingConfig
from amazon_ml.data.readers.reader_file import write_reader
from amazon_ml.decisions.blending import WAYS, Blender, cross_blend
from amazon_ml.decisions.matrices import Floats
from amazon_ml.errors import InputError, WorkError
from amazon_ml.labels import TagSet
from amazon_ml.runs.config import RunConfig
from amazon_ml.runs.config_file import config_text, flatten
from amazon_ml.runs.decision import LEAST_TILES, requested_before
from amazon_ml.runs.folder import (
    Run,
    probability_table,
    read_oof,
    read_probabilities,
    read_targets,
    read_tested,
    write_tested,
    write_truth,
)
from amazon_ml.runs.hashes import read_recorded, recorded, write_json, write_table, write_text
from amazon_ml.runs.provenance import this_start, versions
from amazon_ml.runs.provenance_file import Provenance
from amazon_ml.runs.tiles import read_bands
from amazon_ml.runtime.files import sha256_of

log = logging.getLogger(__name__)

#: All members must have this share of out-of-fold tiles in common, relative to the member with the fewest.
LEAST_SHARED = 0.5

#: Options of a blend in its config.yaml: what its tiles are, which its members share, and what it is computed with. The
#: other entries there are defaults of a training, since every command reads that file as the configuration of a run.
_SHARED = ("data.root", *(f"data.{one.name}" for one in fields(ReadingConfig)), "seed", "beta")
#: Options that blends have and other runs lack.
BLEND_OPTIONS = ("blend", "blend.members")


@dataclass(frozen=True)
class Blend:
    """The members of a blend, and the blender that combines their probabilities; stored as ``blend.json``."""

    members: tuple[Run, ...]
    blender: Blender


class MemberRecord(TypedDict):
    """A member in ``blend.json``: its ``path`` from the folder of the blend, and ``oof_sha256`` of its oof.parquet."""

    path: str
    oof_sha256: str


class BlendRecord(TypedDict):
    """The content of ``blend.json``: ``how`` the runs are blended, the ``members``, and fitted ``parameters``."""

    how: str
    members: list[MemberRecord]
    parameters: dict[str, object]


def make_blend(run: Run, members: Sequence[Run], how: str) -> None:
    """Write the configuration and the probabilities of a blend, for a caller that holds its lock.

    `cross_blend` blends the out-of-fold rows. ``blend.json`` holds the parameters that are fitted on all of these rows;
    untagged and new tiles are blended with them. The first member gives the folder of the tiles, the order of the tags,
    the seed and beta. An error of the members leaves an earlier blend as it is.
    """
    requested_before(run)  # a changed decision is an error
    _check_members(members)
    first, tags, way = members[0], members[0].tags(), WAYS[how]
    names, targets = _shared_rows(members), read_targets(first)
    hashes = [sha256_of(member.oof) for member in members]
    p, true = _out_of_fold(members, names, tags), targets.loc[names].to_numpy()
    oof, blender = cross_blend(way, p, true, seed=first.read_config().seed), way.fit(p, true)
    test, tested = _test_table(members, blender), _tested_table(members)
    for member, sha256 in zip(members, hashes, strict=True):  # members are not locked, since they may be read-only
        if sha256_of(member.oof) != sha256:
            raise WorkError(f"{member.path} was written to while it was blended; blend again when that is done")
    run.oof.unlink(missing_ok=True)  # it is written last, so that nothing reads parts of two blends
    for path in (run.test, run.tested):
        path.unlink(missing_ok=True)
    records: list[MemberRecord] = [
        {"path": _relative(member.path, run.path), "oof_sha256": sha256}
        for member, sha256 in zip(members, hashes, strict=True)
    ]
    content: BlendRecord = {"how": how, "members": records, "parameters": blender.to_dict()}
    write_json(run.blend, content)
    _describe(run, members)
    write_truth(run, targets.index.to_series(), TagSet(tags), targets.to_numpy())
    if test is not None:
        write_table(run.test, test, made_of=[run.blend])
    if tested is not None:
        write_tested(run, tested.index.to_series(), TagSet(tags), tested.to_numpy(dtype=np.uint8))
    table = probability_table(names.tolist(), tags, oof.astype(np.float32))
    write_table(run.oof, table, made_of=[run.blend])


def _describe(run: Run, members: Sequence[Run]) -> None:
    """Write configuration, provenance and bands; the parts on tiles are those of the first member.

    Soft labels are those of the first member that was trained on any: the scores of the blend depend on them, too.
    """
    first = members[0]
    config, data = first.read_config(), first.read_provenance()["data"]
    soft = [member.read_provenance()["data"].get("soft_labels_sha256") for member in members]
    data["soft_labels_sha256"] = next((one for one in soft if one is not None), None)
    starts = run.read_provenance()["starts"] if run.provenance.exists() else []
    provenance: Provenance = {"starts": [*starts, this_start()], "data": data, "made_with": versions()}
    write_json(run.provenance, provenance)
    own = RunConfig(data=config.data, seed=config.seed, beta=config.beta)  # a blend has no network of its own
    write_text(run.config, config_text(own))
    with recorded(run.bands) as temporary:
        write_reader(temporary, read_bands(first))


def read_blend(run: Run) -> Blend:
    """Read the members of a blend and its blender.

    Raises
    ------
    InputError
        Where ``blend.json`` is broken, and where a member is missing or has changed since it was blended.
    """
    content = read_recorded(run.blend)
    try:
        way = WAYS[content["how"]]
        runs = tuple(_member(run, one["path"], one["oof_sha256"]) for one in content["members"])
        names = pd.Index(read_probabilities(run.oof, run.tags())[0])
        p = _out_of_fold(runs, names, run.tags())
        blender = way.kind.from_dict(content["parameters"], p)
        if blender.apply(p[:, :1]).shape != p[0, :1].shape:
            raise ValueError(f"its parameters are not for {p.shape[2]} tags")
        return Blend(runs, blender)
    except InputError:
        raise
    except (LookupError, TypeError, ValueError, AttributeError) as error:
        raise InputError(
            f"the file does not describe a blend: {error!r}", file=run.blend, remedy="blend the runs again"
        ) from None


def options_of(run: Run) -> dict[str, object]:
    """Give the options of a run by their dotted names, or those that a blend has, with `BLEND_OPTIONS`."""
    options = flatten(run.read_config())
    if not run.blend.exists():
        return options
    content: BlendRecord = read_recorded(run.blend)
    members = [os.path.relpath(run.path.resolve() / one["path"]) for one in content["members"]]
    return {
        **{name: options[name] for name in _SHARED},
        **dict(zip(BLEND_OPTIONS, (content["how"], members), strict=True)),
    }


def single_runs(run: Run) -> list[Run]:
    """List the runs that a run is made of: itself, or the members of a blend, also those of blends within it."""
    if not run.blend.exists():
        return [run]
    return [one for member in read_blend(run).members for one in single_runs(member)]


def _member(run: Run, path: str, oof: str) -> Run:
    member = Run(Path(os.path.normpath(run.path.resolve() / path)))
    if not member.oof.exists():
        raise InputError(
            f"this is a blend of {member.path}, which is missing", file=run.path, remedy="put it back, or blend again"
        )
    if sha256_of(member.oof) != oof:
        raise InputError(f"the run changed since {run.path} was made of it", file=member.path, remedy="blend again")
    return member


def _relative(path: Path, start: Path) -> str:
    """Give the relative path from one folder to another, so that both can be moved together."""
    return os.path.relpath(path.resolve(), start.resolve())


def _out_of_fold(members: Sequence[Run], names: pd.Index, tags: Sequence[str]) -> Floats:
    return stack_tables([_probabilities(member.oof, member) for member in members], names, tags)


def stack_tables(tables: Sequence[pd.DataFrame], names: pd.Index, tags: Sequence[str]) -> Floats:
    """Stack tables of probabilities, by name and tag, to shape (runs, tiles, tags)."""
    return np.stack([table.loc[names, list(tags)].to_numpy(dtype=np.float64) for table in tables])


def check_same_tiles(first: pd.Index, other: pd.Index, problem: str, file: Path) -> None:
    """Check that two lists hold the same tiles; `problem` and `file` describe the fault."""
    odd = first.symmetric_difference(other)
    if len(odd):
        raise InputError(f"{problem}: {len(odd):,} are in only one of them, such as {odd[0]}", file=file)


def _probabilities(path: Path, run: Run) -> pd.DataFrame:
    names, p = read_probabilities(path, run.tags())
    return pd.DataFrame(p, index=pd.Index(names), columns=list(run.tags()))


def _check_members(members: Sequence[Run]) -> None:
    """Check that all members were trained for the same tags, and on the same tiles and labels, as the first."""
    first, tags = members[0], members[0].tags()
    true = read_targets(first)
    for member in members:
        if not member.read_config().data.validate:
            raise InputError(
                "the run was trained on every tile, so it has no out-of-fold rows to blend",
                file=member.path,
                option="data.validate",
            )
        apart = sorted(set(tags).symmetric_difference(member.tags()))
        if apart:
            raise InputError(f"the run has other tags than {first.path}: {', '.join(apart)}", file=member.path)
        own = read_targets(member)
        check_same_tiles(true.index, own.index, f"the run was trained on other tiles than {first.path}", member.path)
        differs = (own.loc[true.index, list(tags)] != true).any(axis=1)
        if differs.any():
            raise InputError(
                f"the run was trained on other labels than {first.path}: those of {differs.sum():,} tiles differ, such "
                f"as {differs.idxmax()}",
                file=member.path,
            )


def _shared_rows(members: Sequence[Run]) -> pd.Index:
    """Give the tiles that all members held out, in the order of the first."""
    rows = [pd.Index(read_oof(member)[0]) for member in members]
    shared: pd.Index[str] = rows[0][rows[0].isin(set.intersection(*map(set, rows)))]
    fewest, most = min(map(len, rows)), max(map(len, rows))
    if len(shared) < max(LEAST_TILES, LEAST_SHARED * fewest):
        raise InputError(
            f"the runs have {len(shared):,} held-out tiles in common, and one has {fewest:,}",
            remedy="train the same folds in each, with folds.csv of one copied into the new folders of the others, or "
            "train all folds",
        )
    if len(shared) < most:
        log.warning("blending on the %s tiles that all runs held out; one held out %s", f"{len(shared):,}", f"{most:,}")
    return shared


def _tested_table(members: Sequence[Run]) -> pd.DataFrame | None:
    """Give the tags of the published test split of the members; an `InputError` where they have different ones.

    None where there is no such split, or a member has no probabilities of untagged tiles.
    """
    splits = [read_tested(member) for member in members]
    if not _are_tested(members) or all(split is None for split in splits):
        return None
    tags = members[0].tags()
    tables = [
        pd.DataFrame([] if split is None else split[2], index=[] if split is None else split[0],
                     columns=list(member.tags()))
        for member, split in zip(members, splits, strict=True)
    ]  # fmt: skip
    first = tables[0]
    for member, table in zip(members, tables, strict=True):
        if set(table.index) != set(first.index) or (table.loc[first.index, list(tags)] != first).any(axis=None):
            raise InputError(f"the run has another published test split than {members[0].path}", file=member.path)
    return first


def _test_table(members: Sequence[Run], blender: Blender) -> pd.DataFrame | None:
    """Blend the probabilities of the untagged tiles; None where a member has none."""
    if not _are_tested(members):
        without = [str(member.path) for member in members if not member.test.exists()]
        log.warning("no test tiles are blended: there are no probabilities of test tiles in %s", " and ".join(without))
        return None
    tables = [_probabilities(member.test, member) for member in members]
    names, tags = tables[0].index, members[0].tags()
    for member, table in zip(members, tables, strict=True):
        check_same_tiles(names, table.index, f"the table holds other tiles than {members[0].test}", member.test)
    blended = blender.apply(stack_tables(tables, names, tags))
    return probability_table(names.tolist(), tags, blended.astype(np.float32))


def _are_tested(members: Sequence[Run]) -> bool:
    return all(member.test.exists() for member in members)
