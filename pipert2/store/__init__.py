"""The pipe's embedded store: one SQLite file that every process of the pipe reads and writes."""

from pipert2.store.dead_letters import DeadLetter, DeadLetters
from pipert2.store.ledger import Acknowledged, Run, RunOutcome, Runs
from pipert2.store.reader import StoreReader
from pipert2.store.records import Change, Record, RecordKey
from pipert2.store.relations import Relation
from pipert2.store.store import Store

__all__ = [
    "Acknowledged",
    "Change",
    "DeadLetter",
    "DeadLetters",
    "Record",
    "RecordKey",
    "Relation",
    "Run",
    "RunOutcome",
    "Runs",
    "Store",
    "StoreReader",
]
