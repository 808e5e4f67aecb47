"""Job: a request on its way through a pipe, with the report that its routines write on it."""

from __future__ import annotations

import uuid
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from pipert2.graph.data import Data


@dataclass
class Job(Data):
    """A request and the report that grows on it: routines add findings and tags, the destination gets all of it once.

    In a routine, ``self.report(job, size=3)`` files findings under the routine's name. When a routine gives a job up
    after its retries, the job goes on all the same, marked as failed, so that there is one report for each request.

    Attributes:
        data: what is to be worked on.
        id: names the request; made up if left out.
        findings: what routines have found, in sections named after them.
        tags: short words about it, each once, in the order in which they came.
        failed: whether some routine has given it up. error, traceback: why.

    >>> job = Job({"domain": "example.com"}, id="r1")
    >>> job.add({"length": 11}, section="domain_length")
    >>> job.tag("seen")
    >>> job.as_report()
    {'id': 'r1', 'report': {'domain_length': {'length': 11}}, 'tags': ['seen'], 'failed': False, 'error': None}
    """

    data: Any = None
    id: str = field(default_factory=lambda: uuid.uuid4().hex)
    findings: dict[str, Any] = field(default_factory=dict)
    tags: list[str] = field(default_factory=list)
    failed: bool = False
    error: str | None = None
    traceback: str | None = None

    def add(self, findings: Mapping[str, Any], section: str | None = None) -> None:
        """Add findings to a section, or, without one, beside the sections. What has the same name is replaced."""
        if section is None:
            self.findings.update(findings)
            return
        there = self.findings.setdefault(section, {})
        if not isinstance(there, dict):
            raise TypeError(f"job {self.id!r}: {section!r} is a finding of its own, so it cannot be a section as well")
        there.update(findings)

    def tag(self, *tags: str) -> None:
        """Add tags that are not there yet."""
        self.tags.extend(tag for tag in dict.fromkeys(tags) if tag not in self.tags)

    def fail(self, error: str, traceback: str | None = None) -> None:
        """Say that it was given up, and why."""
        self.failed, self.error, self.traceback = True, error, traceback
        self.tag("failed")

    def as_report(self) -> dict[str, Any]:
        """The report as plain data; ``error`` has the traceback as well."""
        error = self.error if not self.traceback else f"{self.error}\n{self.traceback}"
        return {"id": self.id, "report": self.findings, "tags": self.tags, "failed": self.failed, "error": error}
