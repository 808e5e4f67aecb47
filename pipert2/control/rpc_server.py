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

import errno
import inspect
import ipaddress
import logging
import os
import threading
from collections import Counter, deque
from collections.abc import Callable
from typing import Any, TypeVar

import gevent
import gevent.event
import gevent.lock
import gevent.queue
import msgpack
import zmq
from zerorpc import Context, LostRemote, gevent_zmq
from zerorpc.channel import BufferedChannel, Channel, ChannelMultiplexer
from zerorpc.core import ServerBase
from zerorpc.events import Event, Events
from zerorpc.heartbeat import HeartBeatOnChannel
from zmq.utils import z85

from pipert2.control.problems import control_error
from pipert2.errors import ControlError

logger = logging.getLogger(__name__)

LARGEST_MESSAGE = 1024 * 1024
MOST_CALLS = 512
MOST_CALLS_OF_ONE = 64
MOST_LONG_CALLS = 100
CALLS_AT_ONCE = 8

_DOMAIN = b"pipert2"
_MOST_WAITING = 200
_MOST_SLOTS = 100_000
_FAREWELL = 1.0

_Result = TypeVar("_Result")


# --- what may come in


def _is_id(value: Any) -> bool:
    if isinstance(value, str) and not value.isprintable():  # zerorpc logs it
        return False
    return isinstance(value, str | bytes) and 0 < len(value) <= 128


def _is_slots(args: Any) -> bool:
    return isinstance(args, list) and len(args) > 0 and type(args[0]) is int and 0 <= args[0] <= _MOST_SLOTS


def _refuse_extension(code: int, _data: bytes) -> Any:
    raise ValueError(f"extension type {code}")


class _Events(Events):  # type: ignore[misc]
    """Receives what zerorpc's clients send, and drops the rest."""

    channels: dict[Any, Any]

    def __init__(self, context: Any) -> None:
        self.channels = {}
        self.dropped = 0
        super().__init__(zmq.ROUTER, context)

    def recv(self, timeout: float | None = None) -> Any:
        while True:
            parts = self._recv(timeout=timeout)
            try:
                return self._read(parts)
            except Exception as error:
                self.dropped += 1
                logger.debug("rpc: dropped a message: %r", error)

    def _read(self, frames: list[Any]) -> Any:
        if len(frames) != 3 or len(frames[1]):
            raise ValueError(f"{len(frames)} frames")
        peer, blob = frames[0].bytes, frames[2].bytes
        header, name, args = msgpack.unpackb(blob, raw=False, timestamp=1, ext_hook=_refuse_extension)
        if not isinstance(header, dict) or len(header) > 16:
            raise ValueError("no usable header")
        version = header.get("v")
        if type(version) is not int or not 2 <= version <= 99:
            raise ValueError("no usable version")
        if "response_to" in header:
            args = self._check_answer(peer, header["response_to"], name, args)
        else:
            self._check_call(header.get("message_id"), name, args)
        event = Event(name, args, None, header)
        event.identity = [peer]
        return event

    def _check_call(self, call_id: Any, name: Any, args: Any) -> None:
        if not _is_id(call_id) or call_id in self.channels:
            raise ValueError("no usable message_id")
        if not isinstance(name, str) or not 0 < len(name) <= 200 or name.startswith("_zpc_"):
            raise ValueError("no usable name")
        if not isinstance(args, list) or len(args) > 16:
            raise ValueError("no usable arguments")

    def _check_answer(self, peer: bytes, channel_id: Any, name: Any, args: Any) -> list[Any]:
        """Of a call that goes on, its client sends heartbeats, and how much more of a stream it has room for."""
        if not _is_id(channel_id):
            raise ValueError("no usable response_to")
        channel = self.channels.get(channel_id)
        if channel is None or channel.peer != peer:
            raise ValueError("a call that is over, or another one's")
        if name == "_zpc_hb":
            return args if _is_slots(args) else [0]
        if name == "_zpc_more" and _is_slots(args):
            return args  # type: ignore[no-any-return]
        raise ValueError("not what a client says during a call")


