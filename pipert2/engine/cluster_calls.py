"""Calls and dead letters, at the sites where they belong."""

from __future__ import annotations

from typing import Any

from pipert2.engine.cluster_base import ClusterBase
from pipert2.engine.merged import site_letters
from pipert2.engine.sites import ANSWER
from pipert2.errors import CallError, UnknownDeadLetterError
from pipert2.graph.routine import Routine
from pipert2.runtime.supervision.dead_letters import DeadLetterStatus, RequeueResult


class CallsAtSites(ClusterBase):
    """Calls and dead letters of routines, wherever they are."""

    _turn: int

    def call(self, routine: Routine | str, data: Any, *, timeout: float = 30.0) -> Any:
        name = routine.name if isinstance(routine, Routine) else routine
        self.routine(name)
        if not timeout > 0:
            raise ValueError(f"call(timeout=...) is a time in seconds above 0, not {timeout!r}")
        cluster = self._alive(f"call of {name!r}")
        there = [site for site in cluster.sites_of(name) if cluster.sites.records[site].progress is not None]
        if not there:
            raise CallError(name, f"its host is not there ({', '.join(cluster.sites_of(name))})")
        self._turn += 1
        return cluster.sites.ask(
            there[self._turn % len(there)], "call", name, data, patience=timeout + ANSWER, timeout=timeout
        )

    def dead_letters(
        self, routine_name: str | None = None, *, after: int = 0, limit: int | None = None
    ) -> tuple[DeadLetterStatus, ...]:
        cluster = self._cluster
        if cluster is None:
            return super().dead_letters(routine_name, after=after, limit=limit)
        return site_letters(cluster, routine_name, after, limit)

    def requeue_dead_letter(self, number: int, *, wait: float = 30.0) -> None:
        site, own = self._letter(number, "requeue_dead_letter")
        self._all([site], "requeue_dead_letter", own, wait=wait, patience=wait + ANSWER)

    def requeue_dead_letters(self, routine_name: str | None = None, *, wait: float = 30.0) -> RequeueResult:
        cluster = self._alive("requeue_dead_letters")
        sites = list(cluster.sites.records) if routine_name is None else cluster.sites_of(routine_name)
        found = self._all(sites, "requeue_dead_letters", routine_name, wait=wait, patience=wait + ANSWER)
        done: list[int] = []
        failed: dict[int, str] = {}
        left: list[int] = []
        for site, result in zip(sites, found, strict=True):
            done += [cluster.letter_number(site, number) for number in result.done]
            failed.update({cluster.letter_number(site, number): why for number, why in result.failed.items()})
            left += [cluster.letter_number(site, number) for number in result.left]
        return RequeueResult(tuple(done), failed, tuple(left))

    def drop_dead_letter(self, number: int) -> None:
        site, own = self._letter(number, "drop_dead_letter")
        self._all([site], "drop_dead_letter", own)

    def drop_dead_letters(self, routine_name: str | None = None) -> tuple[int, ...]:
        cluster = self._alive("drop_dead_letters")
        sites = list(cluster.sites.records) if routine_name is None else cluster.sites_of(routine_name)
        found = self._all(sites, "drop_dead_letters", routine_name)
        return tuple(
            cluster.letter_number(site, number)
            for site, numbers in zip(sites, found, strict=True)
            for number in numbers
        )

    def _letter(self, number: int, what: str) -> tuple[str, int]:
        """The site of a dead letter, and its number there."""
        cluster = self._alive(what)
        known = {letter.number for letter in self.dead_letters()}
        if number not in known:
            raise UnknownDeadLetterError(str(number), [str(one) for one in sorted(known)], f"pipe {self.name!r}")
        return cluster.site_of_letter(number)
