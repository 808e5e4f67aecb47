"""A server for results, on this machine."""

from __future__ import annotations

import os
import socket
import threading
from typing import Any

from pipert2.errors import PipertError
from pipert2.patterns.results.hdf_rest import HdfRest


class HdfServer:
    """Serves results on this machine. A context manager, which closes twice without complaint.

    Args:
        app: what answers.
        port: where; 0 for any free one.

    Raises:
        PipertError: the port is taken.
    """

    def __init__(self, app: HdfRest, port: int = 0) -> None:
        from werkzeug.serving import make_server

        try:
            listening = socket.create_server(("127.0.0.1", port))
        except OSError as error:
            reason = os.strerror(error.errno) if error.errno is not None else str(error)
            raise PipertError(f"results cannot be served at port {port}: {reason}") from None
        with listening:
            self._server: Any = make_server(
                "127.0.0.1", port, app, threaded=True, request_handler=_quiet_handler(), fd=listening.fileno()
            )
        self.url = f"http://127.0.0.1:{self._server.socket.getsockname()[1]}"
        self._thread = threading.Thread(target=self._server.serve_forever, name="pipert2-results", daemon=True)
        self._thread.start()

    def close(self) -> None:
        """Stop serving."""
        server, self._server = self._server, None
        if server is not None:
            server.shutdown()
            self._thread.join(5.0)
            server.server_close()

    def __enter__(self) -> HdfServer:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def _quiet_handler() -> Any:
    from werkzeug.serving import WSGIRequestHandler

    class Quiet(WSGIRequestHandler):
        protocol_version = "HTTP/1.1"

        def log_request(self, *_: Any) -> None:
            pass

    return Quiet
