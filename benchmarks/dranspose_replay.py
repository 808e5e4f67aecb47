"""dranspose's replay of a capture, run by an interpreter that has dranspose 0.2.0: prints figures as a line of JSON."""

from __future__ import annotations

import json
import logging
import resource
import sys
import time
from typing import Any


class Nothing:
    def __init__(self, *args: Any, **kwargs: Any) -> None: ...

    def process_event(self, event: Any, *args: Any) -> None:
        return None


class Mean(Nothing):
    def process_event(self, event: Any, *args: Any) -> Any:
        from dranspose.middlewares.stream1 import parse  # type: ignore[import-not-found]

        message = parse(event.streams["xrd"])
        return float(message.data[:2, 8:].mean()) if hasattr(message, "data") else None


class Reducer(Nothing):
    def process_result(self, result: Any, *args: Any) -> None: ...


def main() -> None:
    logging.disable(logging.INFO)
    from dranspose.replay import replay  # type: ignore[import-not-found]

    worker, file = {"nothing": "Nothing", "mean": "Mean"}[sys.argv[1]], sys.argv[2]
    began, before = time.monotonic(), resource.getrusage(resource.RUSAGE_SELF)
    module = "benchmarks.dranspose_replay"
    replay(f"{module}:{worker}", f"{module}:Reducer", [file], nworkers=1)
    after = resource.getrusage(resource.RUSAGE_SELF)
    processor = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    print(json.dumps({"seconds": time.monotonic() - began, "processor": processor}))


if __name__ == "__main__":
    main()
