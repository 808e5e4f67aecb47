"""``pipert2-rpc``: zerorpc's client command, with its command line, made to run on Python 3.10 and later."""

from __future__ import annotations

import argparse
import atexit
import gc
import json
import logging
import os
import signal
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from pprint import pprint
from typing import Any

from pipert2.control.environment import environment_and_file
from pipert2.control.rpc.keys import KEY, SECRET_KEY_NAME, SERVER_KEY_NAME, secret_key_in
from pipert2.control.rpc.wrapper import MISSING
from pipert2.errors import ControlError, PipertError, nearest

OK = 0
FAILED = 1
USAGE = 2
INTERRUPTED = 130

_EPILOG = """\
examples:
  pipert2-rpc tcp://127.0.0.1:1234                              list what can be called
  pipert2-rpc tcp://127.0.0.1:1234 execute start
  pipert2-rpc tcp://127.0.0.1:1234 execute join '{"to_kill":true}'
  pipert2-rpc -j tcp://127.0.0.1:1234 execute '"SET_SPEED"' '{"speed": 3}'
  pipert2-rpc tcp://127.0.0.1:1234 dead_letters                 messages that were given up
  pipert2-rpc tcp://127.0.0.1:1234 requeue_dead_letter 3
  pipert2-rpc tcp://127.0.0.1:1234 log                          until Ctrl-C

exit codes: 0 done; 1 the remote call failed; 2 wrong usage, or no connection; 130 interrupted by Ctrl-C
"""


class _CommandError(PipertError):
    """The command ends with an exit code and one line."""

    def __init__(self, code: int, message: str) -> None:
        self.code = code
        self.message = message

    def __str__(self) -> str:
        return self.message


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command.

    Args:
        arguments: those of the process if left out.

    Returns:
        The exit code.
    """
    if arguments is None:  # nothing runs behind this, and to look through all that was imported for garbage takes long
        atexit.register(gc.freeze)
    parser = make_parser()
    try:
        options = parser.parse_intermixed_args(arguments)
    except SystemExit as end:  # argparse has said why
        return end.code if isinstance(end.code, int) else USAGE
    try:
        if options.make_keys:
            return _make_keys()
        code = _call(options)
        sys.stdout.flush()
    except KeyboardInterrupt:
        return INTERRUPTED
    except BrokenPipeError:  # as with "| head"
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return OK
    except _CommandError as error:
        print(f"pipert2-rpc: {one_line(error.message)}", file=sys.stderr)
        return error.code
    else:
        return code


def make_parser() -> argparse.ArgumentParser:
    """The command line."""
    parser = argparse.ArgumentParser(
        prog="pipert2-rpc",
        description="Call a method of a pipe that RPCPipeWrapper serves, or of any other zerorpc server.",
        epilog=_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    add = parser.add_argument
    add("--client", action="store_true", help="call (the default, and all that this command does)")
    add("--connect", action="append", metavar="ADDRESS", help="an address to connect to; may be given more than once")
    add("--bind", action="append", metavar="ADDRESS", help="an address where the server comes to")
    add("--timeout", type=_seconds, default=30.0, metavar="SECONDS", help="give up a call after that (default: 30)")
    add("--heartbeat", type=_seconds, default=5.0, metavar="SECONDS", help="the server's heartbeat (default: 5)")
    add("-j", "--json", action="store_true", help="the parameters are JSON")
    add("-p", "-pj", "--print-json", action="store_true", help="print JSON, of a stream one line each")
    add("-?", "--inspect", action="store_true", help="tell about the command, or all of them, instead of calling it")
    add("--active-hb", action="store_true", help="send heartbeats before the server does")
    add("-d", "--debug", action="store_true", help="show zerorpc's debugging messages")
    add("--curve-server-key", metavar="KEY", help="the server's public key (or PIPERT2_RPC_SERVER_KEY)")
    add(
        "--curve-secret-key-file",
        metavar="FILE",
        help="a file with one's own secret key, or with what --make-keys printed (or the key itself in "
        "PIPERT2_RPC_SECRET_KEY)",
    )
    add("--make-keys", action="store_true", help="print a new pair of keys, and do nothing else")
    add(
        "address", nargs="?", help='address to connect to, such as "tcp://127.0.0.1:1234"; not with --connect or --bind'
    )
    add("command", nargs="?", help="method to call; without it, all methods are listed")
    add("params", nargs="*", help="the method's parameters: texts, or with -j JSON")
    return parser


def one_line(text: str) -> str:
    """*text* without what would move a terminal's cursor, or colour it, and with its lines in one."""
    joined = " ".join(line.strip() for line in text.splitlines() if line.strip())
    return "".join(char if char.isprintable() else char.encode("unicode_escape").decode() for char in joined)


def _seconds(text: str) -> float:
    try:
        value = float(text)
    except ValueError:
        value = 0.0
    if not 0 < value <= 86400:
        raise argparse.ArgumentTypeError(f"{text!r} is not a time above 0, in seconds")
    return value


