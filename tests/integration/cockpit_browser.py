"""A browser and a pipe of the cockpit, as its tests need them: they speak its protocol and do nothing by themselves."""

from __future__ import annotations

import json
import logging
import threading
import urllib.error
import urllib.request
from collections.abc import Callable
from types import TracebackType
from typing import Any

import engineio
import socketio

from pipert2.testing import wait_until

_silent = logging.Logger("silent", logging.CRITICAL + 1)
PUSHED = ("hello", "pipes", "structure", "status", "logs", "frame")


class _Engine(engineio.Client):  # type: ignore[misc]
    """Hands on what comes in the order in which it came, as browsers do; its own way is a thread for each piece."""

    def start_background_task(self, target: Any, *args: Any, **kwargs: Any) -> threading.Thread:
        thread = threading.Thread(target=target, args=args, kwargs=kwargs, name="test-io", daemon=True)
        thread.start()
        return thread

    def _trigger_event(self, event: str, *args: Any, **kwargs: Any) -> Any:
        if event == "message":
            return self.handlers[event](*args)
        return super()._trigger_event(event, *args, **kwargs)


class _Client(socketio.Client):  # type: ignore[misc]
    """Notes events in order; their handlers, which may take their time to acknowledge them, hold up nothing else."""

    note: Callable[[str, Any], None] | None = None

    def _engineio_client_class(self) -> type[engineio.Client]:
        return _Engine

    def _handle_event(self, namespace: str, number: int | None, data: list[Any]) -> None:
        if self.note is not None:
            self.note(data[0], data[1])
        self.start_background_task(super()._handle_event, namespace, number, data)

    def _handle_disconnect(self, namespace: str) -> None:
        self.start_background_task(super()._handle_disconnect, namespace)  # it waits for the thread that hands on


def client(**options: Any) -> socketio.Client:
    """A socket.io client that says nothing in the log."""
    extra = {"websocket_extra_options": {"suppress_origin": True}, **options}
    return _Client(reconnection=False, handle_sigint=False, logger=_silent, engineio_logger=_silent, **extra)


def end(one: socketio.Client) -> None:
    """Disconnect, and close what the client leaves open when its connection was lost."""
    if one.eio.state == "connected":
        one.disconnect()
    if one.eio.ws is not None:
        one.eio.ws.shutdown()


class Browser:
    """A browser at the cockpit: keeps what it is sent, and acknowledges it.

    Args:
        url: the cockpit's.
        cookie: of a session.
    """

    def __init__(self, url: str, cookie: str | None = None, *, acknowledges: bool = True) -> None:
        self.url = url
        self.cookie = cookie
        self.got: dict[str, list[Any]] = {name: [] for name in PUSHED}
        self.acknowledges = threading.Event()
        self._gone = threading.Event()
        if acknowledges:
            self.acknowledges.set()
        self.client = client()
        self.client.note = lambda name, data: self.got[name].append(data)
        for name in PUSHED:
            self.client.on(name, self._acknowledge, namespace="/ui")
        self.refusal: Any = None
        self.client.on("connect_error", self._refused, namespace="/ui")

    def _acknowledge(self, data: Any) -> None:
        while not self.acknowledges.wait(0.1) and not self._gone.is_set():
            pass

    def _refused(self, data: Any = None) -> None:
        self.refusal = data

    def __enter__(self) -> Browser:
        headers = {"Cookie": self.cookie} if self.cookie else {}
        try:
            self.client.connect(
                self.url, headers=headers, transports=["websocket"], namespaces=["/ui"], wait_timeout=60
            )
            wait_until(lambda: self.got["hello"], what="hello")
        except BaseException:
            self.close()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        self._gone.set()
        end(self.client)

    def call(self, event: str, data: Any) -> Any:
        return self.client.call(event, data, namespace="/ui", timeout=90)

    def watch(self, pipe: str | None, logs: Any = None, frames: Any = ()) -> Any:
        return self.call("watch", {"pipe": pipe, "logs": logs, "frames": [list(one) for one in frames]})

    def command(self, pipe: str, verb: str, **arguments: Any) -> Any:
        return self.call("command", {"pipe": pipe, "verb": verb, "arguments": arguments})

    def records(self) -> list[dict[str, Any]]:
        """The records that were pushed."""
        return [record for batch in self.got["logs"] for record in batch["records"]]

    def pipes(self) -> list[dict[str, Any]]:
        """The pipes, as the newest list has them."""
        found: list[dict[str, Any]] = self.got["pipes"][-1] if self.got["pipes"] else self.got["hello"][-1]["pipes"]
        return found

    def lost(self, name: str) -> bool:
        """Whether it was told that the pipe of this name is not connected any more."""
        return any(one["name"] == name and not one["connected"] for one in self.pipes())

    def get(self, path: str) -> Any:
        return ask(self.url, path, cookie=self.cookie)[1]


