"""The metrics page, and the dashboard that reads it."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from importlib.resources import files
from typing import Any

import prometheus_client
import pytest
from prometheus_client.core import Metric
from prometheus_client.openmetrics.parser import text_string_to_metric_families as parse_open
from prometheus_client.parser import text_string_to_metric_families as parse_text

from pipert2 import FlowStatus, Latency, Pipe, PipeState, PipeStatus, RoutineStatus, WireStatus
from pipert2.observe.prometheus import Metrics
from pipert2.runtime.routine.histogram import Histogram, bucket_of
from pipert2.testing import CollectingDestination, ListSource
from pipert2.transport.board import HISTOGRAM_BUCKETS

NAME = 'odd "name"\\\n'
OPEN = "application/openmetrics-text; version=1.0.0"


def _histogram(*durations: int) -> Histogram:
    counts = [0] * HISTOGRAM_BUCKETS
    for one in durations:
        counts[bucket_of(one)] += 1
    return Histogram(tuple(counts), sum(durations))


class _Measured:
    """A pipe that stands still."""

    def __init__(self) -> None:
        latency = Latency(0.001, 0.002)
        routine = RoutineStatus(
            name=NAME,
            flow="in",
            kind="middle",
            state="running",
            finished=False,
            received=10,
            sent=9,
            rate=2.5,
            logic_time=latency,
            age=latency,
            errors=1,
            last_error="x",
            skipped=3,
            interrupted=4,
            busy_for=0.25,
            dead_letters=6,
            duplicates=7,
        )
        wire = WireStatus(
            source="cam",
            destination=NAME,
            lossless=False,
            capacity=1,
            transmitter="",
            sent=12,
            received=10,
            dropped=1,
            queued=1,
            rate=2.5,
            copied=5,
            blocked_seconds=1.5,
            blocked=True,
            unlinked=False,
        )
        flow = FlowStatus("in", "restarting", None, 50.0, 4096, 2, 7.5, "exit code 1", ("flow 'out'",))
        self.read = PipeStatus("p", PipeState.RUNNING, None, 0.0, 1024, (routine,), (wire,), (flow,))
        self.durations = ((20_000, 40_000, 1_000_000), (3_000_000_000,))

    def status(self) -> PipeStatus:
        return self.read

    def histograms(self) -> dict[str, tuple[Histogram, Histogram]]:
        return {NAME: (_histogram(*self.durations[0]), _histogram(*self.durations[1]))}


def _page(pipe: Any, accept: str = "") -> dict[str, Metric]:
    page, content_type = Metrics(pipe).page(accept)
    parse = parse_open if content_type.startswith("application/openmetrics-text") else parse_text
    return {metric.name: metric for metric in parse(page.decode())}


def _value(metrics: dict[str, Metric], sample: str, **labels: str) -> float:
    found = [one for metric in metrics.values() for one in metric.samples if one.name == sample]
    found = [one for one in found if labels.items() <= one.labels.items()]
    assert len(found) == 1, (sample, labels, found)
    return float(found[0].value)


@pytest.mark.parametrize("accept", ["", "text/plain", OPEN, "*/*"])
@pytest.mark.parametrize(
    ("sample", "value"),
    [
        ("pipert2_routine_received_total", 10),
        ("pipert2_routine_sent_total", 9),
        ("pipert2_routine_errors_total", 1),
        ("pipert2_routine_skipped_total", 3),
        ("pipert2_routine_interrupted_total", 4),
        ("pipert2_routine_duplicates_total", 7),
        ("pipert2_routine_messages_per_second", 2.5),
        ("pipert2_routine_busy_seconds", 0.25),
        ("pipert2_routine_finished", 0),
        ("pipert2_wire_sent_total", 12),
        ("pipert2_wire_received_total", 10),
        ("pipert2_wire_dropped_total", 1),
        ("pipert2_wire_copied_total", 5),
        ("pipert2_wire_blocked_seconds_total", 1.5),
        ("pipert2_wire_queued_messages", 1),
        ("pipert2_wire_capacity_messages", 1),
        ("pipert2_wire_messages_per_second", 2.5),
        ("pipert2_wire_blocked", 1),
        ("pipert2_wire_unlinked", 0),
        ("pipert2_flow_restarts_total", 2),
        ("pipert2_flow_up", 0),
        ("pipert2_flow_replicas", 1),
        ("pipert2_flow_waits", 1),
        ("pipert2_flow_cpu_ratio", 0.5),
        ("pipert2_flow_resident_memory_bytes", 4096),
        ("pipert2_flow_uptime_seconds", 7.5),
        ("pipert2_shared_memory_bytes", 1024),
        ("pipert2_dead_letters", 6),
    ],
)
def test_what_the_status_says_is_on_the_page(accept: str, sample: str, value: float) -> None:
    assert _value(_page(_Measured(), accept), sample) == value


def test_metrics_say_what_they_are_about() -> None:
    metrics = _page(_Measured())
    (routine,) = metrics["pipert2_routine_received"].samples
    assert routine.labels == {"pipe": "p", "flow": "in", "routine": NAME}
    (wire,) = metrics["pipert2_wire_dropped"].samples
    assert wire.labels == {"pipe": "p", "source": "cam", "destination": NAME}
    (flow,) = metrics["pipert2_flow_restarts"].samples
    assert flow.labels == {"pipe": "p", "flow": "in"}


def test_the_state_that_something_is_in_is_1_and_the_others_are_0() -> None:
    metrics = _page(_Measured())
    for name, state in (("pipe", "running"), ("routine", "running"), ("flow", "restarting")):
        found = {one.labels["state"]: one.value for one in metrics[f"pipert2_{name}_state"].samples}
        assert len(found) > 3
        assert {known for known, value in found.items() if value} == {state}


def test_histograms_count_exactly_what_is_below_each_bound() -> None:
    metrics = _page(_Measured())
    counts = {
        float(one.labels["le"]): one.value
        for one in metrics["pipert2_routine_logic_seconds"].samples
        if one.name.endswith("_bucket")
    }
    durations = _Measured().durations[0]
    assert len(counts) > 10
    for bound, count in counts.items():
        assert count == sum(one / 1e9 < bound for one in durations), bound
    assert _value(metrics, "pipert2_routine_logic_seconds_count") == 3
    assert _value(metrics, "pipert2_routine_logic_seconds_sum") == pytest.approx(0.00106)
    assert _value(metrics, "pipert2_routine_age_seconds_sum") == pytest.approx(3.0)


def test_names_say_the_unit_and_whose_they_are() -> None:
    for metric in _page(_Measured(), OPEN).values():
        assert re.fullmatch(r"pipert2(_[a-z]+)*", metric.name)
        assert metric.documentation.endswith("."), metric.name
        assert not re.search(r"_(ms|percent|kb|mb|milli|time)\b", metric.name)
        assert metric.type in ("gauge", "counter", "histogram", "info")


def test_a_pipe_that_is_not_built_has_a_page_too() -> None:
    metrics = _page(Pipe("new"))
    assert _value(metrics, "pipert2_pipe_state", state="new") == 1
    assert "pipert2_routine_received" not in metrics


def test_a_real_pipe_is_measured_while_it_is_there_and_after_its_end() -> None:
    pipe = Pipe("real", inline=True, lossless=True)
    pipe.create_flow("all", True, ListSource(range(50), "numbers"), CollectingDestination("seen"))
    pipe.run()
    metrics = _page(pipe)
    assert _value(metrics, "pipert2_routine_received_total", routine="seen") == 50
    assert _value(metrics, "pipert2_pipe_state", state="ended") == 1
    assert _value(metrics, "pipert2_routine_logic_seconds_count", routine="seen") > 0


def test_nothing_is_put_into_the_registry_that_all_share() -> None:
    Metrics(_Measured()).page()
    assert b"pipert2" not in prometheus_client.generate_latest()


# --- the dashboard


@pytest.fixture(scope="module")
def dashboard() -> dict[str, Any]:
    found: dict[str, Any] = json.loads(files("pipert2.observe").joinpath("grafana_dashboard.json").read_text())
    return found


def _expressions(dashboard: dict[str, Any]) -> Iterator[str]:
    for panel in dashboard["panels"]:
        for target in panel.get("targets", ()):
            yield target["expr"]
    yield from (one["definition"] for one in dashboard["templating"]["list"] if one["type"] == "query")


def _sample_names(metrics: dict[str, Metric]) -> set[str]:
    return {sample.name for metric in metrics.values() for sample in metric.samples}


def test_the_dashboard_asks_for_nothing_that_is_not_on_the_page(dashboard: dict[str, Any]) -> None:
    asked = {name for text in _expressions(dashboard) for name in re.findall(r"\bpipert2_\w+", text)}
    assert asked
    assert asked <= _sample_names(_page(_Measured()))


def test_every_metric_is_on_the_dashboard(dashboard: dict[str, Any]) -> None:
    text = "\n".join(_expressions(dashboard))
    for name in _page(_Measured()):
        assert re.search(rf"\b{name}(_total|_bucket|_info)?\b", text), name


def test_the_dashboard_filters_by_labels_that_there_are(dashboard: dict[str, Any]) -> None:
    labels: dict[str, set[str]] = {}
    for metric in _page(_Measured()).values():
        for sample in metric.samples:
            labels.setdefault(sample.name, set()).update(sample.labels)
    for text in _expressions(dashboard):
        for name, filters in re.findall(r"\b(pipert2_\w+)\{([^}]*)\}", text):
            assert set(re.findall(r"(\w+)=", filters)) <= labels[name], text


def test_the_dashboards_panels_have_ids_and_places_of_their_own(dashboard: dict[str, Any]) -> None:
    panels = dashboard["panels"]
    assert len({panel["id"] for panel in panels}) == len(panels)
    taken: set[tuple[int, int]] = set()
    for panel in panels:
        at = panel["gridPos"]
        cells = {(x, y) for x in range(at["x"], at["x"] + at["w"]) for y in range(at["y"], at["y"] + at["h"])}
        assert at["x"] + at["w"] <= 24
        assert not cells & taken, panel["title"]
        taken |= cells