def _call(options: argparse.Namespace) -> int:
    if options.connect or options.bind:
        options.params = [one for one in (options.command, *options.params) if one is not None]
        options.command, options.address = options.address, None
    addresses = [*(options.connect or []), *([options.address] if options.address else [])]
    if not addresses and not options.bind:
        raise _CommandError(USAGE, 'no address: pipert2-rpc tcp://127.0.0.1:1234 [COMMAND [PARAMS...]], or "--help"')
    for address in [*addresses, *(options.bind or [])]:
        if not address.startswith(("tcp://", "ipc://")):
            raise _CommandError(USAGE, f'{address!r} is no address: one is "tcp://ADDRESS:PORT" or "ipc:///a/path"')
    params = [_parsed(number, one) for number, one in enumerate(options.params, 1)] if options.json else options.params
    keys = _keys(options)
    try:
        import zerorpc
    except ImportError as error:
        raise _CommandError(USAGE, f"{MISSING} ({error})") from None
    _log(options.debug)
    where = " and ".join(addresses or options.bind)
    try:
        with _connection(addresses, options.bind or [], options, keys) as client:
            if options.inspect or not options.command:
                return _tell(client, options.command, signatures=options.inspect)
            return _show(client(options.command, *params), options.print_json)
    except zerorpc.RemoteError as error:
        raise _CommandError(FAILED, f"{error.name}: {error.msg}") from None
    except zerorpc.TimeoutExpired:
        message = f"no answer from {where} within {options.timeout:g} s; the call may still be carried out"
        raise _CommandError(FAILED, message) from None
    except zerorpc.LostRemote:
        raise _CommandError(USAGE, f"lost the connection to {where}") from None


@contextmanager
def _connection(
    addresses: list[str], binds: list[str], options: argparse.Namespace, keys: tuple[str, str] | None
) -> Iterator[Any]:
    """A client that is connected; Ctrl-C interrupts what it waits for."""
    import gevent
    import zerorpc
    import zmq

    from pipert2.control.rpc.sockets import OwnContext

    ctrl_c = None
    if signal.getsignal(signal.SIGINT) is not signal.SIG_IGN:  # as it is for a script's background jobs
        ctrl_c = gevent.signal_handler(signal.SIGINT, gevent.kill, gevent.getcurrent(), KeyboardInterrupt())
    context = OwnContext()
    client = zerorpc.Client(
        context=context,
        timeout=options.timeout,
        heartbeat=options.heartbeat,
        passive_heartbeat=not options.active_hb,
    )
    socket = client._events._socket
    try:
        socket.set(zmq.LINGER, 0)
        socket.set(zmq.IPV6, int(any("[" in address for address in addresses + binds)))
        if keys is not None:
            socket.set(zmq.CURVE_SERVERKEY, keys[0].encode())
            socket.set(zmq.CURVE_PUBLICKEY, zmq.curve_public(keys[1].encode()))
            socket.set(zmq.CURVE_SECRETKEY, keys[1].encode())
        try:
            for address in binds:
                client.bind(address)
            if addresses:
                _connect(client, socket, context, addresses, options.timeout)
        except zmq.ZMQError as error:
            raise _CommandError(
                USAGE, f"cannot use {' '.join(addresses + binds)}: {zmq.strerror(error.errno or 0)}"
            ) from None
        yield client
    finally:
        if ctrl_c is not None:
            ctrl_c.cancel()
        client.close()
        context.term()


def _connect(client: Any, socket: Any, context: Any, addresses: list[str], timeout: float) -> None:
    """Connect, and see to it that there is somebody; libzmq by itself would try for ever."""
    import gevent
    import zmq
    from zmq.utils.monitor import parse_monitor_message

    failures: dict[int, str] = {
        zmq.EVENT_CONNECT_RETRIED: "nobody listens there",
        zmq.EVENT_CLOSED: "nobody listens there",
        zmq.EVENT_DISCONNECTED: "it does not let us in: does it ask for keys (--curve-server-key)?",
        zmq.EVENT_HANDSHAKE_FAILED_NO_DETAIL: "it is no zerorpc server, or expects other keys (--curve-server-key)",
        zmq.EVENT_HANDSHAKE_FAILED_PROTOCOL: "one of the two uses keys (--curve-server-key), or other ones",
        zmq.EVENT_HANDSHAKE_FAILED_AUTH: "it does not let this key in",
    }
    name = "inproc://pipert2-rpc-connection"
    socket.monitor(name, sum(failures) | zmq.EVENT_HANDSHAKE_SUCCEEDED)
    reasons: list[str] = []
    with context.socket(zmq.PAIR) as monitor, gevent.Timeout(timeout, False):
        monitor.connect(name)
        for address in addresses:
            client.connect(address)
        while len(reasons) < len(addresses):
            event = parse_monitor_message(monitor.recv_multipart())
            if event["event"] == zmq.EVENT_HANDSHAKE_SUCCEEDED:
                socket.disable_monitor()
                return
            reasons.append(failures[event["event"]])
    socket.disable_monitor()
    reason = reasons[-1] if reasons else f"no answer within {timeout:g} s"
    raise _CommandError(USAGE, f"no connection to {' or '.join(addresses)}: {reason}")