class _Channel(Channel):  # type: ignore[misc]
    """A call's channel with room for the events of more than one turn, so that who hands them out never waits."""

    _channel_id: Any

    def __init__(self, multiplexer: Any, first: Any) -> None:
        super().__init__(multiplexer, first)
        self.peer: bytes = first.identity[0]
        self._queue = gevent.queue.Queue(maxsize=_MOST_WAITING)
        self._queue.put(first)

    def close(self) -> None:
        active = self._multiplexer._active_channels
        if active.get(self._channel_id) is self:
            del active[self._channel_id]
        self._channel_id = None


class _Multiplexer(ChannelMultiplexer):  # type: ignore[misc]
    """Hands out what comes in, and never waits for one that does not take it."""

    def __init__(self, events: _Events) -> None:
        super().__init__(events)
        events.channels = self._active_channels

    def _channel_dispatcher(self) -> None:
        while True:
            event = self._events.recv()
            if "response_to" not in event.header:
                self._broadcast_queue.put(event)
                continue
            channel = self._active_channels[event.header["response_to"]]
            try:
                channel._queue.put_nowait(event)
            except gevent.queue.Full:
                logger.debug("rpc: dropped an event: its call does not keep up")

    def channel(self, from_event: Any = None) -> Any:
        return _Channel(self, from_event)


# --- what is done about it


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
        self._events = _Events(context)
        super().__init__(self._events, methods, name, context, None, heartbeat)
        self._multiplexer.close()
        self._multiplexer = _Multiplexer(self._events)
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
        socket.set(zmq.ZAP_DOMAIN, _DOMAIN)
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


# --- threads


class CallThreads:
    """Runs calls in threads of their own. Made, used and closed in the server's thread.

    gevent's own pool waits at its end for the calls that are still in progress; these threads are left behind.
    """

    def __init__(self, hub: Any) -> None:
        self._lock = threading.Lock()
        self._done: deque[tuple[Any, tuple[Any, ControlError | None], bool] | None] = deque()
        self._bell: Any = hub.loop.async_()
        self._bell.start(self._hand_over)
        self._turn = gevent.lock.Semaphore(CALLS_AT_ONCE)
        self._long = 0
        self._threads: set[threading.Thread] = set()
        self.stopping = gevent.event.Event()

    def run(self, job: Callable[[], _Result], *, long: bool) -> _Result:
        """What *job* returns or raises; other greenlets go on while it runs."""
        if not long:
            self._turn.acquire()
        elif self._long >= MOST_LONG_CALLS:
            raise ControlError("no_room", f"{self._long} calls that wait are in progress: try again when some are done")
        self._long += long
        result = gevent.event.AsyncResult()
        thread = threading.Thread(target=self._work, args=(job, result, long), name="pipert2-rpc-call", daemon=True)
        with self._lock:
            self._threads.add(thread)
        try:
            thread.start()
        except RuntimeError as problem:
            with self._lock:
                self._threads.discard(thread)
            self._leave(long)
            raise ControlError("no_room", f"the call was not made: {problem}") from None
        value, error = result.get()  # the client may be given up here; the thread keeps its place until it is done
        if error is not None:
            raise error
        return value  # type: ignore[no-any-return]

    def pause(self, seconds: float) -> bool:
        """Let others go on for so long; False: the server is about to end."""
        return not self.stopping.wait(seconds)

    def _work(self, job: Callable[[], Any], result: Any, long: bool) -> None:
        """Runs in the call's thread. Nothing gets out of here: a handler may call ``sys.exit``."""
        value: Any = None
        error: ControlError | None = None
        try:
            value = job()
        except Exception as problem:
            error = control_error(problem)
        except BaseException as problem:
            logger.error("rpc: a call tried to end the program: %r", problem)
            error = ControlError("internal", "something went wrong here; the pipe's log tells what")
        with self._lock:
            self._threads.discard(threading.current_thread())
            self._done.append((result, (value, error), long))
            self._ring()

    def stop(self) -> None:
        """Let the server's thread see that it is to end. May be called from any thread, also after the end."""
        with self._lock:
            self._done.append(None)
            self._ring()

    def _ring(self) -> None:
        if self._bell is not None:
            self._bell.send()

    def _hand_over(self) -> None:
        while self._done:
            done = self._done.popleft()
            if done is None:
                self.stopping.set()
                continue
            result, outcome, long = done
            self._leave(long)
            result.set(outcome)

    def _leave(self, long: bool) -> None:
        if long:
            self._long -= 1
        else:
            self._turn.release()

    def close(self) -> None:
        """Hear no more of the threads. One that is still at work is left alone: nothing can end it."""
        with self._lock:
            if self._bell is not None:
                self._bell.stop()
                self._bell.close()
                self._bell = None
            left = list(self._threads)
        for thread in left:
            thread.join(0.1)


