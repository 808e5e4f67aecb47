"""What names a cluster: an address with options, or an engine; wrong ones are named before anything is connected."""

from __future__ import annotations

import importlib.util
from pathlib import Path

import pytest

from pipert2 import ConfigError, Pipe, PipertError, PipeStateError, RayEngine, destination, source
from pipert2.engine.ray_engine import engine_of
from pipert2.errors import PipeBuildError
from pipert2.testing import CollectingDestination, ListSource

ABSENT = [name for name in ("ray", "zenoh") if importlib.util.find_spec(name) is None]
pytestmark = pytest.mark.ray
needs_both = pytest.mark.skipif(bool(ABSENT), reason='it needs Ray and Zenoh: pip install "pipert2[cluster]"')


@needs_both
def test_an_address_may_have_options_behind_a_question_mark() -> None:
    found = engine_of("ray://10.0.0.1:6379?certificates=/etc/pipert2&insecure=0&restarts=5&patience=9.5")
    assert found == RayEngine(
        address="ray://10.0.0.1:6379", certificates="/etc/pipert2", insecure=False, restarts=5, patience=9.5
    )
    assert found.head == "10.0.0.1:6379"
    assert engine_of("ray").head is None


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("rai://head:1", "'address' is 'rai://head:1'"),
        ("ray://head", "'address' is 'ray://head'"),
        ("ray://head:70000", "ray://HOST:PORT"),
        ("ray?colour=red", "'colour' is 'red'"),
        ("ray?insecure=perhaps", "accepted: 1 or 0"),
        ("ray?restarts=many", "accepted: a number"),
        ("ray?restarts=-1", "a number, 0 or more"),
        ("ray?patience=0", "seconds above 0"),
    ],
)
def test_what_is_wrong_with_an_engine_is_said_in_one_line(text: str, said: str) -> None:
    with pytest.raises(ConfigError) as caught:
        Pipe(engine=text)
    assert said in str(caught.value)
    assert "\n" not in str(caught.value)


def test_something_else_is_no_engine() -> None:
    with pytest.raises(ConfigError, match="RayEngine"):
        Pipe(engine=7)


def test_a_missing_extra_says_how_to_install_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(PipertError, match=r'pip install "pipert2\[cluster\]"'):
        Pipe(engine="ray")


@needs_both
def test_links_on_one_machine_stay_on_loopback_and_others_have_certificates(tmp_path: Path) -> None:
    for name in ("ca.pem", "host.pem", "host.key"):
        (tmp_path / name).write_text("x")
    engine = RayEngine(certificates=str(tmp_path))
    here = engine.link("127.0.0.1", "tcp/127.0.0.1:7450", "run")
    assert (here.listen, here.connect, here.ca) == (("tcp/127.0.0.1:0",), ("tcp/127.0.0.1:7450",), None)
    there = engine.link("10.0.0.2", "tls/10.0.0.1:7450", "run")
    assert there.listen == ("tls/10.0.0.2:0",)
    assert there.encrypted
    assert there.ca == str(tmp_path / "ca.pem")
    with pytest.raises(ConfigError, match="insecure"):
        RayEngine().link("10.0.0.2", "tcp/10.0.0.1:7450", "run")


def test_certificates_that_are_missing_are_named_with_the_host(tmp_path: Path) -> None:
    (tmp_path / "ca.pem").write_text("x")
    (tmp_path / "host.key").mkdir()
    with pytest.raises(ConfigError) as caught:
        RayEngine(certificates=str(tmp_path)).link("10.0.0.2", "tls/10.0.0.1:7450", "run")
    said = "at 10.0.0.2 host.pem: No such file or directory, host.key: Is a directory"
    assert str(caught.value).endswith(f"a folder on every host with ca.pem, host.pem and host.key; {said}")


@needs_both
def test_a_pipe_says_what_it_cannot_be_before_it_connects() -> None:
    pipe = Pipe(engine="ray", inline=True)
    with pytest.raises(PipeStateError, match="inline=True runs it in this process"):
        pipe.build()
    pipe = Pipe(engine="ray")
    pipe.create_flow("empty")
    with pytest.raises(PipeBuildError, match="has no routines"):
        pipe.build()
    assert pipe.status().state.value == "new"
    assert pipe.join()


@needs_both
def test_a_head_that_is_not_there_is_said_at_once() -> None:
    pipe = Pipe(engine="ray://127.0.0.1:1")
    pipe.create_flow("all", True, ListSource([1], "one"), CollectingDestination("two"))
    with pytest.raises(PipeStateError, match="nobody is "):
        pipe.build()


def test_wishes_are_kept_and_mean_nothing_on_one_machine() -> None:
    @source
    def one() -> object:
        yield 1

    seen: list[int] = []
    pipe = Pipe(inline=True, lossless=True)
    pipe.create_flow("all", True, one, destination(seen.append), resources={"GPU": 1}, host="moon")
    assert pipe.run().ok
    assert seen == [1]
    assert pipe.blueprint.wishes["all"].host == "moon"


@pytest.mark.parametrize(
    ("options", "error", "said"),
    [
        ({"resources": ["GPU"]}, TypeError, 'given as in {"GPU": 1}'),
        ({"resources": {"GPU": 0}}, ValueError, "a number above 0, not 0"),
        ({"resources": {"GPU": "two"}}, ValueError, "not 'two'"),
        ({"resources": {"": 1}}, TypeError, "given as in"),
        ({"host": 3}, TypeError, "a name, address or label"),
        ({"host": ""}, TypeError, "a name, address or label"),
    ],
)
def test_a_wrong_wish_is_named(options: dict[str, object], error: type[Exception], said: str) -> None:
    with pytest.raises(error, match=r"create_flow\('f', \.\.\.") as caught:
        Pipe().create_flow("f", **options)  # type: ignore[arg-type]
    assert said in str(caught.value)
