"""Links between hosts: cables that are slow, lossy and cut, and certificates that are and are not accepted.

The hosts are network namespaces, each with an address of its own.
"""

from __future__ import annotations

import json
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from benchmarks.hosts import Hosts, HostsError
from pipert2.testing import wait_until
from tests.integration.cockpit_tls import make_certificates
from tests.processes import ROOT

pytest.importorskip("zenoh", reason='wires between hosts need Zenoh: pip install "pipert2[cluster]"')

PORT = 7450


@pytest.fixture
def hosts() -> Iterator[Hosts]:
    try:
        two = Hosts(2)
    except HostsError as error:
        pytest.skip(f"no network namespaces here: {error}")
    with two:
        yield two


class End:
    """One end of a link, on a host of its own."""

    def __init__(self, hosts: Hosts, at: int, way: str, link: dict[str, Any], **options: Any) -> None:
        everything = {"link": link, "lossless": True, "rate": 500, "count": 1000, **options}
        script = str(Path(__file__).with_name("link_end.py"))
        self.process = hosts.start(
            at,
            ["python", "-W", "ignore", script, way, json.dumps(everything)],
            environment={"PYTHONPATH": str(ROOT)},
            stderr=subprocess.PIPE,
        )
        self.errors = ""

    def __enter__(self) -> End:
        assert self.process.stdout is not None
        assert self.process.stdout.readline() == "started\n", self.close() or self.errors
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def ask(self, seconds: float) -> dict[str, Any]:
        """What it says when its stream has ended, or after *seconds*."""
        assert self.process.stdout is not None
        self.tell(seconds)
        return dict(json.loads(self.process.stdout.readline()))

    def tell(self, what: object) -> None:
        """Say a line to it; "end" ends its stream."""
        assert self.process.stdin is not None
        self.process.stdin.write(f"{what}\n")
        self.process.stdin.flush()

    def close(self) -> None:
        if self.process.poll() is None or not self.errors:
            try:
                _, self.errors = self.process.communicate(timeout=60)
            except subprocess.TimeoutExpired:
                self.process.kill()
                _, self.errors = self.process.communicate(timeout=60)


def clear(hosts: Hosts) -> tuple[dict[str, Any], dict[str, Any]]:
    """Settings of a link in the clear: those of who connects, and of who listens."""
    endpoint = [f"tcp/{hosts.addresses[1]}:{PORT}"]
    return {"connect": endpoint, "insecure": True}, {"listen": endpoint, "insecure": True}


def secured(hosts: Hosts, folder: Path) -> tuple[dict[str, Any], dict[str, Any]]:
    """Settings of a link with certificates."""
    made = make_certificates(folder)
    files = {"ca": str(made.ca), "certificate": str(made.certificate), "private_key": str(made.key)}
    endpoint = [f"tls/{hosts.addresses[1]}:{PORT}"]
    # The certificates are made for 127.0.0.1.
    return {"connect": endpoint, "verify_names": False, **files}, {"listen": endpoint, **files}


def test_a_lossless_link_loses_nothing_on_a_slow_and_lossy_cable(hosts: Hosts) -> None:
    connect, listen = clear(hosts)
    hosts.disturb(0, delay=0.05, loss=0.01)
    hosts.disturb(1, delay=0.05, loss=0.01)
    with End(hosts, 1, "receive", listen) as receiver, End(hosts, 0, "send", connect) as sender:
        sent, got = sender.ask(40), receiver.ask(20)
    assert sent["ended"]
    assert got["ended"]
    assert got["got"] == list(range(1, 1001))
    assert float(sent["link"]["round trip ms"]) >= 100
    assert float(got["link"]["uncertainty ms"]) >= 49
    assert abs(float(got["link"]["offset ms"])) <= float(got["link"]["uncertainty ms"])  # it is the same clock


def test_a_real_time_link_accounts_for_each_message_on_a_slow_and_lossy_cable(hosts: Hosts) -> None:
    connect, listen = clear(hosts)
    hosts.disturb(0, delay=0.05, loss=0.01)
    hosts.disturb(1, delay=0.05, loss=0.01)
    options: dict[str, Any] = {"lossless": False, "rate": 100, "count": 500}
    with End(hosts, 1, "receive", listen, **options) as receiver, End(hosts, 0, "send", connect, **options) as sender:
        sent, got = sender.ask(40), receiver.ask(20)
    items = got["got"]
    assert got["ended"]
    assert items == sorted(set(items))
    assert items
    assert len(items) + sent["dropped"] + got["dropped"] + float(got["link"]["gap"]) == 500
    assert got["age"] >= 0.05


