"""Map-reduce: a pipe in which workers map events and one reducer reduces what they return."""

from __future__ import annotations

import json
import logging
import tempfile
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pipert2.errors import PipertError
from pipert2.graph.parameter import Parameter
from pipert2.graph.routine import Routine
from pipert2.graph.wire import Wire
from pipert2.patterns.events.align import Align, ToLane
from pipert2.patterns.events.batch import Lane
from pipert2.patterns.map_reduce.map_routine import Map
from pipert2.patterns.map_reduce.parameters import ParameterSet, described, read_parameters, unknown_names
from pipert2.patterns.map_reduce.recorded_sources import sources_of
from pipert2.patterns.map_reduce.reduce_routine import Reduce
from pipert2.pipe import Pipe

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class ReplaySummary:
    """How a replay went.

    Attributes:
        ok: everything was processed.
        reason: why it ended.
        scans: for each scan its state and what became of its events.
    """

    ok: bool
    reason: str
    scans: tuple[Mapping[str, Any], ...]


def parameters_for(worker: Any, reducer: Any, given: str | Path | Mapping[str, bytes] | None = None) -> ParameterSet:
    """The parameters that worker and reducer describe, with the values of a file or mapping.

    Raises:
        ParameterError: a value does not fit. Unknown names are warned of.
    """
    descriptions = [*described(worker), *described(reducer)]
    values = read_parameters(given) if isinstance(given, str | Path) else dict(given or {})
    for sentence in unknown_names(values, descriptions):
        logger.warning("%s", sentence)
    return ParameterSet(descriptions, values)


def map_reduce(
    pipe: Pipe,
    source: Routine | Sequence[Routine],
    worker: Any,
    reducer: Any,
    *,
    workers: int | Mapping[str, int] = 2,
    parameters: ParameterSet | None = None,
    ordered: bool = True,
    timeout: float = 60.0,
    report: str | Path | None = None,
    publish: int | None = None,
    **align: Any,
) -> None:
    """Put map-reduce into a pipe, which has to be lossless: flows ``input``, ``workers`` and ``reduce``.

    Args:
        pipe: the pipe.
        source: what sends messages of streams, or recorded events.
        worker: a class with ``process_event``, or a function of an event.
        reducer: a class with ``process_result``, or a function of a result.
        workers: how many there are; or how many there are of each tag, ``{"": 2, "debug": 1}``.
        parameters: what they are told; the routine ``align`` has them as its own, to be changed while it runs.
        ordered: the reducer gets results in the order of their events.
        timeout: seconds after which an event that nothing was heard of is waited for no longer.
        report: a file for how each scan went.
        publish: a port of this machine where the reducer's ``publish`` can be read as an HDF5 file.
        align: further arguments of :class:`~pipert2.patterns.events.align.Align`: streams, plan, key, missing ...

    Raises:
        PlanError: the plan cannot be carried out by these workers.
        PipertError: worker or reducer are not what they should be.
    """
    if not pipe.blueprint.lossless:
        raise PipertError("map_reduce needs a pipe on which nothing is lost: Pipe(lossless=True)")
    kinds = {"": workers} if isinstance(workers, int) else dict(workers)
    lanes = [
        Lane(f"{tag}-workers" if tag else "workers", f"{tag}-work" if tag else "work", frozenset({tag} - {""}))
        for tag in kinds
    ]
    values = parameters if parameters is not None else parameters_for(worker, reducer)
    aligner = _align_class(values)(lanes=lanes, parameters=values, name="align", **align)
    reduce = Reduce(
        reducer, lanes=lanes, ordered=ordered, timeout=timeout, report=report, publish=publish, name="reduce"
    )
    sources = [source] if isinstance(source, Routine) else list(source)
    to_lanes = [ToLane(lane) for lane in lanes] if len(lanes) > 1 else []
    pipe.create_flow("input", False, *sources, aligner, *to_lanes)
    pipe.link(*(Wire(one, aligner) for one in sources))
    for at, (lane, count) in enumerate(zip(lanes, kinds.values(), strict=True)):
        work = Map(worker, lane.routine)
        pipe.create_flow(lane.flow, False, work, replicas=count)
        if to_lanes:
            pipe.link(Wire(aligner, to_lanes[at]))
        pipe.link(Wire(to_lanes[at] if to_lanes else aligner, work, capacity=max(4, 2 * count)))
        pipe.link(Wire(work, reduce))
    pipe.create_flow("reduce", False, reduce)


def _align_class(values: ParameterSet) -> type[Align]:
    """Align with the analysis's parameters as its own, so that they can be set from outside as any others."""
    live = {
        name: Parameter(one.value, type(one.value), help=values.descriptions[name].description)
        for name, one in values.items()
        if not isinstance(one.value, bytes) and name not in vars(Align)
    }

    def main_logic(self: Any, data: Any) -> Any:
        wanted = {name: getattr(self, name) for name in live}
        if wanted != {name: self._values[name].value for name in live}:
            self.set_values(wanted)
        return Align.main_logic(self, data)

    return type("Align", (Align,), {**live, "main_logic": main_logic}) if live else Align


def replay(
    worker: Any,
    reducer: Any,
    files: str | Path | Iterable[str | Path],
    *,
    params: str | Path | Mapping[str, bytes] | None = None,
    workers: int = 2,
    inline: bool = False,
    timeout: float = 60.0,
    publish: int | None = None,
    keep_alive: bool = False,
    streams: Mapping[str, str] | None = None,
    speed: float | None = None,
    **align: Any,
) -> ReplaySummary:
    """Give the events of captures to workers in parallel processes, and what they return to a reducer.

    Args:
        worker: a class with ``process_event``, or a function of an event.
        reducer: a class with ``process_result``, or a function of a result.
        files: captures, each of which has some of the streams.
        params: values of parameters: a file, or bytes by name.
        workers: how many processes.
        inline: everything in this process, for a debugger.
        timeout: seconds after which an event that nothing was heard of is waited for no longer.
        publish: a port of this machine where the reducer's ``publish`` can be read as an HDF5 file.
        keep_alive: go on until Ctrl-C, so that what is published can be looked at.
        streams: the files hold the raw messages of these streams: names, with their protocols; ``.cbors`` files one
            each, in this order, an MCAP file all of them.
        speed: times as fast as they were recorded; as fast as they are taken if left out.
        align: further arguments of :class:`~pipert2.patterns.events.align.Align`, for raw messages.

    Raises:
        PipertError: a file, parameter, worker or reducer is not what it should be.
    """
    paths = [files] if isinstance(files, str | Path) else list(files)
    if not paths:
        raise PipertError("there is nothing to replay: name at least one capture")
    recorded = sources_of(paths, streams, align, hold=keep_alive, speed=speed)
    values = parameters_for(worker, reducer, params)
    with tempfile.TemporaryDirectory(prefix="pipert2-replay-") as folder:
        report = Path(folder) / "scans"
        pipe = Pipe("replay", lossless=True, inline=inline)
        map_reduce(
            pipe,
            recorded.sources,
            worker,
            reducer,
            workers=workers,
            parameters=values,
            timeout=timeout,
            report=report,
            publish=publish,
            **recorded.align,
        )
        summary = pipe.run()
        lines = report.read_text().splitlines() if report.exists() else []
    scans = tuple(json.loads(line) for line in lines)
    good = bool(scans) and all(scan["state"] == "done" and not scan["failed"] for scan in scans)
    ended = summary.ok or (keep_alive and summary.reason.startswith("interrupted"))
    return ReplaySummary(
        ended and good, summary.reason if scans or not summary.ok else "there was nothing in it", scans
    )
