"""Copies a packed store to a faster disk, such as that of the node that trains."""

import logging
import os
import shutil
from pathlib import Path

from amazon_ml.data.catalog.file_table import size_and_time
from amazon_ml.data.store.marks import PLAN, check_store
from amazon_ml.data.store.packed import ARRAY, DESCRIPTION, check_pixels, open_store
from amazon_ml.errors import WorkError
from amazon_ml.runtime.files import atomic_write, write_text
from amazon_ml.runtime.locks import locked

log = logging.getLogger(__name__)


def copy_store(store: Path, copy: Path) -> None:
    """Copy a packed store, unless the copy exists; several processes may call this at the same time.

    Parameters
    ----------
    store
        The store.
    copy
        Folder of the copy; another store there is replaced, other contents are an error.
    """
    original = open_store(store)
    copy = Path(os.path.realpath(copy))  # a scratch disk may lie behind a link
    with locked(copy.with_name(f".{copy.name}.lock"), f"waiting for another process to copy {store}", wait=True):
        if _is_copy(store, copy):
            (copy / PLAN).unlink(missing_ok=True)  # left by a process that was killed at its end
            log.info("%s exists", copy)
            return
        check_store(copy)
        room, needed = shutil.disk_usage(copy.parent).free, original.images.nbytes
        if room < needed:
            raise WorkError(f"{copy.parent} has {room / 1e9:.1f} GB left, and {store} takes {needed / 1e9:.1f}")
        write_text(copy / PLAN, (store / DESCRIPTION).read_text(encoding="utf-8"))  # marks the folder as ours
        for name in (ARRAY, DESCRIPTION):  # the description last: without it, the folder is no store
            with atomic_write(copy / name) as temporary:
                shutil.copyfile(store / name, temporary)
                os.utime(
                    temporary, ns=(0, (store / name).stat().st_mtime_ns)
                )  # the time of packing, so that readers need not check all pixels
        check_pixels(open_store(copy))
        (copy / PLAN).unlink()
    log.info("copied %s to %s", store, copy)


def _is_copy(store: Path, copy: Path) -> bool:
    """Compare the descriptions of two stores with all hashes, and the sizes and times of their arrays."""
    if not all((copy / name).is_file() for name in (ARRAY, DESCRIPTION)):
        return False
    same_tiles = (store / DESCRIPTION).read_bytes() == (copy / DESCRIPTION).read_bytes()
    return same_tiles and size_and_time(str(store / ARRAY)) == size_and_time(str(copy / ARRAY))
