"""A reader of the store: knows how far it has come, and moves on only when it is told that its run has succeeded."""

from __future__ import annotations

from collections.abc import Iterator

from pipert2.store.database import Database
from pipert2.store.records import Record, Records


class StoreReader:
    """What is new since this reader's last completed run.

    Args:
        name: whose position this is: the routine's name. It outlives the process.

    >>> import tempfile
    >>> from pipert2.store import Store
    >>> folder = tempfile.TemporaryDirectory()
    >>> with Store(folder.name + "/run.db") as store:
    ...     number = store.add("elf", {"size": 3})
    ...     reader = store.reader("similarity")
    ...     print([record["size"] for record in reader.added("elf")])
    ...     reader.commit()
    ...     print(list(reader.added("elf")))
    [3]
    []
    >>> folder.cleanup()
    """

    def __init__(self, database: Database, name: str) -> None:
        self._database = database
        self._records = Records(database)
        self.name = name
        self._bounds: dict[str, int] = {}
        self._reached: dict[str, int] = {}

    def added(self, kind: str) -> Iterator[Record]:
        """The records of *kind* that came, or were changed, since the last :meth:`commit`, oldest first.

        What comes after the first call is left for the next run, so that going through them again finds the same.
        """
        after = self.position(kind)
        if kind not in self._bounds:
            self._bounds[kind] = self._records.newest(kind)
        bound = self._bounds[kind]
        for record in self._records.between(kind, after, bound):
            self._reached[kind] = max(self._reached.get(kind, 0), record.id)
            yield record
        self._reached[kind] = max(self._reached.get(kind, 0), bound)

    def position(self, kind: str) -> int:
        """The number of the last record of *kind* that a completed run has seen; 0 if there is none."""
        rows = self._database.read("SELECT position FROM readers WHERE name = ? AND kind = ?", (self.name, kind))
        return int(rows[0][0]) if rows else 0

    def commit(self) -> None:
        """The run has succeeded: what :meth:`added` handed out will not come again."""
        if self._reached:
            with self._database.writing() as connection:
                connection.executemany(
                    "INSERT INTO readers VALUES (?, ?, ?) ON CONFLICT DO UPDATE SET position = excluded.position "
                    "WHERE excluded.position > position",
                    [(self.name, kind, position) for kind, position in self._reached.items()],
                )
        self.rollback()

    def rollback(self) -> None:
        """The run has failed: what it was handed out comes again."""
        self._bounds.clear()
        self._reached.clear()
