"""What may come in: zerorpc's events and channels, which look at each message before anything is done with it."""

from __future__ import annotations

import logging
from typing import Any

import gevent
import gevent.event
import gevent.lock
import gevent.queue
import msgpack
import zmq
from zerorpc.channel import Channel, ChannelMultiplexer
from zerorpc.events import Event, Events

logger = logging.getLogger(__name__)
_MOST_WAITING = 200
_MOST_SLOTS = 100_000


def _is_id(value: Any) -> bool:
    if isinstance(value, str) and not value.isprintable():  # zerorpc logs it
        return False
    return isinstance(value, str | bytes) and 0 < len(value) <= 128


def _is_slots(args: Any) -> bool:
    return isinstance(args, list) and len(args) > 0 and type(args[0]) is int and 0 <= args[0] <= _MOST_SLOTS


def _refuse_extension(code: int, _data: bytes) -> Any:
    raise ValueError(f"extension type {code}")


class CheckedEvents(Events):  # type: ignore[misc]
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


class _CheckedChannel(Channel):  # type: ignore[misc]
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


class CheckedMultiplexer(ChannelMultiplexer):  # type: ignore[misc]
    """Hands out what comes in, and never waits for one that does not take it."""

    def __init__(self, events: CheckedEvents) -> None:
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
        return _CheckedChannel(self, from_event)
