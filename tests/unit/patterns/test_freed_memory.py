"""A process that is told to keep what it frees gets no fresh memory for what comes next."""

from __future__ import annotations

import subprocess
import sys

import pytest

ROUNDS = """
import resource, sys
from pipert2.patterns.streams.freed_memory import keep_freed_memory

def one_round():
    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    blocks = [b"x" * (4 << 20) for _ in range(20)]
    for at, block in enumerate(blocks):
        blocks[at] = b""
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before

kept = len(sys.argv) < 2 or keep_freed_memory(int(sys.argv[1]))
one_round()
print(int(kept), one_round())
"""


def faults(*most: str) -> tuple[bool, int]:
    """Whether memory is kept, and how many pages the second of two equal rounds had to get."""
    told = subprocess.run([sys.executable, "-c", ROUNDS, *most], check=True, capture_output=True, text=True)
    kept, pages = map(int, told.stdout.split())
    return bool(kept), pages


def test_what_is_freed_is_kept_for_what_comes_next() -> None:
    kept, pages = faults(str(200 << 20))
    if not kept:
        pytest.skip("the C library is not glibc")
    assert pages * 20 < faults()[1]
