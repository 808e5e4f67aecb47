"""What a site that was lost waits for."""

from __future__ import annotations

from typing import Any

import pytest

from pipert2.engine.placement import DRIVER, HostOffer
from pipert2.engine.ray_engine import RayEngine
from pipert2.engine.ray_sites import RaySite
from pipert2.engine.waiting import SiteNeed

DRIVERS = HostOffer(DRIVER, {}, ("localhost",))


def host(address: str, **resources: float) -> HostOffer:
    return HostOffer(address, resources, (address, "name"))


@pytest.mark.parametrize(
    ("need", "said"),
    [
        (SiteNeed({"edge": 1.0}), "a host with 1 edge"),
        (SiteNeed({"CPU": 0.5, "GPU": 2.0}), "a host with 0.5 CPU, 2 GPU"),
        (SiteNeed({}, "10.0.0.2"), "host '10.0.0.2'"),
        (SiteNeed({"CPU": 1.0}, labels={"rack": "3"}), "a host with 1 CPU, label rack=3"),
        (SiteNeed({"memory": 2e9}, "10.0.0.2"), "host '10.0.0.2' with 2000000000 memory"),
    ],
)
def test_what_no_host_has_is_what_is_waited_for(need: SiteNeed, said: str) -> None:
    assert need.lacking([DRIVERS, host("10.0.0.3", edge=0.5, GPU=1, CPU=1, memory=1e12)], None) == said


def test_a_host_that_has_all_of_it_will_do() -> None:
    hosts = [DRIVERS, host("10.0.0.2", edge=1.0)]
    assert SiteNeed({"edge": 1.0}).lacking(hosts, None) is None
    assert SiteNeed({"edge": 1.0}, "10.0.0.2").lacking(hosts, None) is None
    assert SiteNeed({}, labels={"rack": "3"}).lacking([HostOffer("any", {}, (), {"rack": "3"})], None) is None


def test_what_others_use_is_waited_for_as_well() -> None:
    whole, free = [host("10.0.0.2", edge=1.0)], [host("10.0.0.2", edge=0.0)]
    assert SiteNeed({"edge": 1.0}).lacking(whole, free) == "a host with 1 edge left, others use it"
    assert SiteNeed({"edge": 1.0}).lacking(whole, whole) is None


def test_how_to_start_such_a_host_is_said() -> None:
    assert SiteNeed({"GPU": 1.0, "edge": 2.0}).advice("10.0.0.1:6379") == (
        "ray start --address=10.0.0.1:6379 --num-gpus=1 --resources='{\"edge\": 2}'"
    )
    assert SiteNeed({}, "10.0.0.2").advice("10.0.0.1:6379") == (
        "ray start --address=10.0.0.1:6379 --node-ip-address=10.0.0.2"
    )
    assert SiteNeed({}, labels={"rack": "3"}).advice("10.0.0.1:6379") == (
        "ray start --address=10.0.0.1:6379 --labels=rack=3"
    )


def ray_site(hosts: Any) -> RaySite:
    return RaySite("there", lambda: None, RayEngine().patience, SiteNeed({"edge": 1.0}), hosts)


def test_a_site_is_not_taken_to_wait_for_what_it_has_taken_itself_while_it_comes_into_being() -> None:
    site = ray_site(lambda whole: [host("10.0.0.2", edge=1.0 if whole else 0.0)])
    assert site.waits_for(1.0) is None
    assert site.waits_for(60.0) == "a host with 1 edge left, others use it"


def test_nothing_is_said_of_a_cluster_that_cannot_be_asked() -> None:
    def unreachable(whole: bool) -> list[HostOffer]:
        raise ConnectionError("the head is gone")

    assert ray_site(unreachable).waits_for(60.0) is None
