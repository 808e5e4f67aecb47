"""The board keeps each routine's words and the text of its last error apart."""

from __future__ import annotations

import itertools

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipert2.transport.board import EDGE_WORDS, ERROR_TEXT_BYTES, ERROR_VERSION, ROUTINE_WORDS, Board
from pipert2.transport.memory import PrivateArena


def board(routines: int = 2, edges: int = 2) -> Board:
    return Board(PrivateArena().create("board", Board.size(routines, edges)), routines)


def test_rows_do_not_overlap_and_all_fit() -> None:
    routines, edges = 3, 4
    one = board(routines, edges)
    rows = [(one.routine(index), ROUTINE_WORDS) for index in range(routines)]
    rows += [(one.edge(index), EDGE_WORDS) for index in range(edges)]
    words = list(itertools.chain.from_iterable(range(start, start + length) for start, length in rows))
    assert len(words) == len(set(words))
    assert max(words) < len(one.words)


def test_a_pipe_without_wires_has_a_board_too() -> None:
    assert len(board(0, 0).words) >= 1


def test_a_routine_without_errors_has_no_text() -> None:
    assert board().read_error(0) is None


@settings(deadline=None)
@given(text=st.text(max_size=3000))
def test_an_errors_text_is_kept_up_to_one_kibibyte(text: str) -> None:
    one = board()
    one.write_error(1, text)
    found = one.read_error(1)
    assert found is not None
    whole = text.encode("utf-8", "replace").decode()
    assert whole.startswith(found)
    assert found == whole or len(found.encode()) > ERROR_TEXT_BYTES - 4


def test_a_text_with_half_a_character_can_be_kept() -> None:
    one = board()
    one.write_error(0, "bad: \udc80")
    assert one.read_error(0) == "bad: ?"


def test_the_last_error_wins() -> None:
    one = board()
    one.write_error(0, "the first one, which is long")
    one.write_error(0, "short")
    assert one.read_error(0) == "short"


def test_errors_of_routines_are_kept_apart() -> None:
    one = board()
    one.write_error(0, "x" * 5000)
    one.write_error(1, "y")
    assert one.read_error(0) == "x" * ERROR_TEXT_BYTES
    assert one.read_error(1) == "y"


@pytest.mark.parametrize("more", [0, 1, 2])
def test_a_writer_killed_half_way_does_not_keep_readers_from_the_text(more: int) -> None:
    # Given a version that stays odd because its writer was killed
    one = board()
    one.write_error(0, "whole")
    one.words[one.routine(0) + ERROR_VERSION] += 1
    # When its successor writes on
    for number in range(more):
        one.write_error(0, f"later {number}")
    # Then readers get what is there
    assert one.read_error(0) == ("whole" if not more else f"later {more - 1}")
