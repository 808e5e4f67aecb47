"""From a document to a pipe, with everything that is wrong on the way."""

from __future__ import annotations

import copy
import os
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

from pipert2.document.findings import DocumentError, Finding, Findings, Place
from pipert2.document.graph_findings import Locator, in_document_words
from pipert2.document.model import PipeDocument, WireDocument
from pipert2.document.nodes import MAX_BYTES, read_yaml
from pipert2.document.routines import Maker, stand_in
from pipert2.document.structure import Structure, structured
from pipert2.errors import nearest
from pipert2.graph.dependencies import dependency_problems
from pipert2.graph.routine import Routine
from pipert2.graph.transmitter import DataTransmitter
from pipert2.graph.validation import problems
from pipert2.graph.wire import Wire
from pipert2.pipe import Pipe


def read_document(text_or_path: str | os.PathLike[str]) -> PipeDocument:
    """The document in a file, or in a text (that has more than one line); the classes it names are not looked at.

    Raises:
        DocumentError: it is not a document, with everything that is wrong with its keys and types.
    """
    if isinstance(text_or_path, str) and "\n" in text_or_path:
        findings = Findings("<text>")
        found = _structure(text_or_path.encode("utf-8", "surrogatepass"), findings)
    else:
        findings, found = _read(text_or_path)
    if findings or found is None:
        raise DocumentError(findings.sorted())
    return found.document


def check_document(path: str | os.PathLike[str]) -> list[Finding]:
    """Everything that is wrong with the document in a file, in the file's order; empty if nothing is.

    The modules that it names are imported and its routines made, as :func:`load_pipe` does, but nothing is started.
    """
    findings, found = _read(path)
    if found is not None:
        _Assembly(found, _folder(path), findings)
    return findings.sorted()


def load_pipe(path: str | os.PathLike[str], *, inline: bool = False) -> Pipe:
    """The pipe that the document in a file describes, not built yet. Imports the modules that the document names.

    Args:
        path: of the document. Paths of files in it begin in its folder.
        inline: run everything in this process, as :class:`pipert2.Pipe` does.

    Raises:
        DocumentError: everything that is wrong with it, each with line and column.
    """
    findings, found = _read(path)
    if found is not None:
        assembly = _Assembly(found, _folder(path), findings)
        if not findings:
            return assembly.pipe(Path(path).stem, inline)
    raise DocumentError(findings.sorted())


def build_pipe(document: PipeDocument, *, folder: str | os.PathLike[str] = ".", inline: bool = False) -> Pipe:
    """The pipe that a document in memory describes, not built yet.

    Args:
        folder: where paths of files in it begin.
        inline: as in :func:`load_pipe`.

    Raises:
        DocumentError: everything that is wrong with it.
    """
    findings = Findings("<document>")
    assembly = _Assembly(Structure(document, Place(), whole=True), Path(folder), findings)
    if findings:
        raise DocumentError(findings.sorted())
    return assembly.pipe("pipe", inline)


def _folder(path: str | os.PathLike[str]) -> Path:
    return Path(path).resolve().parent


def _read(path: str | os.PathLike[str]) -> tuple[Findings, Structure | None]:
    findings = Findings(os.fspath(path))
    try:
        with open(path, "rb") as file:
            data = file.read(MAX_BYTES + 1)
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or str(error)
        findings.add(Place(), f"the document cannot be read: {reason}")
        return findings, None
    return findings, _structure(data, findings)


def _structure(data: bytes, findings: Findings) -> Structure | None:
    value, place = read_yaml(data, findings)
    if value is None and findings:
        return None
    if not isinstance(value, dict):
        findings.add(place, "a document is a mapping with the key 'flows', see pipert2 validate --schema")
        return None
    return structured(value, place, findings)


@dataclass(slots=True)
class _Flow:
    routines: list[Routine]
    auto_wire: bool
    transmitter: DataTransmitter | None


