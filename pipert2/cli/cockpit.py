"""``pipert2 cockpit``: serve the cockpit, and look after its accounts."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from pipert2.cli.exit_codes import FAILED, CommandError
from pipert2.cli.level import complete_level, parse_level
from pipert2.cli.options import Json

if TYPE_CHECKING:
    from pipert2.cockpit.store.accounts import Accounts

_SETTINGS = "The environment or .env may say the same, as PIPERT2_COCKPIT_HOST and so on; a flag wins."

Database = Annotated[
    Path | None,
    typer.Option(
        "--database", metavar="FILE", help="Where records, metrics and accounts are kept.", show_default=False
    ),
]
Role = Annotated[str, typer.Option("--role", metavar="ROLE", help="viewer (looks) or operator (may change things).")]
UserName = Annotated[str, typer.Argument(metavar="NAME", show_default=False)]
PasswordStdin = Annotated[
    bool, typer.Option("--password-stdin", help="Read the password from standard input, do not ask.")
]


def register(app: typer.Typer) -> None:
    """Add the verb and its own verbs."""
    cockpit = typer.Typer(
        help="Serve the cockpit: see and drive running pipes in a browser. Also looks after its accounts.",
        epilog=_SETTINGS,
        invoke_without_command=True,
        context_settings={"help_option_names": ["-h", "--help"]},
    )
    cockpit.callback()(serve)
    users = typer.Typer(help="Accounts of the cockpit: with the first one, everybody has to log in.")
    users.command("add")(add_user)
    users.command("list")(list_users)
    users.command("remove")(remove_user)
    users.command("password")(set_password)
    cockpit.add_typer(users, name="user")
    app.add_typer(cockpit, name="cockpit")


def serve(
    context: typer.Context,
    host: Annotated[
        str | None,
        typer.Option("--host", metavar="HOST", help="Listen there. [default: 127.0.0.1]", show_default=False),
    ] = None,
    port: Annotated[
        int | None,
        typer.Option(
            "--port", metavar="PORT", min=0, max=65535, help="0 for any free one. [default: 8321]", show_default=False
        ),
    ] = None,
    database: Database = None,
    token: Annotated[
        str | None,
        typer.Option(
            "--token",
            metavar="TOKEN",
            help="What pipes have to show. Better in PIPERT2_COCKPIT_TOKEN, where others do not read it off the "
            "process list.",
        ),
    ] = None,
    allowed_hosts: Annotated[
        list[str] | None,
        typer.Option(
            "--allowed-host",
            metavar="NAME",
            help="A further name that it is called by. May be repeated.",
            show_default=False,
        ),
    ] = None,
    certificate: Annotated[
        Path | None, typer.Option("--certificate", metavar="FILE.pem", help="Serve over TLS, with this certificate.")
    ] = None,
    key: Annotated[
        Path | None, typer.Option("--key", metavar="FILE.pem", help="Its key, if not in the same file.")
    ] = None,
    keep_records: Annotated[
        int | None,
        typer.Option(
            "--keep-records", metavar="NUMBER", min=1, help="Of each pipe. [default: 1000000]", show_default=False
        ),
    ] = None,
    keep_days: Annotated[
        float | None,
        typer.Option(
            "--keep-days", metavar="DAYS", min=0.001, help="Age of records. [default: 30]", show_default=False
        ),
    ] = None,
    log_level: Annotated[
        str,
        typer.Option(
            "--log-level",
            metavar="LEVEL",
            parser=parse_level,
            autocompletion=complete_level,
            help="Log this and above.",
        ),
    ] = "INFO",
) -> None:
    """Serve the cockpit until Ctrl-C."""
    if context.invoked_subcommand is not None:
        context.obj = database
        return
    from pipert2.cli.hosting import logging_to_stderr
    from pipert2.cli.printing import say
    from pipert2.cockpit.server.server import CockpitServer
    from pipert2.cockpit.settings import settings_from

    given: dict[str, Any] = {
        "host": host,
        "port": port,
        "database": database,
        "token": token,
        "allowed_hosts": tuple(allowed_hosts) if allowed_hosts else None,
        "certificate": certificate,
        "key": key,
        "keep_records": keep_records,
        "keep_days": keep_days,
    }
    settings = settings_from(given)
    with logging_to_stderr(log_level), CockpitServer(settings) as server:
        say(f"cockpit at {server.url} (database {settings.database}); pipes: SOCKET_LOGGER_URL={server.url}")
        while not server.wait(3600.0):
            pass
    raise typer.Exit(FAILED)  # nobody asked it to end


def add_user(
    context: typer.Context,
    name: UserName,
    role: Role = "viewer",
    password_stdin: PasswordStdin = False,
    database: Database = None,
) -> None:
    """Make an account; asks for its password."""
    from pipert2.cli.printing import say
    from pipert2.cockpit.store import accounts

    try:
        wanted = accounts.Role(role)
    except ValueError:
        raise CommandError(f"--role {role!r} is neither viewer nor operator") from None
    _accounts(context, database).add(name, _password(password_stdin), wanted)
    say(f"{name} may log in as {wanted.value}")


def list_users(context: typer.Context, as_json: Json = False, database: Database = None) -> None:
    """List the accounts."""
    from datetime import datetime

    from pipert2.cli.printing import output, print_json, printable, say
    from pipert2.cli.tables import plain_table

    found = _accounts(context, database).all()
    if as_json:
        print_json(found)
        return
    if not found:
        say("there are no accounts: on this machine everybody may do everything, others cannot reach the cockpit")
        return
    table = plain_table("name", "role", "created")
    for one in found:
        created = datetime.fromtimestamp(one.created).astimezone()
        table.add_row(printable(one.name), one.role.value, f"{created:%Y-%m-%d %H:%M}")
    output().print(table)


def remove_user(context: typer.Context, name: UserName, database: Database = None) -> None:
    """Take an account away; who is logged in with it is logged out."""
    from pipert2.cli.printing import say

    accounts = _accounts(context, database)
    accounts.remove(name)
    more = "" if accounts else "; there are no accounts any more, so on this machine everybody may do everything"
    say(f"{name} was removed{more}")


def set_password(
    context: typer.Context, name: UserName, password_stdin: PasswordStdin = False, database: Database = None
) -> None:
    """Give an account another password; asks for it."""
    from pipert2.cli.printing import say

    _accounts(context, database).set_password(name, _password(password_stdin))
    say(f"{name} has a new password, and has to log in again")


def _accounts(context: typer.Context, database: Path | None) -> Accounts:
    from pipert2.cockpit.settings import settings_from
    from pipert2.cockpit.store.accounts import Accounts
    from pipert2.cockpit.store.database import Database

    opened = Database(settings_from({"database": database or context.obj}).database)
    context.call_on_close(opened.close)
    return Accounts(opened)


def _password(from_stdin: bool) -> str:
    if from_stdin:
        return sys.stdin.readline().rstrip("\r\n")
    if not sys.stdin.isatty():
        raise CommandError("there is no terminal to ask for the password on: give it with --password-stdin")
    password: str = typer.prompt("Password", hide_input=True, confirmation_prompt=True, err=True)
    return password
