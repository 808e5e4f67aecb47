"""How far a pipe on a cluster is, of what its sites tell."""

from __future__ import annotations

from collections.abc import Mapping

from pipert2.engine.sites import SiteRecord


class ClusterProgress:
    """Reads what is known of the sites; changes nothing.

    Args:
        records: what each told last.
    """

    def __init__(self, records: Mapping[str, SiteRecord]) -> None:
        self._records = records

    @property
    def present(self) -> list[str]:
        """The sites that are there."""
        return [site for site, record in self._records.items() if record.progress is not None]

    @property
    def missing(self) -> str | None:
        """Which sites are not there, and why."""
        found = [
            f"site {site!r} is not there: {record.why}"
            for site, record in self._records.items()
            if record.why is not None
        ]
        return "; ".join(found) or None

    @property
    def stranded(self) -> bool:
        """Whether what is under way to a site cannot arrive before another host is there."""
        return any(record.waits_for is not None for record in self._records.values())

    @property
    def settled(self) -> str | None:
        """Why nothing more will happen anywhere; None while something may."""
        records = {site: record for site, record in self._records.items() if not record.killed}
        for site, record in records.items():
            if record.lost:
                return f"site {site!r} was lost too often ({record.reason})"
        progress = [record.progress for record in records.values()]
        if not progress:
            return "killed"
        if any(one is None for one in progress):
            return None
        there = [one for one in progress if one is not None]
        for one in there:
            if one.settled not in (None, "finished", "killed"):
                return one.settled
        wired = [one for one in there if one.wired]
        if all(one.settled == "killed" for one in there):
            return "killed"
        return "finished" if wired and all(one.settled in ("finished", "killed") for one in wired) else None

    @property
    def drained(self) -> bool:
        """Whether all streams of all sites have ended and everything has arrived."""
        progress = [record.progress for record in self._records.values() if not record.killed]
        wired = [one for one in progress if one is None or one.wired]
        return bool(wired) and all(one is not None and one.drained for one in wired)

    @property
    def ended(self) -> bool:
        """Whether all flows have ended for good."""
        return all(one.killed or (one.progress is not None and one.progress.ended) for one in self._records.values())

    @property
    def resting(self) -> bool:
        """Whether nothing runs anywhere, nor was asked to."""
        return all(one.progress is None or one.progress.resting for one in self._records.values())

    @property
    def given_up(self) -> int:
        """Messages that were given up in this run."""
        return sum(one.progress.given_up for one in self._records.values() if one.progress is not None)
