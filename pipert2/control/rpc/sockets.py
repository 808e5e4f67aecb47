"""zerorpc's sockets, mended."""

from __future__ import annotations

import errno
from collections.abc import Callable
from typing import Any

import zmq
from zerorpc import Context, gevent_zmq


class PatientSocket(gevent_zmq.Socket):  # type: ignore[misc]
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
        return PatientSocket(self, socket_type)
