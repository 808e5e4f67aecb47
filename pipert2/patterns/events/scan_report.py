"""How a scan went, in a report for programs and in a sentence for people."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict
from typing import Any

from pipert2.patterns.events.scan import Scan


def report_of(scan: Scan) -> dict[str, Any]:
    """What is known of a scan: plain values only."""
    return {
        "scan_id": scan.scan_id,
        "state": scan.state.value,
        "reason": scan.reason,
        **asdict(scan.counts),
        "stale": scan.stale,
        "frames": dict(scan.frames),
        "failures": [asdict(one) for one in scan.failures],
    }


def irregular(report: Mapping[str, Any]) -> str:
    """What was not as it should be with the frames of a scan, in a few words; empty if nothing was."""
    return ", ".join(f"{count} {name}" for name, count in report["frames"].items() if count and name != "frames")


def sentence_of(report: Mapping[str, Any]) -> str:
    """A report in a line."""
    counts = ", ".join(f"{report[name]} {name}" for name in ("done", "failed", "lost", "late", "discarded"))
    why = f": {report['reason']}" if report["reason"] else ""
    odd = irregular(report)
    return f"{report['state']}: {report['events']} events, {counts}{f'; frames: {odd}' if odd else ''}{why}"
