"""zerorpc's server, hardened: whatever a peer sends or leaves undone, the others are served.

What differs from ``zerorpc.Server``, whose protocol stays as it is:

- a message is looked at before anything is done with it, and dropped if none of zerorpc's clients would send it;
- nothing that a peer does makes the receiving greenlet wait or end;
- calls run in threads, and are counted; what is too much is refused at once;
- an error is answered with its name and message, never with a traceback;
- a peer that speaks an old version of ZeroMQ's protocol is refused: a web page can send one as the body of a POST.

Everything in here runs in the one thread that made the server, except for what is said to run in others.
"""

from __future__ import annotations

import inspect
import logging
from collections import Counter
from typing import Any

import gevent
import gevent.event
import gevent.lock
import gevent.queue
import zmq
from zerorpc import LostRemote
from zerorpc.channel import BufferedChannel
from zerorpc.core import ServerBase
from zerorpc.heartbeat import HeartBeatOnChannel

from pipert2.control.problems import control_error
from pipert2.control.rpc.admission import DOMAIN
from pipert2.control.rpc.channels import CheckedEvents, CheckedMultiplexer
from pipert2.errors import ControlError

logger = logging.getLogger(__name__)
LARGEST_MESSAGE = 1024 * 1024
MOST_CALLS = 512
MOST_CALLS_OF_ONE = 64
_FAREWELL = 1.0


class Server(ServerBase):  # type: ignore[misc]
    """Serves the methods until it is closed.

    Args:
        methods: by name what zerorpc's decorators made.
        name: shown to who asks.
        context: of this server only.
        heartbeat: seconds between two heartbeats; a peer that misses two is given up.
    """

    _multiplexer: Any

    def __init__(self, methods: dict[str, Any], name: str, context: Any, heartbeat: float) -> None:
        self._events = CheckedEvents(context)
        super().__init__(self._events, methods, name, context, None, heartbeat)
        self._multiplexer.close()
        self._multiplexer = CheckedMultiplexer(self._events)
        self._calls_of: Counter[bytes] = Counter()

    def listen(self, endpoint: str, secret_key: str | None) -> str:
        """Bind, and return the endpoint with the port that was found."""
        socket = self._events._socket
        socket.set(zmq.MAXMSGSIZE, LARGEST_MESSAGE)
        socket.set(zmq.LINGER, 1000)
        socket.set(zmq.HANDSHAKE_IVL, 5000)
        socket.set(zmq.SNDHWM, 500)
        socket.set(zmq.RCVHWM, 100)
        socket.set(zmq.TCP_KEEPALIVE, 1)
        socket.set(zmq.IPV6, 1 if "[" in endpoint else 0)
        socket.set(zmq.ZAP_DOMAIN, DOMAIN)
        if secret_key is not None:
            socket.set(zmq.CURVE_SERVER, 1)
            socket.set(zmq.CURVE_SECRETKEY, secret_key.encode())
        socket.bind(endpoint)
        return str(socket.get(zmq.LAST_ENDPOINT).rstrip(b"\0").decode())

    @property
    def calls(self) -> int:
        """How many calls are in progress. May be asked from any thread."""
        return len(self._task_pool)

    def serve(self) -> None:
        """Take calls from now on."""
        self._acceptor_task = gevent.spawn(self._acceptor)

    def close(self) -> None:
        """Take no more calls. Those in progress may still be answered for a second; then they are let go."""
        self.stop()
        self._task_pool.join(timeout=_FAREWELL)
        self._task_pool.kill(timeout=_FAREWELL)
        gevent.sleep(0.01)  # the answers are handed to a greenlet that sends them
        self._multiplexer.close()
        self._events.close()

    def _acceptor(self) -> None:
        while True:
            event = self._multiplexer.recv()
            peer = event.identity[0]
            if self.calls >= MOST_CALLS or self._calls_of[peer] >= MOST_CALLS_OF_ONE:
                self._refuse(event)
            else:
                self._calls_of[peer] += 1
                self._task_pool.spawn(self._async_task, event)

    def _refuse(self, event: Any) -> None:
        message = "too many calls are in progress: try again when some are done"
        answer = self._events.new_event("ERR", ("no_room", message, None))
        answer.header["response_to"] = event.header["message_id"]
        answer.identity = event.identity
        self._events.emit_event(answer)

    def _async_task(self, initial_event: Any) -> None:
        peer = initial_event.identity[0]
        try:
            buffered = BufferedChannel(
                HeartBeatOnChannel(self._multiplexer.channel(initial_event), freq=self._heartbeat_freq)
            )
            try:
                self._answer(buffered)
            finally:
                _close(buffered)
        except LostRemote:
            logger.debug("rpc: a client is gone")
        except Exception:
            logger.debug("rpc: a call could not be answered", exc_info=True)
        finally:
            self._calls_of[peer] -= 1
            if self._calls_of[peer] <= 0:
                del self._calls_of[peer]

    def _answer(self, channel: Any) -> None:
        event = channel.recv()
        try:
            method = self._methods.get(event.name)
            if method is None:
                known = ", ".join(name for name in self._methods if not name.startswith("_"))
                raise ControlError("unknown_name", f"there is no method {event.name!r}; there are {known}")
            _check_arguments(event.name, method, event.args)
            method.pattern.process_call(self._context, channel, event, method)
        except LostRemote:
            raise
        except Exception as error:
            if event.name.startswith("_zerorpc_") and not isinstance(error, ControlError):
                error = ControlError("bad_argument", f"{event.name}: no method of this name")
            found = control_error(error)
            channel.emit("ERR", (found.code, found.message, None))


def _close(channel: Any) -> None:
    """Close a call's channel, also if its client is given up just then."""
    try:
        channel.close()
    except LostRemote:
        channel.close()


def _check_arguments(name: str, method: Any, args: list[Any]) -> None:
    try:
        inspect.signature(method._functor).bind(*args)
    except TypeError as error:
        raise ControlError("bad_argument", f"{name}: {error}") from None
