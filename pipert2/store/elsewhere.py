"""A pipe's store as it is seen from a site where it is not: each call goes to the driver's host and comes back."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, NoReturn

from pipert2.errors import StoreError
from pipert2.store.store import Store

Ask = Callable[..., Any]
"""Does ``ask("get", ("kind", "key"), {})`` where the store is; the name may have a dot in it."""

FORWARDED = frozenset(
    (
        *("add", "put", "get", "record", "records", "count", "kinds", "remove", "forget", "pending", "done", "relate"),
        *("related", "relations", "count_relations", "unrelate", "trigger_state", "save_trigger_state", "position"),
        *("version", "acknowledged.add", "acknowledged.has", "acknowledged.count", "acknowledged.forget"),
        *("runs.begin", "runs.end", "runs.interrupt", "runs.list"),
    )
)
"""What may be asked for from another host."""


class StoreElsewhere(Store):
    """Has a store's methods; what they return many of comes as a whole. Transactions and readers stay where it is.

    Args:
        path: the store's file, on the driver's host.
    """

    def __init__(self, path: str) -> None:
        self._path_there = path
        self._ask_there: Ask | None = None

    def connect(self, ask: Ask) -> None:
        """Say how the store is reached."""
        self._ask_there = ask

    def __getstate__(self) -> dict[str, Any]:
        return {"path": self._path_there}

    def __setstate__(self, state: dict[str, Any]) -> None:
        StoreElsewhere.__init__(self, state["path"])

    def __getattribute__(self, name: str) -> Any:
        if name.startswith("_") or name in _HERE:
            return super().__getattribute__(name)
        if name in ("acknowledged", "runs"):
            return _Part(name, self._forward)
        if name in FORWARDED:
            return lambda *args, **options: self._forward(name, *args, **options)
        raise AttributeError(f"a store has no {name!r}")

    def _forward(self, name: str, *args: Any, **options: Any) -> Any:
        if self._ask_there is None:
            raise StoreError(self._path_there, "it is on the driver's host, and there is no way to it from here")
        found = self._ask_there(name, args, options)
        return iter(found) if isinstance(found, Several) else found

    def listen(self, listener: Callable[[], None]) -> None:
        """Nothing: who waits for records from here looks now and then."""

    def ignore(self, listener: Callable[[], None]) -> None:
        """Nothing, as :meth:`listen`."""

    @property
    def path(self) -> str:
        """The file, on the driver's host."""
        return self._path_there

    @contextmanager
    def together(self) -> Iterator[None]:
        """Not possible from here."""
        self._refuse("together(): a transaction")
        yield

    def added(self, kind: str) -> NoReturn:
        """Not possible from here."""
        self._refuse(f"added({kind!r})")

    def reader(self, name: str) -> NoReturn:
        """Not possible from here."""
        self._refuse(f"reader({name!r})")

    def _refuse(self, what: str) -> NoReturn:
        raise StoreError(
            self._path_there, f'{what} is possible on the driver\'s host only: put the flow there with host="driver"'
        )

    def close(self) -> None:
        """Let go of the way to it."""
        self._ask_there = None

    def __repr__(self) -> str:
        return f"<Store {self._path_there!r}, on the driver's host>"


_HERE = frozenset({"connect", "listen", "ignore", "path", "together", "added", "reader", "close"})


class Several(list[Any]):
    """What a method returns one after the other, as a whole."""


class _Part:
    def __init__(self, name: str, forward: Callable[..., Any]) -> None:
        self._name = name
        self._forward = forward

    def __getattr__(self, name: str) -> Any:
        path = f"{self._name}.{name}"
        if path not in FORWARDED:
            raise AttributeError(f"a store has no {path!r}")
        return lambda *args, **options: self._forward(path, *args, **options)


def answer(store: Store, name: str, args: tuple[Any, ...], options: dict[str, Any]) -> Any:
    """Do here what a :class:`StoreElsewhere` was asked for; what may not be asked for is refused."""
    if name not in FORWARDED:
        raise StoreError(store.path, f"{name!r} is not for other hosts")
    found: Any = store
    for part in name.split("."):
        found = getattr(found, part)
    result = found(*args, **options)
    return Several(result) if isinstance(result, Iterator) else result
