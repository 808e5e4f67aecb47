"""Ray: the hosts that it knows, and sites as its actors."""

from __future__ import annotations

import logging
import multiprocessing.util
import os
import re
import shutil
import threading
from collections.abc import Callable, Mapping
from typing import Any

import cloudpickle

import pipert2
from pipert2.engine.luggage import Unpacked, sources_of
from pipert2.engine.placement import DRIVER, HostOffer
from pipert2.engine.ray_door import check_door, why_unreachable
from pipert2.engine.ray_engine import RayEngine
from pipert2.engine.site import Site, outcome_of
from pipert2.engine.site_pipe import SitePlan
from pipert2.engine.site_words import Feed, SiteProgress
from pipert2.engine.sites import SiteLost
from pipert2.engine.waiting import SiteNeed
from pipert2.errors import PipertError, PipeStateError

logger = logging.getLogger(__name__)
_COLOUR = re.compile(r"\x1b\[[0-9;]*m")

MOST_AT_ONCE = 64
"""Questions that a site works on at a time."""
_TRAVELS_IN_A_CALL = 64 << 10  # bytes; Ray puts 100 KiB and more aside
_END_PATIENCE = 5.0  # seconds that a site may take to end when nobody waits for what it says
UNREACHABLE = "its process or its host was lost, or cannot be reached"
_BUSY_AFTER = 20.0
"""Seconds after which a site that is lost and does not begin is said to wait for what others use."""
_HOST_SHARE = 0.001  # of the resource that every host has of itself


class SiteActor:
    """A site in a process that Ray has made for it."""

    def __init__(
        self, packed: bytes, sources: bytes, engine: RayEngine, rendezvous: str, run: str, version: str
    ) -> None:
        self._site: Site | None = None
        self._failure: BaseException | None = None
        self._own = own_address() if not engine_is_here(rendezvous) else "127.0.0.1"
        self._modules = Unpacked(cloudpickle.loads(sources))
        self._site, self._failure = outcome_of(
            lambda: Site(_unpacked(packed, version), engine.link(self._own, rendezvous, run))
        )

    def do(self, packed: bytes) -> bytes:
        """A verb; what came of it, or its error."""
        site = self._site
        verb, args, options = cloudpickle.loads(packed)
        done = _packed((None, self._failure) if site is None else outcome_of(lambda: site.do(verb, args, options)))
        if verb == "end":  # Ray kills this process next: nothing that it would do at its exit is done
            self._modules.close()
            shutil.rmtree(multiprocessing.util.get_temp_dir(), ignore_errors=True)
        return done

    def feed(self, packed: bytes) -> bytes:
        """What is new."""
        site = self._site
        if site is None:
            return _packed((None, self._failure))
        known, wait = cloudpickle.loads(packed)
        return _packed(outcome_of(lambda: site.feed(known, wait)))

    def where(self) -> tuple[int, str]:
        """Its process and its host's address."""
        return os.getpid(), own_address()

    def node(self) -> str:
        """The Ray node that it is on."""
        import ray

        return str(ray.get_runtime_context().get_node_id())


def _unpacked(packed: bytes, version: str) -> SitePlan:
    """What a driver with a *version* of pipert2 wants to be run here."""
    if version != pipert2.__version__:
        raise PipertError(
            f"pipert2 {pipert2.__version__} is installed there and {version} here: install the same on all hosts"
        )
    plan: SitePlan = cloudpickle.loads(packed)
    return plan


def _kept(packed: bytes) -> Any:
    """Bytes for a call that are there for as long as Ray may begin an actor anew: what is small travels in the call,
    what is large is put by us and held, as what Ray puts itself for a call may be gone by then."""
    import ray

    return packed if len(packed) <= _TRAVELS_IN_A_CALL else ray.put(packed)


def _packed(outcome: tuple[Any, BaseException | None]) -> bytes:
    value, error = outcome
    try:
        return cloudpickle.dumps((value, error))  # type: ignore[no-any-return]
    except Exception as failure:
        return cloudpickle.dumps((None, PipertError(f"what came of it cannot be sent: {failure}")))  # type: ignore[no-any-return]


def engine_is_here(rendezvous: str) -> bool:
    """Whether all sites are on one machine."""
    return "/127.0.0.1:" in rendezvous


def own_address() -> str:
    """This host's address, as Ray knows it."""
    import ray

    return str(ray.util.get_node_ip_address())  # type: ignore[no-untyped-call]