class _Assembly:
    """The parts of a pipe, made from a document. Checked when it is created; a pipe if nothing was found."""

    def __init__(self, structure: Structure, folder: Path, findings: Findings) -> None:
        self._document = structure.document
        self._place = structure.place
        self._findings = findings
        self._folder = folder
        self._make = Maker(folder, findings)
        self._transmitter = self._make.transmitter(self._document.data_transmitter, self._place.at("data_transmitter"))
        self._flows = {name: self._flow(name) for name in self._document.flows}
        names = {name: [routine.name for routine in flow.routines] for name, flow in self._flows.items()}
        self._by_name: dict[str, Routine] = {}
        for flow in self._flows.values():
            for routine in flow.routines:
                self._by_name.setdefault(routine.name, routine)
        self._namesakes = len(self._by_name) < sum(len(flow.routines) for flow in self._flows.values())
        self._strangers: list[Routine] = []
        self._wires = [self._wire(number, wire, structure.whole) for number, wire in enumerate(self._document.wires)]
        self._check_dependencies()
        self._check_store()
        self._check_config()
        if structure.whole:
            self._check(Locator(self._document, self._place, names))

    def _flow(self, name: str) -> _Flow:
        part, place = self._document.flows[name], self._place.at("flows", name)
        routines = [
            self._make.routine(routine, place.at("routines", number)) for number, routine in enumerate(part.routines)
        ]
        return _Flow(
            routines, part.auto_wire, self._make.transmitter(part.data_transmitter, place.at("data_transmitter"))
        )

    def _wire(self, number: int, part: WireDocument, whole: bool) -> Wire:
        place = self._place.at("wires", number)
        source = self._end(part.source, place.at("source"), whole)
        ends = [
            self._end(name, place.at("destinations", position), whole)
            for position, name in enumerate(part.destinations)
        ]
        transmitter = self._make.transmitter(part.data_transmitter, place.at("data_transmitter"))
        return Wire(
            source,
            ends,
            transmitter,
            lossless=part.lossless,
            capacity=part.capacity,
            where=self._make.where(part.where, place.at("where")),
            feedback=part.feedback,
        )

    def _end(self, name: str, place: Place, whole: bool) -> Routine:
        """The routine of this name; if there is none, the one that was most likely meant, or a stand-in."""
        found = self._by_name.get(name)
        if found is not None:
            return found
        known = list(self._by_name)
        close = nearest(name, known)
        if whole:
            hint = f"did you mean {close!r}?" if close else "there are " + ", ".join(map(repr, known[:20]))
            self._findings.add(place, f"there is no routine {name!r}: {hint}")
        if close is not None:
            return self._by_name[close]
        stranger = stand_in(name)
        self._strangers.append(stranger)
        return stranger

    def _check_dependencies(self) -> None:
        depends_on = {name: tuple(flow.depends_on) for name, flow in self._document.flows.items()}
        for name, others in depends_on.items():
            for number, other in enumerate(others):
                if other not in depends_on:
                    close = nearest(other, list(depends_on))
                    hint = f"did you mean {close!r}?" if close else "there are " + ", ".join(map(repr, depends_on))
                    where = self._place.at("flows", name, "depends_on", number)
                    self._findings.add(where, f"there is no flow {other!r}: {hint}")
        known = {name: [other for other in others if other in depends_on] for name, others in depends_on.items()}
        for problem in dependency_problems(known, {name: others for name, others in known.items() if others}):
            first = next(name for name in known if f"({name} -> " in problem)
            self._findings.add(self._place.key("flows", first, "depends_on"), problem)

    def _check_store(self) -> None:
        if self._document.store is None:
            return
        file = self._folder / self._document.store
        if file.is_dir() or not file.parent.is_dir():
            why = "it is a folder" if file.is_dir() else f"there is no folder {file.parent}"
            self._findings.add(self._place.at("store"), f"the store {self._document.store!r} cannot be: {why}")

    def _check_config(self) -> None:
        config = self._document.config
        if config is not None and not (self._folder / config).is_dir():
            self._findings.add(self._place.at("config"), f"there is no folder {config!r} in {self._folder}")

    def _check(self, locator: Locator) -> None:
        flows: dict[str, Sequence[Routine]] = {name: flow.routines for name, flow in self._flows.items()}
        if self._strangers:
            flows[""] = self._strangers
        wires = [
            Wire(source, end, flow.transmitter)
            for flow in self._flows.values()
            if flow.auto_wire
            for source, end in pairwise(flow.routines)
        ]
        network, lossless = self._document.queue_network, self._document.lossless
        for problem in problems(flows, [*wires, *self._wires], network=network, lossless=lossless):
            if self._namesakes and "form a cycle" in problem:
                continue  # it may be none: cycles are found by names
            self._findings.add(locator.place_of(problem), in_document_words(problem))

    def pipe(self, name: str, inline: bool) -> Pipe:
        """The pipe, named *name* if the document does not say."""
        document = self._document
        pipe = Pipe(
            document.name or name,
            network=document.queue_network,
            data_transmitter=self._transmitter,
            auto_pacing_mechanism=document.auto_pacing,
            lossless=document.lossless,
            inline=inline,
            restart=document.restart_rule,
            hang_timeout=document.hang_timeout,
            kill_timeout=document.kill_timeout,
            drain_timeout=document.drain_timeout,
            store=self._folder / document.store if document.store is not None else None,
            config=self._folder / document.config if document.config is not None else None,
            requires=document.requires,
        )
        for flow_name, flow in self._flows.items():
            part = document.flows[flow_name]
            pipe.create_flow(
                flow_name,
                flow.auto_wire,
                *flow.routines,
                data_transmitter=flow.transmitter,
                replicas=part.replicas,
                depends_on=part.depends_on,
                resources=part.resources,
                host=part.host,
            )
        pipe.link(*self._wires)
        if document.parameters:
            pipe.set_parameters(values=copy.deepcopy(document.parameters))
        return pipe
