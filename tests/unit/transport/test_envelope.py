"""Origins of messages, and where buffers may start in a slot."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from pipert2.transport.envelope import ALIGNMENT, aligned, origin_of, source_and_sequence


@given(source=st.integers(0, 2**16 - 1), sequence=st.integers(0, 2**48 - 1))
def test_an_origin_holds_source_and_sequence(source: int, sequence: int) -> None:
    assert source_and_sequence(origin_of(source, sequence)) == (source, sequence)


@given(source=st.integers(0, 2**16 - 1), sequence=st.integers(0, 2**48 - 1))
def test_an_origin_fits_into_a_word(source: int, sequence: int) -> None:
    assert 0 <= origin_of(source, sequence) < 2**64


@given(size=st.integers(0, 2**40))
def test_an_aligned_size_is_the_next_whole_cache_line(size: int) -> None:
    assert aligned(size) % ALIGNMENT == 0
    assert size <= aligned(size) < size + ALIGNMENT