class RaySite:
    """A site at another host, or in another process of this one. Closes twice without complaint.

    Args:
        name: which.
        make: makes its actor.
        patience: seconds that it may take to begin.
        need: what it asks of its host.
        hosts: what there are, with what they have in whole or have left.
    """

    def __init__(
        self,
        name: str,
        make: Callable[[], Any],
        patience: float,
        need: SiteNeed,
        hosts: Callable[[bool], list[HostOffer]],
    ) -> None:
        self.name = name
        self._need = need
        self._hosts = hosts
        self._make = make
        self._actor = make()
        self._patience = patience
        self._ended = False
        self._closed = False

    def await_start(self) -> tuple[int, str]:
        """Wait until it runs; its process and host."""
        import ray

        try:
            pid, address = ray.get(self._actor.where.remote(), timeout=self._patience)
        except ray.exceptions.GetTimeoutError:
            raise PipertError(
                f"site {self.name!r} did not begin within {self._patience:g} s: has its host what its flows ask for? "
                "(ray status)"
            ) from None
        except ray.exceptions.RayError as error:
            raise PipertError(f"site {self.name!r} did not begin: {_with_advice(_told_by_ray(error))}") from None
        try:
            self.ask("progress", (), {}, self._patience)
        except SiteLost:
            raise
        except Exception as error:
            raise PipertError(f"site {self.name!r} did not begin: {_with_advice(str(error))}") from None
        return int(pid), str(address)

    def ask(self, verb: str, args: tuple[Any, ...], options: Mapping[str, Any], timeout: float) -> Any:
        """Let the site do something.

        Raises:
            SiteLost: it is not there. Otherwise what the verb raises.
        """
        packed = cloudpickle.dumps((verb, args, dict(options)))
        done = self._get(lambda: self._actor.do.remote(packed), timeout)
        self._ended = self._ended or verb == "end"
        return done

    def feed(self, known: SiteProgress | None, wait: float) -> Feed:
        """What is new; see :meth:`Site.feed`."""
        packed = cloudpickle.dumps((known, wait))
        found: Feed = self._get(lambda: self._actor.feed.remote(packed), wait + 30.0)
        return found

    def _get(self, start: Callable[[], Any], timeout: float) -> Any:
        import ray

        if self._closed:
            raise SiteLost(self.name, "it has ended", for_good=True)
        try:
            value, error = cloudpickle.loads(ray.get(start(), timeout=timeout))
        except ray.exceptions.GetTimeoutError:
            raise SiteLost(self.name, f"it did not answer within {timeout:g} s") from None
        except ray.exceptions.ActorDiedError as died:
            raise SiteLost(self.name, _told_by_ray(died), for_good=True) from None
        except ray.exceptions.ActorUnavailableError as failure:
            logger.debug("site %r: %s", self.name, failure)
            raise SiteLost(self.name, UNREACHABLE) from None
        except ray.exceptions.RayError as failure:
            raise SiteLost(self.name, _told_by_ray(failure)) from None
        if error is not None:
            raise error
        return value

    def place_anew(self) -> None:
        """Another actor in place of one that Ray has given up."""
        if not self._closed:
            self._actor = self._make()

    def waits_for(self, seconds: float) -> str | None:
        """What it cannot begin anew without, *seconds* after it was lost, as no host has that."""
        try:
            return self._need.lacking(self._hosts(True), self._hosts(False) if seconds > _BUSY_AFTER else None)
        except Exception as error:  # Ray itself may be out of reach
            logger.debug("site %r: what there is cannot be asked: %s", self.name, error)
            return None

    def where(self, timeout: float) -> tuple[int, str]:
        """Its process and host."""
        import ray

        try:
            pid, address = ray.get(self._actor.where.remote(), timeout=timeout)
        except ray.exceptions.RayError as failure:
            raise SiteLost(self.name, _told_by_ray(failure)) from None
        return int(pid), str(address)

    def node(self, timeout: float) -> str:
        """The Ray node that it is on."""
        import ray

        try:
            return str(ray.get(self._actor.node.remote(), timeout=timeout))
        except ray.exceptions.RayError as failure:
            raise SiteLost(self.name, _told_by_ray(failure)) from None

    def close(self) -> None:
        """End its process, and before that what runs there, so that nothing is left."""
        import ray

        if not self._closed:
            if not self._ended:
                try:
                    self.ask("end", (), {}, _END_PATIENCE)
                except Exception as error:  # it is not there, or never began
                    logger.debug("site %r: %s", self.name, error)
            self._closed = True
            try:
                ray.kill(self._actor, no_restart=True)
            except Exception as error:  # Ray itself may be gone
                logger.debug("site %r: %s", self.name, error)


def _told_by_ray(error: BaseException) -> str:
    """What matters of many lines."""
    lines = [line.strip() for line in _COLOUR.sub("", str(error)).splitlines() if line.strip()]
    if "creation task" in lines[0] and len(lines) > 1:  # a traceback follows
        return lines[-1][:300]
    return next((line for line in lines if line.startswith(("The actor", "Worker exit", "The node"))), lines[0])[:300]


def _with_advice(said: str) -> str:
    """What went wrong at a site, and what helps."""
    if "No module named 'pipert2" in said:
        return f'{said}: pip install "pipert2[cluster]" there, with the same Python as Ray'
    if "ModuleNotFoundError" in said:
        return f"{said}: install it there as it is here, or let Ray bring it: RayEngine(runtime_env=...)"
    return said