def ask(
    url: str,
    path: str,
    body: Any = None,
    *,
    method: str | None = None,
    cookie: str | None = None,
    headers: dict[str, str] | None = None,
) -> tuple[int, Any, dict[str, str]]:
    """Ask the cockpit: status, the body as JSON if it is, and the headers."""
    data = None if body is None else json.dumps(body).encode()
    request = urllib.request.Request(url + path, data, method=method)
    if data is not None:
        request.add_header("Content-Type", "application/json")
    if cookie:
        request.add_header("Cookie", cookie)
    for name, value in (headers or {}).items():
        request.add_header(name, value)
    try:
        with urllib.request.urlopen(request, timeout=60) as answer:
            return _read(answer.status, answer)
    except urllib.error.HTTPError as error:
        with error:
            return _read(error.code, error)


def _read(status: int, answer: Any) -> tuple[int, Any, dict[str, str]]:
    text = answer.read().decode()
    headers = {name.lower(): value for name, value in answer.headers.items()}
    is_json = headers.get("content-type", "") == "application/json"
    return status, json.loads(text) if is_json else text, headers


def log_in(url: str, user: str, password: str) -> str:
    """The cookie of a new session."""
    status, body, headers = ask(url, "/login", {"user": user, "password": password})
    assert status == 200, body
    return headers["set-cookie"].partition(";")[0]


class FakePipe:
    """A pipe as the cockpit sees it, which sends what the test says.

    Args:
        url: the cockpit's.
        name: the pipe's.
        token: what it shows.
    """

    def __init__(self, url: str, name: str = "fake", token: str | None = None, identity: str | None = None) -> None:
        self.url = url
        self.id = identity or name
        run = {"id": self.id, "name": name, "host": "<b>host</b>", "pid": 7, "started": 5.0, "pipert2": "0"}
        self.auth = {"pipe": run, "token": token}
        self.patience = 20.0
        self.commands: list[Any] = []
        self.answer: Any = {"reply": None}
        self.refusal: Any = None
        self.client = client()
        self.client.on("command", self._command, namespace="/pipe")
        self.client.on("connect_error", self._refused, namespace="/pipe")

    def _command(self, data: Any) -> Any:
        self.commands.append(data)
        return self.answer

    def _refused(self, data: Any = None) -> None:
        self.refusal = data

    def __enter__(self) -> FakePipe:
        try:
            self.client.connect(
                self.url, auth=self.auth, transports=["websocket"], namespaces=["/pipe"], wait_timeout=60
            )
        except BaseException:
            end(self.client)
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        end(self.client)

    def send(self, event: str, data: Any) -> Any:
        return self.client.call(event, data, namespace="/pipe", timeout=self.patience)

    def log(self, *records: dict[str, Any], dropped: int = 0) -> Any:
        return self.send("logs", {"records": list(records), "dropped": dropped})


def record(number: int, message: str = "hello", **fields: Any) -> dict[str, Any]:
    """A record as pipes send it."""
    return {
        "number": number,
        "time": 1000.0 + number,
        "level": "INFO",
        "logger": "x",
        "flow": "in",
        "routine": "camera",
        "message": message,
        "traceback": None,
        "extra": {},
        **fields,
    }
