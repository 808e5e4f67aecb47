"""A periodic analysis: every so often, if enough is new, relate programs whose fuzzy hashes are alike.

One source stands for whoever ingests samples: it stores the hashes of 30 programs, of which each three belong to one
family. The other is the analysis. Its trigger says twice a second, and only if at least 10 programs have come since its
last run; `configs/Similarity.json` says how often instead, and how alike is alike. What was compared in an earlier run
is not compared again. Prints

    every 200 ms, threshold 60
    30 programs, 30 relations, 435 comparisons, each pair once: True
    each program is similar to the 2 others of its family: True
"""

import json
import random
import tempfile
from pathlib import Path
from typing import Any

import ppdeep
from similar import relate_similar

from pipert2 import AtLeast, EndOfStream, Every, Pipe, SourceRoutine, Store
from pipert2.store import Record

PROGRAMS = 30


def program(number: int) -> bytes:
    """One of a family of three, which differ in a few bytes."""
    content = bytearray(random.Random(number // 3).randbytes(6000))
    content[40 * (number % 3) : 40 * (number % 3) + 4] = number.to_bytes(4, "big")
    return bytes(content)


class Ingest(SourceRoutine):
    """Stores the hashes of programs, ten at a time."""

    trigger = Every("500 ms")

    def main_logic(self) -> None:
        known = self.store.count("elf")
        if known == PROGRAMS:
            raise EndOfStream
        with self.store.together():  # nobody sees a part of them
            for number in range(known, known + 10):
                self.store.put("elf", number, {"ssdeep": ppdeep.hash(program(number))})


class Similarity(SourceRoutine):
    """Relates what is alike among all programs, new and known."""

    trigger = Every("500 ms") & AtLeast(10, "elf", within="1 hour")
    config_defaults = {"threshold": 50}

    def setup(self) -> None:
        self.compared = 0
        self.logger.info("%s", self.config["interval"])

    def main_logic(self) -> None:
        def score(a: Record, b: Record) -> int:
            return int(ppdeep.compare(a["ssdeep"], b["ssdeep"]))

        complete = self.store.count("elf") == PROGRAMS  # what comes from here on is for the next run
        self.compared += relate_similar(self.store, "elf", self.config["threshold"], score)
        if complete:
            self.store.put("told", "done", {"compared": self.compared, **self.config})
            raise EndOfStream


def run(folder: Path) -> None:
    configs = folder / "configs"
    configs.mkdir()
    (configs / "Similarity.json").write_text(json.dumps({"interval": "every 200 ms", "threshold": 60}))
    path = folder / "machina.db"
    pipe = Pipe(config=configs, store=path)
    pipe.create_flow("ingest", True, Ingest())
    pipe.create_flow("analysis", True, Similarity())
    pipe.run(timeout=60)
    with Store(path) as store:
        tell(store)


def tell(store: Store) -> None:
    """What came of it."""
    told: dict[str, Any] = store.get("told", "done")
    once = told["compared"] == PROGRAMS * (PROGRAMS - 1) // 2
    print(f"{told['interval']}, threshold {told['threshold']}")
    relations = store.count_relations("similar")
    print(f"{PROGRAMS} programs, {relations} relations, {told['compared']} comparisons, each pair once: {once}")
    right = all(
        sorted(relation.b.key // 3 for relation in store.related(record, "similar")) == 2 * [record.key // 3]
        for record in store.records("elf")
    )
    print(f"each program is similar to the 2 others of its family: {right}")


with tempfile.TemporaryDirectory() as temporary:
    run(Path(temporary))