def _tell(client: Any, command: str | None, *, signatures: bool) -> int:
    """Print the methods, or all about one of them."""
    import zerorpc

    try:
        found = client._zerorpc_inspect()
        methods = {name: (_signature(name, about["args"]), about["doc"]) for name, about in found["methods"].items()}
        service = found["name"]
    except (zerorpc.RemoteError, LookupError, TypeError, AttributeError):  # zerorpc itself, on Python 3.11 and later
        service = client._zerorpc_name()
        methods = {name: (f"{name}(...)", client._zerorpc_help(name)) for name in client._zerorpc_list()}
    if command is not None and command not in methods:
        hint = nearest(command, tuple(methods))
        raise _CommandError(
            FAILED, f"{service} has no method {command!r}" + (f": did you mean {hint!r}?" if hint else "")
        )
    print(f"[{one_line(str(service))}]")
    if command is not None:
        signature, text = methods[command]
        print(one_line(signature), "", *(one_line(line) for line in (text or "").splitlines()), sep="\n")
        return OK
    width = max((len(signature if signatures else name) for name, (signature, _) in methods.items()), default=0)
    for name, (signature, text) in methods.items():
        first = (text or "<undocumented>").splitlines()[0]
        print(one_line(f"{(signature if signatures else name).ljust(width)} {first}"))
    return OK


def _signature(name: str, args: list[dict[str, Any]] | None) -> str:
    if args is None:
        return f"{name}(...)"
    shown = [f"{one['name']}={one['default']}" if "default" in one else one["name"] for one in args]
    return f"{name}({', '.join(shown)})"


def _show(result: Any, as_json: bool) -> int:
    """Print what came back; a stream line by line, for as long as it lasts."""
    if not isinstance(result, Iterator):
        if as_json:
            print(json.dumps(result, default=repr))
        else:
            pprint(result)
        return OK
    try:
        for item in result:
            print(json.dumps(item, default=repr) if as_json else _line(item), flush=True)
    except KeyboardInterrupt:
        pass  # the way to end it
    return OK


def _line(item: Any) -> str:
    """A log record as people read it; anything else as Python writes it."""
    if not isinstance(item, dict) or not {"time", "level", "message"} <= item.keys():
        return one_line(repr(item))
    try:
        moment = time.strftime("%H:%M:%S", time.localtime(item["time"])) + f"{item['time'] % 1:.3f}"[1:]
    except (TypeError, ValueError, OverflowError, OSError):
        moment = str(item["time"])
    place = "/".join(str(item[part]) for part in ("flow", "routine") if item.get(part))
    first = one_line(f"{moment} {item['level']:<8} {place + ': ' if place else ''}{item['message']}")
    trace = str(item.get("traceback") or "").splitlines()
    return "\n".join([first, *("    " + "".join(c if c.isprintable() else "?" for c in line) for line in trace)])


def _parsed(number: int, text: str) -> Any:
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        message = (
            f"parameter {number}, {text!r:.100}, is not JSON; with --json a text is written as '{json.dumps(text)}'"
        )
        raise _CommandError(USAGE, message) from None


def _keys(options: argparse.Namespace) -> tuple[str, str] | None:
    """The server's public key and one's own secret one, or None for a server that asks for none."""
    try:
        around = environment_and_file()
        server = options.curve_server_key or around.get(SERVER_KEY_NAME)
        file = options.curve_secret_key_file
        secret = secret_key_in(Path(file)) if file else around.get(SECRET_KEY_NAME)
    except ControlError as error:
        raise _CommandError(USAGE, error.message) from None
    if not server and not secret:
        return None
    if not server or not secret:
        missing = "--curve-secret-key-file" if server else "--curve-server-key"
        raise _CommandError(
            USAGE, f"the server's public key and one's own secret key go together: {missing} is missing"
        )
    for what, key in (("server's public", server), ("secret", secret)):
        if not KEY.fullmatch(key):
            raise _CommandError(USAGE, f"the {what} key is not 40 characters as pipert2-rpc --make-keys prints them")
    return server, secret


def _make_keys() -> int:
    try:
        import zmq
    except ImportError as error:
        raise _CommandError(USAGE, f"{MISSING} ({error})") from None
    public, secret = zmq.curve_keypair()
    print(f"public: {public.decode()}\nsecret: {secret.decode()}")
    return OK


def _log(debug: bool) -> None:
    if debug:
        logging.basicConfig(level=logging.DEBUG)
    else:
        logging.getLogger("zerorpc").addHandler(logging.NullHandler())


if __name__ == "__main__":
    sys.exit(main())
