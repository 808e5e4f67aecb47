"""Levels on the command line."""

from __future__ import annotations

import pytest

from pipert2.cli.level import complete_level, parse_level


@pytest.mark.parametrize(
    ("incomplete", "levels"),
    [
        ("", ["DEBUG", "INFO", "WARNING", "ERROR", "CRITICAL"]),
        ("D", ["DEBUG"]),
        ("d", ["debug"]),
        ("war", ["warning"]),
        ("x", []),
    ],
)
def test_a_level_is_completed_in_the_letters_it_was_begun_with(incomplete, levels):
    assert complete_level(incomplete) == levels
    assert all(parse_level(level) == level.upper() for level in levels)
