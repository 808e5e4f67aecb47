"""Calls and dead letters, at the sites where they belong."""

from __future__ import annotations

from time import monotonic
from typing import Any

from pipert2.engine.cluster_base import ClusterBase
from pipert2.engine.merged import site_letters
from pipert2.engine.sites import ANSWER
from pipert2.errors import CallError, UnknownDeadLetterError
from pipert2.graph.routine import Routine
from pipert2.runtime.supervision.dead_letter_results import DeadLetterStatus, RequeueResult
from pipert2.runtime.supervision.dead_letter_shelves import MOST, Letter


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

    # --- dead letters: in the store, if there is one; what it does not take, and all without one, at their sites

    def dead_letters(
        self, routine_name: str | None = None, *, after: int = 0, limit: int | None = None
    ) -> tuple[DeadLetterStatus, ...]:
        cluster, letters = self._cluster, self._letters
        if cluster is None:
            return super().dead_letters(routine_name, after=after, limit=limit)
        stored = letters.list(routine_name, after, limit) if letters is not None else ()
        rest = None if limit is None else limit - len(stored)
        return stored + site_letters(cluster, routine_name, after, rest)

    def requeue_dead_letter(self, number: int, *, wait: float = 30.0) -> None:
        self._alive("requeue_dead_letter")
        if self._letters is not None and number < MOST:
            self._letters.requeue(number, wait)
            return
        site, own = self._letter(number, "requeue_dead_letter")
        self._all([site], "requeue_dead_letter", own, wait=wait, patience=wait + ANSWER)

    def requeue_dead_letters(self, routine_name: str | None = None, *, wait: float = 30.0) -> RequeueResult:
        cluster, deadline = self._alive("requeue_dead_letters"), monotonic() + wait
        done: list[int] = []
        failed: dict[int, str] = {}
        left: list[int] = []
        if self._letters is not None:
            stored = self._letters.requeue_all(routine_name, wait)
            done, failed, left = [*stored.done], dict(stored.failed), [*stored.left]
        sites = list(cluster.sites.records) if routine_name is None else cluster.sites_of(routine_name)
        wait = max(0.0, deadline - monotonic())
        found = self._all(sites, "requeue_dead_letters", routine_name, wait=wait, patience=wait + ANSWER)
        for site, result in zip(sites, found, strict=True):
            done += [cluster.letter_number(site, number) for number in result.done]
            failed.update({cluster.letter_number(site, number): why for number, why in result.failed.items()})
            left += [cluster.letter_number(site, number) for number in result.left]
        return RequeueResult(tuple(done), failed, tuple(left))

    def drop_dead_letter(self, number: int) -> None:
        self._alive("drop_dead_letter")
        if self._letters is not None and number < MOST:
            self._letters.drop(number)
            return
        site, own = self._letter(number, "drop_dead_letter")
        self._all([site], "drop_dead_letter", own)

    def drop_dead_letters(self, routine_name: str | None = None) -> tuple[int, ...]:
        cluster = self._alive("drop_dead_letters")
        stored = self._letters.drop_all(routine_name) if self._letters is not None else ()
        sites = list(cluster.sites.records) if routine_name is None else cluster.sites_of(routine_name)
        found = self._all(sites, "drop_dead_letters", routine_name)
        return stored + tuple(
            cluster.letter_number(site, number)
            for site, numbers in zip(sites, found, strict=True)
            for number in numbers
        )

    def _letter(self, number: int, what: str) -> tuple[str, int]:
        """The site of a dead letter that lies there, and its number there."""
        cluster = self._alive(what)
        known = {letter.number for letter in self.dead_letters()}
        if number not in known:
            raise UnknownDeadLetterError(str(number), [str(one) for one in sorted(known)], f"pipe {self.name!r}")
        return cluster.site_of_letter(number)

    def _redo_letter(self, number: int, letter: Letter, wait: float) -> None:
        """Let a routine work on a letter of the store, where it gave it up or wherever it is now."""
        cluster = self._alive("requeue_dead_letter")
        self.routine(letter.routine)
        sites = cluster.sites_of(letter.routine)
        there = [site for site in sites if site in cluster.progress.present] or sites
        site = letter.site if letter.site in there else there[0]
        cluster.sites.ask(site, "redo_letter", number, letter, wait, patience=wait + ANSWER)

    def _letter_gone(self, number: int, letter: Letter) -> None:
        cluster = self._cluster
        if cluster is not None and not letter.earlier and letter.site in cluster.sites.records:
            cluster.sites.ask(letter.site, "drop_dead_letter", number, patience=ANSWER)
