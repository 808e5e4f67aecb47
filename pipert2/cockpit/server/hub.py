"""The middle of the cockpit: which pipes there are, and who watches them. Lives in the server's event loop."""

from __future__ import annotations

import asyncio
import logging
import sqlite3
import time
from collections.abc import Iterable
from typing import Any

from pipert2.cockpit.server.live_pipe import LivePipe
from pipert2.cockpit.server.messages import Batch
from pipert2.cockpit.server.viewer import Viewer
from pipert2.cockpit.store.metrics_row import MetricsRow
from pipert2.cockpit.store.pipe_store import KnownPipe, PipeRun, PipeStore
from pipert2.cockpit.store.store import Store
from pipert2.errors import ControlError, nearest

logger = logging.getLogger(__name__)

_NOTED_EVERY = 15.0
_MOST_BATCHES = 4
_RING_SECONDS = 600.0


class Hub:
    """Takes what pipes send, keeps it, and passes it on to the browsers that watch.

    Args:
        store: the database.
    """

    def __init__(self, store: Store) -> None:
        self._store = store
        self.pipes: dict[str, LivePipe] = {}
        self.viewers: dict[str, Viewer] = {}
        for known in store.pipes.all():
            self.pipes[known.run.id] = LivePipe(known)

    # --- pipes

    async def connect(self, run: PipeRun, sid: str) -> tuple[LivePipe, str | None]:
        """A pipe has come (again); and the connection that it had before, if that was not noticed to be lost."""
        now = time.time()
        pipe = self.pipes.get(run.id)
        number = await self._write(lambda connection: PipeStore.add(connection, run, now))
        if pipe is None or pipe.number != number:
            pipe = self.pipes[run.id] = LivePipe(KnownPipe(number, run, now, None, None))
        last = await asyncio.get_running_loop().run_in_executor(
            self._store.workers, self._store.records.last_number, number
        )
        pipe.last = max(pipe.last, last)
        before = pipe.sid
        if before is not None:
            pipe.disconnect()
        pipe.connect(sid)
        self._store.connected.add(number)
        self.pipes_changed()
        return pipe, before

    def disconnect(self, pipe: LivePipe, sid: str) -> None:
        """A pipe's connection has ended."""
        if pipe.sid != sid:
            return
        pipe.disconnect()
        self._store.connected.discard(pipe.number)
        self._note(pipe)
        self.pipes_changed()

    async def take_records(self, pipe: LivePipe, batch: Batch) -> int:
        """Keep records; returns when they are safe, with the number of the last one.

        Raises:
            ControlError: there are too many already that wait, or they cannot be written.
        """
        if pipe.batches >= _MOST_BATCHES:
            raise ControlError("no_room", f"{pipe.batches} batches wait already: wait for their answers")
        records = batch["records"]
        if not records:
            pipe.append([], batch["dropped"])
            return pipe.last
        pipe.batches += 1
        try:
            # What was written, but whose acknowledgement was lost, comes again.
            fresh = await self._write(lambda connection: self._store.insert(connection, pipe, records))
        finally:
            pipe.batches -= 1
        pipe.append(fresh, batch["dropped"] if fresh else 0)
        pipe.last = max(pipe.last, *(record["number"] for record in records))
        return pipe.last

    def take_status(self, pipe: LivePipe, message: dict[str, Any]) -> None:
        """Keep a snapshot and its numbers, show it to those who watch."""
        before = pipe.summary()
        now = time.time()
        pipe.status = {**message, "at": now}
        self.write_later(self._metrics_of(pipe.number, int(now), pipe.counters.row(message["status"])))
        for viewer in self._watching(pipe):
            viewer.offer("status", {**pipe.status, "pipe": pipe.run.id})
        if pipe.summary() != before:
            self.pipes_changed()
        if now - pipe.stored_at > _NOTED_EVERY:
            self._note(pipe)

    def _metrics_of(self, number: int, now: int, row: MetricsRow) -> Any:
        return lambda connection: self._store.metrics.insert(connection, number, now, row)

    def take_structure(self, pipe: LivePipe, structure: dict[str, Any]) -> None:
        """Keep what the pipe is made of, show it to those who watch."""
        pipe.structure = structure
        for viewer in self._watching(pipe):
            viewer.offer("structure", {"pipe": pipe.run.id, "structure": structure})
        self._note(pipe)

    def take_frame(self, pipe: LivePipe, frame: dict[str, Any]) -> None:
        """Show a picture to those who watch it."""
        shown = {**frame, "pipe": pipe.run.id}
        pipe.frames[frame["routine"], frame["side"]] = shown
        for viewer in self._watching(pipe):
            viewer.offer_frame(shown)

    def find(self, identity: str) -> LivePipe:
        """The run of this id.

        Raises:
            ControlError: there is none.
        """
        found = self.pipes.get(identity)
        if found is None:
            near = nearest(identity, list(self.pipes))
            raise ControlError("unknown_name", f"no pipe with the id {identity!r:.80} is known here", nearest=near)
        return found

    def summaries(self) -> list[dict[str, Any]]:
        """All pipes: those that are connected first, then the newest. May be called from any thread."""
        pipes = list(self.pipes.values())
        pipes.sort(key=lambda pipe: (pipe.sid is None, -pipe.run.started))
        return [pipe.summary() for pipe in pipes]

    def forget(self, number: int) -> None:
        """A run was removed from the database."""
        for identity, pipe in list(self.pipes.items()):
            if pipe.number == number and pipe.sid is None:
                del self.pipes[identity]
                self.pipes_changed()

    def wanted_frames(self, pipe: LivePipe) -> set[tuple[str, str]]:
        """The pictures of a pipe that somebody watches."""
        return {frame for viewer in self._watching(pipe) for frame in viewer.frames}

    def forget_rings(self) -> None:
        """Let go the records of pipes that have been gone for long; they are in the database."""
        before = time.time() - _RING_SECONDS
        for pipe in self.pipes.values():
            if pipe.sid is None and pipe.since < before:
                pipe.forget_records()

    # --- browsers

    def _watching(self, pipe: LivePipe) -> Iterable[Viewer]:
        return [viewer for viewer in self.viewers.values() if viewer.pipe is pipe]

    def pipes_changed(self) -> None:
        """Tell all browsers, soon, that the list of pipes is another one."""
        for viewer in self.viewers.values():
            viewer.pipes_due = True

    # --- writing

    def _note(self, pipe: LivePipe) -> None:
        number, since, structure, status = pipe.number, pipe.since, pipe.structure, pipe.status
        pipe.stored_at = time.time()
        self.write_later(lambda connection: PipeStore.note(connection, number, since, structure, status))

    async def _write(self, job: Any) -> Any:
        try:
            return await asyncio.wrap_future(self._store.writer.submit(job))
        except sqlite3.Error as error:
            raise ControlError("failed", f"the cockpit cannot write its database: {error}") from None

    def write_later(self, job: Any) -> None:
        """Write without waiting; what fails is in the log already, if it is the database's fault."""
        try:
            self._store.writer.submit(job)
        except ControlError:
            logger.debug("too late to write: the cockpit is shutting down")
