"""What the cockpit's unit tests share: a database in a folder of its own, and records to put into it."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from pipert2.cockpit.store import accounts
from pipert2.cockpit.store.database import Database


@pytest.fixture(autouse=True)
def _passwords_are_hashed_quickly(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(accounts, "HASHING", "scrypt:256:8:1")


@pytest.fixture
def database(tmp_path: Path) -> Iterator[Database]:
    opened = Database(tmp_path / "data" / "cockpit.db")
    yield opened
    opened.close()


def record(number: int, message: str = "hello", **fields: Any) -> dict[str, Any]:
    """A record as pipes send it."""
    return {
        "number": number,
        "time": 1000.0 + number,
        "level": "INFO",
        "logger": "pipe.in.camera",
        "flow": "in",
        "routine": "camera",
        "message": message,
        "traceback": None,
        "extra": {},
        **fields,
    }
