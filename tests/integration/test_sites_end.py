"""What is asked of a pipe on a cluster while it ends is answered, not an error that nobody foresaw."""

from __future__ import annotations

import threading

import pytest

from pipert2 import Pipe, PipeState, Wire
from pipert2.engine.cluster_pipe import ClusterPipe
from pipert2.engine.sites import SiteLost
from pipert2.testing import CollectingDestination, ListSource
from tests.ray_nodes import HAVE_RAY
from tests.sites_here import LosableSite, sites_here

pytestmark = pytest.mark.skipif(not HAVE_RAY, reason='an engine needs Ray and Zenoh: pip install "pipert2[cluster]"')


def test_a_pipe_that_ends_tells_how_it_was_at_any_moment() -> None:
    found: dict[str, LosableSite] = {}
    with sites_here(found):
        few, seen = ListSource([1, 2, 3], "few"), CollectingDestination("seen")
        pipe = Pipe("ends", engine="ray", lossless=True)
        pipe.create_flow("here", False, few)
        pipe.create_flow("there", False, seen, host="there")
        pipe.link(Wire(few, seen))
        assert isinstance(pipe, ClusterPipe)
        states: list[PipeState] = []
        problems: list[BaseException] = []
        ended = threading.Event()

        def look() -> None:
            try:
                while not ended.is_set():
                    states.append(pipe.status().state)
            except BaseException as error:
                problems.append(error)

        watching = threading.Thread(target=look, daemon=True)
        with pipe:
            pipe.notify_event("start", wait=60)
            cluster = pipe._cluster
            assert cluster is not None
            watching.start()
            assert pipe.join(timeout=60)
        ended.set()
        watching.join(20)
        assert problems == []
        assert states[-1] is PipeState.ENDED
        assert seen.items() == [1, 2, 3]
        answers = cluster.sites.ask_all(["driver", "there"], "report")
        assert [type(answer) for answer in answers.values()] == [SiteLost, SiteLost]
        cluster.sites.later(lambda: problems.append(AssertionError("it has ended")))
        assert problems == []


def test_a_pipe_that_nobody_joined_is_ended_at_the_programs_exit_where_no_pool_takes_anything() -> None:
    found: dict[str, LosableSite] = {}
    with sites_here(found):
        many, seen = ListSource(range(1_000_000), "many"), CollectingDestination("seen")
        pipe = Pipe("forgotten", engine="ray", lossless=True)
        pipe.create_flow("here", False, many)
        pipe.create_flow("there", False, seen, host="there")
        pipe.link(Wire(many, seen))
        assert isinstance(pipe, ClusterPipe)
        pipe.notify_event("start", wait=60)
        cluster = pipe._cluster
        assert cluster is not None
        cluster.sites._pool.shutdown()  # as Python does before it calls what is to be called at exit
        cluster.close()
        cluster.close()
        assert [site.closed for site in found.values()] == [True, True]