@pytest.mark.parametrize("lossless", [True, False], ids=["lossless", "real-time"])
def test_a_cut_is_filled_on_a_lossless_link_and_counted_on_a_real_time_one(hosts: Hosts, lossless: bool) -> None:
    connect, listen = clear(hosts)
    options = {"lossless": lossless, "rate": 300, "count": None}
    with End(hosts, 1, "receive", listen, **options) as receiver, End(hosts, 0, "send", connect, **options) as sender:
        wait_until(lambda: len(receiver.ask(0)["got"]) > 200, 60.0)
        hosts.cut(0)
        wait_until(lambda: sender.ask(0.2)["link"]["state"] == "cut", 60.0)  # Zenoh has given the connection up by then
        before = len(receiver.ask(0)["got"])
        hosts.mend(0)
        wait_until(lambda: len(receiver.ask(0)["got"]) > before + 100, 60.0)
        sender.tell("end")
        sent, got = sender.ask(40), receiver.ask(20)
    items, count = got["got"], sent["sent"]
    assert sent["ended"]
    assert got["ended"]
    assert items == sorted(set(items))
    if lossless:
        assert items == list(range(1, count + 1))
    else:
        gap = float(got["link"]["gap"])
        assert len(items) + sent["dropped"] + got["dropped"] + gap in (count, count + 1)  # the end may be lost, too
        assert sent["dropped"] > 300


def test_with_certificates_on_both_sides_nothing_is_in_the_clear(hosts: Hosts, tmp_path: Path) -> None:
    connect, listen = secured(hosts, tmp_path)
    with End(hosts, 1, "receive", listen) as receiver, End(hosts, 0, "send", connect) as sender:
        assert sender.ask(30)["ended"]
        assert receiver.ask(20)["got"] == list(range(1, 1001))


def test_a_certificate_of_another_authority_is_not_let_in(hosts: Hosts, tmp_path: Path) -> None:
    (tmp_path / "own").mkdir()
    (tmp_path / "other").mkdir()
    _, listen = secured(hosts, tmp_path / "own")
    connect, _ = secured(hosts, tmp_path / "other")
    connect["ca"] = listen["ca"]  # it trusts the listener, but the listener does not trust it
    with End(hosts, 1, "receive", listen) as receiver, End(hosts, 0, "send", connect) as sender:
        assert not sender.ask(4)["ended"]
        assert receiver.ask(0)["got"] == []
        assert sender.ask(0)["link"]["state"] == "waiting for the other end"


def test_without_a_certificate_nobody_is_let_in(hosts: Hosts, tmp_path: Path) -> None:
    _, listen = secured(hosts, tmp_path)
    connect, _ = clear(hosts)
    with End(hosts, 1, "receive", listen) as receiver, End(hosts, 0, "send", connect) as sender:
        assert not sender.ask(3)["ended"]
        assert receiver.ask(0)["got"] == []


@pytest.mark.soak
@pytest.mark.timeout(240)
@pytest.mark.parametrize("lossless", [True, False], ids=["lossless", "real-time"])
def test_a_minute_with_50_ms_delay_and_1_percent_loss_and_a_cut_now_and_then(hosts: Hosts, lossless: bool) -> None:
    connect, listen = clear(hosts)
    for at in range(2):
        hosts.disturb(at, delay=0.05, loss=0.01)
    count = 30_000 if lossless else 6_000
    options = {"lossless": lossless, "rate": count / 60, "count": count}
    with End(hosts, 1, "receive", listen, **options) as receiver, End(hosts, 0, "send", connect, **options) as sender:
        for _ in range(3):
            sender.ask(10)
            hosts.cut(1)
            sender.ask(5)
            hosts.mend(1)
        sent, got = sender.ask(120), receiver.ask(60)
    items = got["got"]
    assert sent["ended"]
    assert got["ended"]
    if lossless:
        assert items == list(range(1, count + 1))
    else:
        assert items == sorted(set(items))
        gap = float(got["link"]["gap"])
        assert count <= len(items) + sent["dropped"] + got["dropped"] + gap <= count + 1
