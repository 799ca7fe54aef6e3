"""The tiles that a run was trained and tuned on, by their names; a bundle holds a short hash of each name."""

import hashlib
import os
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from itertools import chain
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pandas as pd
from safetensors import SafetensorError
from safetensors.numpy import load_file, save

from amazon_ml.data.catalog.names import composed
from amazon_ml.errors import InputError
from amazon_ml.runs.blend import single_runs
from amazon_ml.runs.folder import Run, read_truth
from amazon_ml.runs.tile_files import hashes_by_name
from amazon_ml.runtime.files import atomic_write

#: File of the hashes in a bundle.
KNOWN = "known_tiles.safetensors"
_TENSOR = "names"


def known_names(run: Run) -> "pd.Index[str]":
    """List the names of the labelled tiles of a run, and of the untagged ones that it took a teacher's tags of."""
    known = read_truth(run).index
    for one in single_runs(run):
        if one.untagged.exists():
            known = known.union(hashes_by_name(one.untagged, labelled=False).index)
    return known


def count_known(tiles: pd.DataFrame, are_known: Callable[[Sequence[str]], npt.NDArray[np.bool_]]) -> int:
    """Count the tiles that are known by any name that a table may give them.

    One table may name a file ``images/t0``, and another ``t0``. Such a name counts where no other of the tiles has it.

    Parameters
    ----------
    tiles
        The tiles: ``image_name`` and ``path``.
    are_known
        Says which names are known.
    """
    names = tiles["image_name"].tolist()
    known = are_known(names).copy()
    # Many paths, and text is faster than path objects. Names with as many parts are compared at once, to save memory.
    wholes = [composed(os.path.splitext(os.path.abspath(path))[0]) for path in tiles["path"]]  # noqa: PTH100, PTH122
    for parts in range(1, 1 + max((text.count("/") + 1 for text in (*names, *wholes)), default=0)):
        ends = [{_end(name, parts), _end(whole, parts)} - {""} for name, whole in zip(names, wholes, strict=True)]
        counts = Counter(chain.from_iterable(ends))
        rows, alone = [], []
        for row, own in enumerate(ends):
            for end in own:
                if counts[end] == 1:
                    rows.append(row)
                    alone.append(end)
        known[np.array(rows, dtype=np.intp)[are_known(alone)]] = True
    return int(known.sum())


def _end(text: str, parts: int) -> str:
    """Return the last parts of a path; ``""`` where it has fewer."""
    several = text.rsplit("/", parts)
    return "/".join(several[-parts:]) if len(several) >= parts else ""


def hash_names(names: Iterable[str]) -> npt.NDArray[np.uint64]:
    """Hash each name to 64 bits: by chance, two of a million names have the same hash once in 37 million times."""
    raw = b"".join(hashlib.sha256(str(name).encode(errors="surrogatepass")).digest()[:8] for name in names)
    return np.frombuffer(raw, dtype="<u8").astype(np.uint64)


def write_known(path: Path, hashes: npt.NDArray[np.uint64]) -> None:
    """Write the hashes, sorted: the order of the tiles is not in the file."""
    with atomic_write(path) as temporary:
        # save_file would make the file unreadable for other users, and has an error of its own for a full disk.
        temporary.write_bytes(save({_TENSOR: np.unique(hashes)}))


def read_known(path: Path) -> npt.NDArray[np.uint64]:
    """Read the hashes that `write_known` wrote."""
    try:
        return load_file(path)[_TENSOR].astype(np.uint64)
    except (KeyError, OSError, SafetensorError) as error:
        raise InputError(f"the file does not hold the hashes of names of tiles ({error})", file=path,
                         remedy="export the bundle again from its run") from None  # fmt: skip
