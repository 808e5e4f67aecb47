"""Tasks that depend on one another: all of the first must be done before any of the second begins.

A flow hands out tasks, two processes of ten threads each do them, and a collector notes each result: then the task is
acknowledged, of which at most 40 wait for that. How long a task takes is not known when the pipe starts: it waits for
that parameter, which is set half a second later. Each source notes when it began. Prints

    nothing was done before the parameters were there: True
    first: 200 of 200 tasks collected, by 2 processes
    second: 200 of 200 tasks collected, by 2 processes
    the second began when all of the first was collected: True
"""

import os
import tempfile
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from pipert2 import DestinationRoutine, MiddleRoutine, Pipe, SourceRoutine, Store, Wire

TASKS = 200
Task = dict[str, Any]


class Distributor(SourceRoutine):
    """Hands out the tasks of one kind."""

    max_in_flight = 40

    def __init__(self, what: str) -> None:
        super().__init__(f"hand out {what}")
        self.what = what

    def main_logic(self) -> Iterator[Task]:
        self.store.add("began", {"kind": self.what, "at": time.time()})
        for number in range(TASKS):
            yield {"kind": self.what, "number": number, "workload": self.parameters["workload"]}


class Worker(MiddleRoutine):
    """Ten threads in each process."""

    concurrency = 10

    def main_logic(self, task: Task) -> Task:
        time.sleep(task["workload"])
        return {**task, "process": os.getpid()}


class Collector(DestinationRoutine):
    """Keeps each result under its number: the same once more changes nothing."""

    def main_logic(self, task: Task) -> None:
        self.store.put(task["kind"], task["number"], {"process": task["process"], "at": time.time()})


folder = tempfile.TemporaryDirectory()
path = Path(folder.name) / "tasks.db"
pipe = Pipe(lossless=True, store=path, requires=("workload",))
for kind, needs in (("first", ()), ("second", ("collect first",))):
    distributor, worker, collector = Distributor(kind), Worker(f"do {kind}"), Collector(f"collect {kind}")
    pipe.create_flow(f"hand out {kind}", False, distributor, depends_on=needs)
    pipe.create_flow(f"do {kind}", False, worker, replicas=2)
    pipe.create_flow(f"collect {kind}", False, collector)
    pipe.link(Wire(distributor, (worker,)), Wire(worker, (collector,)))

set_at: list[float] = []


def set_parameters_later() -> None:
    time.sleep(0.5)
    set_at.append(time.time())
    pipe.set_parameters(workload=0.03)  # long enough for both processes to have some, whichever begins first


threading.Thread(target=set_parameters_later, daemon=True).start()
pipe.run()

with Store(path) as store:
    began = {record["kind"]: record["at"] for record in store.records("began")}
    print(f"nothing was done before the parameters were there: {min(began.values()) >= set_at[0]}")
    for kind in ("first", "second"):
        done = list(store.records(kind))
        processes = {record["process"] for record in done}
        print(f"{kind}: {len(done)} of {TASKS} tasks collected, by {len(processes)} processes")
    last = max(record["at"] for record in store.records("first"))
    print(f"the second began when all of the first was collected: {began['second'] >= last}")
folder.cleanup()
