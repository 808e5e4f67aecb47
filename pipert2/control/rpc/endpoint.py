"""Where a zerorpc server may listen."""

from __future__ import annotations

import ipaddress
import socket
import stat
from pathlib import Path

from pipert2.errors import ControlError


def usable_endpoint(endpoint: object, *, safe: bool) -> str:
    """*endpoint* as libzmq takes it.

    Args:
        endpoint: as the user wrote it.
        safe: other machines may reach it, too.

    Raises:
        ControlError: it cannot be used; says why.
    """
    text = endpoint if isinstance(endpoint, str) else ""
    scheme, _, rest = text.partition("://")
    if scheme == "ipc" and rest:
        return _usable_path(text, rest)
    host, colon, port = rest.rpartition(":")
    if scheme != "tcp" or not host or not colon or not (port == "*" or (port.isdecimal() and int(port) < 65536)):
        message = f'an RPC endpoint is "tcp://ADDRESS:PORT" or "ipc:///a/path", not {endpoint!r:.100}'
        raise ControlError("bad_argument", message, "endpoint")
    host = "127.0.0.1" if host == "localhost" else host
    try:
        address = ipaddress.ip_address(host.strip("[]"))
    except ValueError:
        address = None
    if not safe and not (address is not None and address.is_loopback):
        message = (
            f"{text} can be reached from other machines, and who reaches it can drive the pipe: listen at "
            "tcp://127.0.0.1:PORT, or give RPCPipeWrapper(keys=CurveKeys(...)), on the command line --rpc-key and "
            "--rpc-clients"
        )
        raise ControlError("bad_argument", message, "endpoint")
    if address is not None and address.version == 6:
        host = f"[{address}]"
    return f"tcp://{host}:{'*' if port.strip('0') == '' else port}"


def _usable_path(endpoint: str, name: str) -> str:
    """libzmq removes whatever is in its way; this does not let it."""
    path = Path(name)
    if name.startswith("@") or not path.exists():
        return endpoint
    if not stat.S_ISSOCK(path.stat().st_mode):
        raise ControlError("bad_argument", f"cannot listen at {endpoint}: there is a file of this name", "endpoint")
    with socket.socket(socket.AF_UNIX) as probe:
        probe.settimeout(1.0)
        try:
            probe.connect(name)
        except OSError:
            return endpoint
    raise ControlError("failed", f"cannot listen at {endpoint}: Address already in use")
