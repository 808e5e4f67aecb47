"""Which records of a store are alike: used by similarity.py, and without any pipe by its tests."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from itertools import chain

from pipert2 import Store
from pipert2.store import Record

READER = "similarity"
RELATION = "similar"


def pairs(old: Sequence[Record], new: Sequence[Record]) -> Iterator[tuple[Record, Record]]:
    """All pairs with at least one new record in them, each once, none of a record with itself."""
    for at, record in enumerate(new):
        for other in chain(old, new[:at]):
            yield record, other


def relate_similar(store: Store, kind: str, threshold: float, score: Callable[[Record, Record], float]) -> int:
    """Relate the records of *kind* whose score is above *threshold*; returns how many pairs were compared.

    Only pairs of which one is new, or was changed since the last run, are compared; all of them if the threshold is
    lower than ever. A pair that is related already gets its new score. A relation is never taken away.
    """
    reader = store.reader(READER)
    new = list(reader.added(kind))
    lowest = store.get(READER, kind)
    everything = lowest is None or threshold < lowest
    known = list(store.records(kind))
    fresh = {record.id for record in (known if everything else new)}
    related = {(relation.a, relation.b) for relation in store.relations(RELATION)}
    compared = 0
    with store.together():
        for a, b in pairs([one for one in known if one.id not in fresh], [one for one in known if one.id in fresh]):
            compared += 1
            value = score(a, b)
            ends = (a.reference, b.reference)
            if value > threshold or ends in related or ends[::-1] in related:
                store.relate(a, RELATION, b, symmetric=True, score=value)
        if everything:
            store.put(READER, kind, threshold)
        reader.commit()
    return compared
