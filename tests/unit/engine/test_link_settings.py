"""What a link is told: what is wrong, and what is not safe, is said before anything is opened."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any
from unittest import mock

import pytest

from pipert2 import PipertError
from pipert2.engine.link import Egress, Ingress, LinkSettings
from pipert2.engine.link.settings import import_zenoh
from pipert2.errors import ConfigError

LOCAL = LinkSettings(listen=("tcp/127.0.0.1:7450",))


@pytest.mark.parametrize(
    ("settings", "says"),
    [
        ({}, "nobody is reached"),
        ({"listen": "tcp/127.0.0.1:7450"}, "a tuple of endpoints"),
        ({"listen": (7450,)}, "a tuple of endpoints"),
        ({"listen": ("127.0.0.1:7450",)}, "tls/HOST:PORT"),
        ({"listen": ("udp/127.0.0.1:7450",)}, "tls/HOST:PORT"),
        ({"connect": ("tcp/127.0.0.1",)}, "with a port from 1 to 65535"),
        ({"connect": ("tcp/127.0.0.1:0",)}, "with a port from 1 to 65535"),
        ({"connect": ("tcp/127.0.0.1:70000",)}, "with a port from 1 to 65535"),
        ({"connect": ("tcp/10.0.0.2:7450",)}, "tls/10.0.0.2:7450 with ca="),
        ({"listen": ("tcp/0.0.0.0:7450",)}, "insecure=True"),
        ({"listen": ("tcp/[::]:7450",)}, "insecure=True"),
        ({"connect": ("tcp/head:7450",)}, "insecure=True"),
        ({"listen": ("tls/10.0.0.2:7450",)}, "show each other certificates"),
        ({"listen": ("tcp/127.0.0.1:7450",), "ca": "ca.pem"}, "a file that can be read"),
        ({"listen": ("tcp/127.0.0.1:7450",), "namespace": "a*b"}, "letters, digits"),
        ({"listen": ("tcp/127.0.0.1:7450",), "namespace": "/a"}, "letters, digits"),
        ({"listen": ("tcp/127.0.0.1:7450",), "insecure": "yes"}, "True or False"),
        ({"listen": ("tcp/127.0.0.1:7450",), "multicast": 1}, "True or False"),
    ],
)
def test_what_cannot_be_or_is_not_safe_is_refused_in_one_line(settings: dict[str, Any], says: str) -> None:
    with pytest.raises(ConfigError) as found:
        LinkSettings(**settings)
    assert says in str(found.value)
    assert "\n" not in str(found.value)


@pytest.mark.parametrize(
    "endpoint", ["tcp/127.0.0.1:1", "tcp/localhost:7450", "tcp/[::1]:7450", "unixsock-stream//tmp/x"]
)
def test_on_loopback_nothing_need_be_encrypted(endpoint: str) -> None:
    assert not LinkSettings(connect=(endpoint,)).encrypted


def test_other_addresses_may_be_used_in_the_clear_if_that_is_said() -> None:
    assert not LinkSettings(listen=("tcp/0.0.0.0:7450",), insecure=True).encrypted


def test_certificates_are_files_that_can_be_read(tmp_path: Path) -> None:
    files = {name: tmp_path / name for name in ("ca", "certificate", "private_key")}
    for file in files.values():
        file.write_text("...")
    settings = LinkSettings(connect=("tls/10.0.0.2:7450",), **{name: str(file) for name, file in files.items()})
    assert settings.encrypted
    files["private_key"].unlink()
    with pytest.raises(ConfigError, match=r"private_key.*a file that can be read"):
        LinkSettings(connect=("tls/10.0.0.2:7450",), **{name: str(file) for name, file in files.items()})


@pytest.mark.parametrize(
    ("end", "arguments", "says"),
    [
        (Egress, {"key": "a b"}, "letters, digits"),
        (Egress, {"key": ""}, "letters, digits"),
        (Egress, {"key": "**"}, "letters, digits"),
        (Egress, {"key": "a", "credit": 0}, "1 or more"),
        (Egress, {"key": "a", "credit": True}, "1 or more"),
        (Egress, {"key": "a", "link": "tcp/127.0.0.1:1"}, "LinkSettings"),
        (Ingress, {"key": "a//b"}, "letters, digits"),
        (Ingress, {"key": "a", "streams": 0}, "1 or more"),
        (Ingress, {"key": "a", "link": None}, "LinkSettings"),
    ],
)
def test_an_end_says_what_is_wrong_with_its_arguments(end: Any, arguments: dict[str, Any], says: str) -> None:
    with pytest.raises(ConfigError, match=says):
        end(**{"link": LOCAL, **arguments})


def test_without_zenoh_the_line_that_installs_it_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "zenoh", None)
    with pytest.raises(PipertError, match=r'pip install "pipert2\[cluster\]"'):
        import_zenoh()


def test_nobody_is_looked_for_by_multicast_unless_that_is_said() -> None:
    said = {"listen": ("tcp/127.0.0.1:7450",)}
    assert dict(LinkSettings(**said)._config())["scouting/multicast/enabled"] is False
    assert dict(LinkSettings(**said, meet=True)._config())["scouting/multicast/enabled"] is False
    assert dict(LinkSettings(**said, multicast=True)._config())["scouting/multicast/enabled"] is True


@pytest.mark.parametrize("make", [Egress, Ingress])
def test_a_session_that_does_not_close_in_time_fails_no_end_of_a_link(
    make: type[Egress] | type[Ingress], caplog: pytest.LogCaptureFixture
) -> None:
    late = import_zenoh().ZError("close operation timed out!")
    end: Any = make("end", key="k", link=LinkSettings(connect=("tcp/127.0.0.1:1",)))
    end._session = mock.Mock(close=mock.Mock(side_effect=late))
    end.cleanup()
    assert end._session is None
    assert "close operation timed out" in caplog.text
