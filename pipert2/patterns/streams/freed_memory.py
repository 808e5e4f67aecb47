"""Memory that is freed and soon needed again."""

from __future__ import annotations

import ctypes
import sys

_TRIM_THRESHOLD, _MMAP_THRESHOLD = -1, -3  # of malloc.h
_LARGEST_BLOCK = 32 << 20


def keep_freed_memory(most: int) -> bool:
    """Let the C library keep what this process frees, up to *most* bytes, instead of giving it back to the kernel.

    A process that gets large messages all the time frees one block and needs the next: fresh ones come page by page,
    cleared, which takes as long as a copy of the message. Does nothing where the C library is not glibc.

    Returns:
        Whether it is kept.
    """
    if sys.platform != "linux":
        return False
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    return mallopt is not None and bool(mallopt(_MMAP_THRESHOLD, _LARGEST_BLOCK) and mallopt(_TRIM_THRESHOLD, most))
