"""What records wires: recorders in a flow of their own, whoever has asked for them."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from pipert2.graph.wire import Wire

if TYPE_CHECKING:
    from pipert2.graph.routine import Routine
    from pipert2.pipe.pipe import Pipe

FLOW = "recording"
"""The flow of what records wires; all recorders are in one, so that they can share a file."""


@dataclass(frozen=True, slots=True)
class Recording:
    """Something that is to be recorded.

    Attributes:
        source: the name of the routine whose data it is.
        path: the file. compression: how it is packed.
        lossless: everything, even if the source has to wait.
    """

    source: str
    path: Path
    compression: Literal["lz4", "zstd"] | None = None
    lossless: bool = False


def captures_of(wires: Iterable[Wire]) -> list[Recording]:
    """What wires say with ``capture=``."""
    return [Recording(wire.source.name, Path(wire.capture)) for wire in wires if wire.capture is not None]


def add_recorders(pipe: Pipe, recordings: Iterable[Recording]) -> None:
    """Give a pipe that is not built yet a recorder for each file and source. What is named twice is recorded once,
    also if the first attempt to build the pipe failed and this is the next one.

    Raises:
        ValueError: a file's name or its compression is none that there is.
    """
    import pipert2  # captures stand above pipes, and are imported when one is wanted

    wanted: dict[tuple[Path, str], Recording] = {}
    for one in recordings:
        wanted.setdefault((one.path.absolute(), one.source), one)
    for routine in pipe.blueprint.routines:
        if isinstance(routine, pipert2.Recorder):
            wanted.pop((routine.path.absolute(), routine.topic), None)
    if not wanted:
        return
    taken = set(pipe.flow_names)
    recorders: list[Routine] = []
    for one in wanted.values():
        name = _free(f"record-{one.source}", taken)
        taken.add(name)
        recorders.append(pipert2.Recorder(one.path, topic=one.source, compression=one.compression, name=name))
    pipe.create_flow(_free(FLOW, set(pipe.blueprint.flows)), False, *recorders)
    pipe.link(
        *(
            Wire(pipe.routine(one.source), recorder, lossless=one.lossless)
            for one, recorder in zip(wanted.values(), recorders, strict=True)
        )
    )


def _free(name: str, taken: set[str]) -> str:
    found, number = name, 2
    while found in taken:
        found, number = f"{name}-{number}", number + 1
    return found