# --- who may connect


def may_connect(mechanism: bytes, address: str, key: bytes, allowed: frozenset[bytes]) -> bool:
    """Whether a peer may.

    Args:
        mechanism: ``b"NULL"`` or ``b"CURVE"``.
        address: the peer's. key: its public key in CURVE.
        allowed: public keys (Z85); empty: nobody needs one, and all are on this machine.
    """
    if allowed:
        return mechanism == b"CURVE" and len(key) == 32 and z85.encode(key) in allowed
    if mechanism != b"NULL":
        return False
    try:
        peer = ipaddress.ip_address(address.partition("%")[0])
    except ValueError:
        return _is_own_user(address)
    if isinstance(peer, ipaddress.IPv6Address) and peer.ipv4_mapped is not None:
        peer = peer.ipv4_mapped
    return peer.is_loopback


def _is_own_user(address: str) -> bool:
    """Of a peer on ipc, libzmq tells "localhost:", user, group and process where the system knows them."""
    name, _, ids = address.partition(":")
    if name != "localhost":
        return not address
    user = ids.partition(":")[0]
    return user in ("0", str(os.getuid()))


class Authenticator:
    """Answers libzmq's question whether a peer may connect (its protocol is ZAP 1.0, RFC 27 of ZeroMQ)."""

    def __init__(self, context: Any, allowed: frozenset[bytes]) -> None:
        self._allowed = allowed
        self._refused = 0
        self._socket = context.socket(zmq.REP)
        self._socket.set(zmq.LINGER, 0)
        self._socket.bind("inproc://zeromq.zap.01")
        self._task = gevent.spawn(self._run)

    def _run(self) -> None:
        while True:
            parts = self._socket.recv_multipart()
            version, request = parts[0], parts[1] if len(parts) > 1 else b""
            allowed = False
            if len(parts) >= 6 and version == b"1.0" and parts[2] == _DOMAIN:
                key = parts[6] if len(parts) > 6 else b""
                allowed = may_connect(parts[5], parts[3].decode(errors="replace"), key, self._allowed)
            if not allowed:
                self._refused += 1
                level = logging.DEBUG if self._refused & (self._refused - 1) else logging.WARNING  # few lines of many
                address = parts[3].decode(errors="replace")[:100] if len(parts) > 3 else "?"
                logger.log(level, "rpc: refused %d connections so far, the last one from %r", self._refused, address)
            status = (b"200", b"OK") if allowed else (b"400", b"not allowed")
            self._socket.send_multipart([b"1.0", request, *status, b"", b""])

    def close(self) -> None:
        """Answer no more."""
        self._task.kill()
        self._socket.close()


# --- sockets


class _Socket(gevent_zmq.Socket):  # type: ignore[misc]
    """zerorpc's socket without its ERROR record when a message comes just as a wait for one is over."""

    def recv(self, flags: int = 0, copy: bool = True, track: bool = False) -> Any:
        return self._patiently(lambda: zmq.Socket.recv(self, flags | zmq.NOBLOCK, copy, track), flags, self._readable)

    def send(self, data: Any, flags: int = 0, copy: bool = True, track: bool = False, **_more: Any) -> Any:
        return self._patiently(
            lambda: zmq.Socket.send(self, data, flags | zmq.NOBLOCK, copy, track), flags, self._writable
        )

    def _patiently(self, act: Callable[[], Any], flags: int, ready: Any) -> Any:
        while True:
            try:
                result = act()
            except zmq.ZMQError as error:
                if error.errno not in (zmq.EAGAIN, errno.EINTR) or flags & zmq.NOBLOCK:
                    raise
            else:
                self._on_state_changed()  # the descriptor tells of changes once only, whoever caused them
                return result
            ready.clear()
            self._on_state_changed()
            ready.wait(timeout=1.0)


class OwnContext(Context):  # type: ignore[misc]
    """A context of one server or client only."""

    def socket(self, socket_type: int) -> Any:
        return _Socket(self, socket_type)
