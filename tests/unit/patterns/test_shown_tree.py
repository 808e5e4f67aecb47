"""A reducer's tree as names and values."""

from __future__ import annotations

from typing import Any

import numpy as np

from pipert2.patterns.results.shown_tree import shown_values
from pipert2.runtime.routine.shown import MOST_NAMES


def test_groups_become_paths_and_attributes_and_the_rest_are_left_out() -> None:
    tree: dict[str, Any] = {
        "mean": 1.5,
        "mean_attrs": {"unit": "A"},
        "_attrs": {"a": 1},
        "what": object(),
        "cube": np.zeros((2, 2, 2)),
    }
    tree["scan"] = {"inner": {"map": np.zeros((2, 2))}, "n": 3}
    tree["n" * 201] = 1
    assert [name for name, _ in shown_values(tree)] == ["mean", "scan/n", "scan/inner/map"]


def test_a_tree_without_an_end_has_one_here() -> None:
    tree: dict[str, Any] = {"n": 1}
    tree["again"] = tree
    assert len(list(shown_values(tree))) < MOST_NAMES
    assert len(list(shown_values({f"n{number}": number for number in range(5000)}))) == MOST_NAMES