def _found_here() -> str:
    """The address of the Ray on this machine, if the one that is noted there still lives; else "local", a new one."""
    from ray._private import utils

    noted = os.environ.get("RAY_ADDRESS") or utils.read_ray_address()
    return "auto" if noted and why_unreachable(noted) is None else "local"


class RayCluster:
    """The connection to a Ray. Closes twice without complaint.

    Args:
        engine: which.

    Raises:
        PipeStateError: there is none, or this machine is not one of its nodes.
    """

    _lock = threading.Lock()
    _users = 0
    """Pipes that use a Ray to which one of them has connected; the last one lets go of it."""

    def __init__(self, engine: RayEngine) -> None:
        os.environ.setdefault("RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO", "0")
        import ray

        self._engine = engine
        self._mine = False
        with self._lock:
            fresh = not ray.is_initialized()
            if fresh:
                self._connect()
            if fresh or RayCluster._users:
                RayCluster._users = 1 if fresh else RayCluster._users + 1
                self._mine = True
        self.address = engine.listen or own_address()

    def _connect(self) -> None:
        import ray

        options: dict[str, Any] = {"logging_level": logging.ERROR, "configure_logging": False}
        head = self._engine.head
        address = head or _found_here()
        if head is not None:
            check_door(self._engine.address, head, own=self._engine.listen)
        if address == "local":
            os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
            options.update(include_dashboard=False, object_store_memory=80 << 20)
        try:
            ray.init(address=address, **options)
        except (ConnectionError, RuntimeError, ValueError) as error:
            raise PipeStateError(
                f"engine {self._engine.address!r}: {' '.join(str(error).split())[:300]}. This machine must be one of "
                f"its nodes: ray start --address={head or 'HOST:PORT'} --num-cpus=0, with the head's RAY_AUTH_TOKEN"
            ) from None

    @property
    def head(self) -> str:
        """Where further hosts join it."""
        import ray

        return self._engine.head or str(ray.get_runtime_context().gcs_address)

    @property
    def asks_for_tokens(self) -> bool:
        """Whether Ray lets in only those who have its token."""
        return os.environ.get("RAY_AUTH_MODE", "").lower() in ("token", "k8s")

    def hosts(self, *, whole: bool = False) -> list[HostOffer]:
        """The driver's own host, then Ray's nodes with what they have left, or with what they have in *whole*."""
        import ray
        from ray._private.state import available_resources_per_node

        free = available_resources_per_node()  # type: ignore[no-untyped-call]
        found = [HostOffer(DRIVER, {}, ("here", "localhost"))]
        for node in ray.nodes():  # type: ignore[no-untyped-call]
            if not node["Alive"]:
                continue
            left = node["Resources"] if whole else free.get(node["NodeID"], node["Resources"])
            names = (node["NodeManagerAddress"], node["NodeManagerHostname"], node["NodeName"])
            name = node["NodeManagerAddress"]
            if any(host.name == name for host in found):  # several nodes of one machine, as in tests
                name = f"{name}/{node['NodeID'][:6]}"
            offer = {key: amount for key, amount in left.items() if not key.startswith("node:")}
            found.append(HostOffer(name, offer, (*dict.fromkeys(names), node["NodeID"]), node["Labels"]))
        return found

    def make_site(
        self,
        plan: SitePlan,
        host: HostOffer,
        need: SiteNeed,
        rendezvous: str,
        run: str,
    ) -> RaySite:
        """Let a site begin, at this host, and where its need is met when that is lost."""
        import ray
        from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

        asked = dict(need.resources)
        options: dict[str, Any] = {
            "num_cpus": asked.pop("CPU", 0),
            "num_gpus": asked.pop("GPU", 0),
            "max_restarts": self._engine.restarts,
            "max_concurrency": MOST_AT_ONCE,
            "scheduling_strategy": NodeAffinitySchedulingStrategy(host.aliases[-1], soft=True),
        }
        if "memory" in asked:
            options["memory"] = asked.pop("memory")
        if need.address is not None:
            asked[f"node:{need.address}"] = _HOST_SHARE
        if need.labels:
            options["label_selector"] = dict(need.labels)
        options["resources"] = asked
        if self._engine.runtime_env:
            options["runtime_env"] = dict(self._engine.runtime_env)
        packed = _kept(cloudpickle.dumps(plan))
        sources = _kept(cloudpickle.dumps(sources_of(one for flow in plan.fragment.flows for one in flow.routines)))
        actor = ray.remote(SiteActor).options(**options)
        return RaySite(
            plan.fragment.site,
            lambda: actor.remote(packed, sources, self._engine, rendezvous, run, pipert2.__version__),
            self._engine.patience,
            need,
            lambda whole: self.hosts(whole=whole),
        )

    def close(self) -> None:
        """Let go of Ray, and end it if it was started for this pipe."""
        import ray

        with self._lock:
            if not self._mine:
                return
            self._mine = False
            RayCluster._users -= 1
            if not RayCluster._users:
                ray.shutdown()
