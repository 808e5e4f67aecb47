"""What can be wrong with flows that wait for others."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import pytest

from pipert2.graph.dependencies import dependency_problems


@pytest.mark.parametrize(
    ("depends_on", "problems"),
    [
        ({"b": ("a",), "c": ("a", "b")}, []),
        ({"b": ("aa",)}, ["flow 'b' depends on 'aa', which is no flow of this pipe: did you mean 'a'?"]),
        ({"b": ("xyz",)}, ["flow 'b' depends on 'xyz', which is no flow of this pipe: it has 'a', 'b', 'c'"]),
        ({"a": ("a",)}, ["flows wait for one another in a circle (a -> a): take one of depends_on away"]),
        (
            {"a": ("c",), "b": ("a",), "c": ("b",)},
            ["flows wait for one another in a circle (a -> c -> b -> a): take one of depends_on away"],
        ),
    ],
)
def test_unknown_names_and_circles_are_told_once_each(
    depends_on: Mapping[str, Sequence[str]], problems: list[str]
) -> None:
    assert dependency_problems(("a", "b", "c"), depends_on) == problems
