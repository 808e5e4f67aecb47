"""What is wrong with the graph as a whole, with the place of the routine, wire or flow that it is about."""

from __future__ import annotations

import re
from itertools import pairwise

from pipert2.document.findings import Place
from pipert2.document.model import PipeDocument

ADVICE = {
    "wire it with create_flow(..., True, ...) or link(Wire(...))": "give its flow auto_wire: true, or name it in wires",
    "(lossless=False)": "(lossless: false)",
    "(Pipe(lossless=True))": "(lossless: true)",
    "or say service=True if": "or say service: true if",
}
"""What :mod:`pipert2.graph.validation` advises for Python, and what that is in a document."""


def in_document_words(problem: str) -> str:
    """A problem that :func:`pipert2.graph.validation.problems` found, with advice for who writes a document."""
    for python, document in ADVICE.items():
        problem = problem.replace(python, document)
    return problem


class Locator:
    """Finds the place in a document that a problem is about, by the names in its text.

    Args:
        names: of each routine, in the order of flows.
    """

    def __init__(self, document: PipeDocument, place: Place, names: dict[str, list[str]]) -> None:
        self._place = place
        self._routines: dict[str, list[Place]] = {}
        self._arrows: list[tuple[str, str, Place]] = []
        for flow, members in names.items():
            for number, name in enumerate(members):
                where = place.at("flows", flow, "routines", number)
                self._routines.setdefault(name, []).append(where.at("name") if "name" in where.parts else where)
        for number, wire in enumerate(document.wires):
            for position, end in enumerate(wire.destinations):
                where = place.at("wires", number, "destinations", position)
                self._arrows.append((wire.source, end, where))
        self._flows = list(names)

    def place_of(self, problem: str) -> Place:
        """The place of what *problem* is about; of the flows if no name in it is known."""
        for start, end, where in self._arrows:
            if f"{start} -> {end}" in problem and "cycle" in problem:
                return where
        mentioned = self._mentioned(problem)
        for first, second in pairwise(mentioned):
            places = [where for start, end, where in self._arrows if {start, end} == {first, second}]
            if places:
                return places[-1] if re.search(r" \d+ times", problem) else places[0]
        if mentioned:
            if "linked to itself" in problem:
                loops = [where for start, end, where in self._arrows if start == end == mentioned[0]]
                if loops:
                    return loops[0]
            places = self._routines[mentioned[0]]
            return places[1] if len(places) > 1 and "routines are named" in problem else places[0]
        for name, places in self._routines.items():
            if "cycle" in problem and f"{name} -> " in problem:
                return places[0]
        for flow in self._flows:
            if f"flow {flow!r}" in problem:
                return self._place.key("flows", flow)
        return self._place.key("flows")

    def _mentioned(self, problem: str) -> list[str]:
        """The routines whose names are in the text, in the order in which they come."""
        found = [(problem.find(repr(name)), name) for name in self._routines]
        return [name for position, name in sorted(found) if position >= 0]
