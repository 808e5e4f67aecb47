"""At which address a pipe's sites find each other, and when they are not let to."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import pytest

from pipert2 import Pipe, PipeBuildError, RayEngine
from pipert2.engine.opening import _need, _own_address
from pipert2.engine.placement import HostOffer
from pipert2.engine.waiting import SiteNeed
from pipert2.testing import ListSource


@dataclass
class Ray:
    """A cluster that this machine belongs to."""

    asks_for_tokens: bool
    address: str = "10.0.0.1"


ELSEWHERE = [HostOffer("edge", {}, ("10.0.0.2",))]


def own_address(ray: Any, hosts: list[HostOffer], **engine: Any) -> str:
    return _own_address(RayEngine(address="ray://10.0.0.1:6379", **engine), ray, hosts)


@pytest.mark.parametrize(
    ("tokens", "certificates", "said"),
    [
        (True, None, ["need certificates"]),
        (False, "/etc/pipert2", ["Ray itself asks nobody who they are"]),
        (False, None, ["need certificates", "Ray itself asks nobody who they are"]),
    ],
)
def test_between_hosts_certificates_and_tokens_are_needed(
    tokens: bool, certificates: str | None, said: list[str]
) -> None:
    with pytest.raises(PipeBuildError) as caught:
        own_address(Ray(tokens), ELSEWHERE, certificates=certificates)
    assert len(caught.value.problems) == len(said)
    assert all(text in problem for text, problem in zip(said, caught.value.problems, strict=True))


def test_with_both_or_when_told_that_the_network_is_safe_sites_meet_at_the_drivers_address() -> None:
    assert own_address(Ray(True), ELSEWHERE, certificates="/etc/pipert2") == "10.0.0.1"
    assert own_address(Ray(False), ELSEWHERE, insecure=True) == "10.0.0.1"


def test_sites_of_one_machine_meet_on_loopback_and_need_neither() -> None:
    assert own_address(Ray(False), [HostOffer("own", {}, ("10.0.0.1",))]) == "127.0.0.1"
    assert own_address(Ray(False), []) == "127.0.0.1"


def test_a_site_asks_for_all_that_its_flows_do_and_for_one_host_only_where_that_was_named() -> None:
    pipe = Pipe("asking")
    pipe.create_flow("a", False, ListSource([1], "a"), resources={"GPU": 1}, host="rack=3")
    pipe.create_flow("b", False, ListSource([1], "b"), resources={"GPU": 0.5, "edge": 1}, replicas=2)
    pipe.create_flow("c", False, ListSource([1], "c"), host="second")
    x, y = HostOffer("10.0.0.2", {}, ("10.0.0.2", "first")), HostOffer("10.0.0.3", {}, ("10.0.0.3", "second"))
    placement = {"a": ("10.0.0.2",), "b": ("10.0.0.2", "10.0.0.3"), "c": ("10.0.0.3",)}
    assert _need(pipe, placement, x) == SiteNeed({"GPU": 1.5, "edge": 1.0}, None, {"rack": "3"})
    assert _need(pipe, placement, y) == SiteNeed({"GPU": 0.5, "edge": 1.0}, "10.0.0.3")
