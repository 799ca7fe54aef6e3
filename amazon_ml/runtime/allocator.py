"""What becomes of memory that is freed: the arrays of a network's layers come and go with every batch."""

import ctypes
import os

# As <malloc.h> of glibc numbers them; mallopt(3) says what they do.
_TRIM_THRESHOLD, _MMAP_THRESHOLD, _MMAP_MAX = -1, -3, -4
#: Blocks below this are kept, bytes. What is larger is seldom a batch's.
_KEPT = 2**30
#: By which somebody sets the same from outside.
_SETTINGS = frozenset({"MALLOC_MMAP_THRESHOLD_", "MALLOC_MMAP_MAX_", "MALLOC_TRIM_THRESHOLD_"})


def keep_freed_memory() -> bool:
    """Have the C library hand freed memory out again, where it would return it to the system.

    glibc takes each block above 32 MiB from the system, and gives it back when it is freed. The system
    then clears page after page of the next one before it can be written, which in predicting batches of
    64 tiles of 96 px takes nearly as long as the network does. It changes no result. A process holds on to what it
    needed at most, up to 2 GiB of it unused.

    Returns
    -------
    Whether the C library does so from now on: not where it is another than glibc, nor where the
    environment says otherwise (``MALLOC_MMAP_THRESHOLD_`` and its like, or ``GLIBC_TUNABLES``).
    """
    if not _SETTINGS.isdisjoint(os.environ) or "glibc.malloc." in os.environ.get("GLIBC_TUNABLES", ""):
        return False
    try:
        mallopt = ctypes.CDLL(None).mallopt
    except AttributeError:
        return False
    # Older ones take no more than 32 MiB here; but they can be kept from mapping blocks at all.
    maps = mallopt(_MMAP_THRESHOLD, _KEPT) or mallopt(_MMAP_MAX, 0)
    return bool(mallopt(_TRIM_THRESHOLD, 2**31 - 1) and maps)
