"""shmpipeline: a stream holds one array, newest wins; a source is a thread of the main process, a kernel a process.

It carries arrays only: sequence and stamp lie in front of the payload. A kernel must have an output, so the sink has
one of one byte, and a middle kernel copies its input into its own stream. Variants: `source` (a source plugin, whose
array the runtime copies into the stream) and `inplace` (no plugin: the main thread fills the locked stream itself, and
one that never rests starves the readers).
"""
# mypy: disable-error-code="import-not-found, misc"

from __future__ import annotations

import itertools
import os
from collections.abc import Mapping
from typing import Any

import numpy as np
from shmpipeline import PipelineManager
from shmpipeline.kernel import Kernel, KernelContext
from shmpipeline.registry import get_default_registry
from shmpipeline.source import Source

from benchmarks.stamps import HEADER
from benchmarks.trial import Trial, main


class Receive(Kernel):
    kind = "bench.receive"

    def __init__(self, context: KernelContext) -> None:
        super().__init__(context)
        parameters = context.config.parameters
        self.sink = parameters["trial"].sink(parameters["index"])

    def compute_into(self, trigger_input: Any, output: Any, auxiliary_inputs: Mapping[str, Any]) -> None:
        self.sink.read(trigger_input)


class Send(Source):
    kind = "bench.send"

    def open(self) -> None:
        trial: Trial = self.context.config.parameters["trial"]
        self.source = trial.source()
        self.buffer = np.empty(HEADER.size + trial.work.size, np.uint8)

    def read(self) -> Any:
        if not self.source.turn():
            return None
        self.source.write(self.buffer)
        return self.buffer


class Forward(Kernel):
    kind = "bench.forward"

    def compute_into(self, trigger_input: Any, output: Any, auxiliary_inputs: Mapping[str, Any]) -> None:
        np.copyto(output, trigger_input)


def config(trial: Trial) -> dict[str, Any]:
    prefix = f"bench{os.getpid()}"
    shape = [HEADER.size + trial.work.size]
    streams: list[dict[str, Any]] = [
        {"name": f"{prefix}.s{hop}", "shape": shape, "dtype": "uint8"} for hop in range(trial.work.middles + 1)
    ]
    ends: list[dict[str, Any]] = [
        {"name": f"{prefix}.e{index}", "shape": [1], "dtype": "uint8"} for index in range(trial.work.sinks)
    ]
    kernels: list[dict[str, Any]] = [
        {"name": f"forward{hop}", "kind": Forward.kind, "input": left["name"], "output": right["name"]}
        for hop, (left, right) in enumerate(itertools.pairwise(streams))
    ]
    kernels += [
        {
            "name": f"receive{index}",
            "kind": Receive.kind,
            "input": streams[-1]["name"],
            "output": end["name"],
            "parameters": {"trial": trial, "index": index},
        }
        for index, end in enumerate(ends)
    ]
    source = {"name": "send", "kind": Send.kind, "stream": streams[0]["name"], "parameters": {"trial": trial}}
    return {
        "shared_memory": streams + ends,
        "kernels": kernels,
        "sources": [] if trial.variant == "inplace" else [source],
    }


def send(trial: Trial, stream: Any) -> None:
    source = trial.source()
    while source.turn():
        with stream.write_view() as view:
            source.write(view)


def run(trial: Trial) -> None:
    plan = config(trial)
    manager = PipelineManager(plan, registry=get_default_registry().extended(Receive, Forward, sources=(Send,)))
    try:
        manager.build()
        manager.start()
        if trial.variant == "inplace":
            send(trial, manager.get_stream(plan["shared_memory"][0]["name"]))
        trial.wait()
    finally:
        manager.shutdown(force=True)


if __name__ == "__main__":
    main(run)
