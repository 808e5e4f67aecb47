"""Requests for analyses come in over HTTP, and a request is done when its report has been posted back, not before.

A server of its own stands for the place where analysts put their samples: `GET /request` hands out a request that has
no report yet, `POST /report` takes one, `PUT /sample/NAME` makes a sample. The pipe fetches requests, measures each
domain in two processes that compete for them, and posts the reports; the source keeps at most 16 requests in hand.
Then the same with one process and an `async` function that works on 20 at once, and the other way round: a source that
finds domains and makes samples of them, twice, which makes no more of them. Prints, with numbers of its own for the
shares of the processes,

    replicas: 201 reports, lengths sum to 3890, done by 2 processes: 97 and 104
    async: 201 reports, lengths sum to 3890, done by 1 process: 201
    20 samples made; when it is done again there are 20
"""

import asyncio
import json
import os
import threading
import time
from collections import Counter
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import httpx

from pipert2 import DestinationRoutine, Pipe, SourceRoutine, Wire, destination, middle, source

Request = dict[str, Any]


class Server(ThreadingHTTPServer):
    """Requests wait here until they are reported; who asks for one gets it for a while only."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.lock = threading.Lock()
        self.url = f"http://127.0.0.1:{self.server_port}"
        self.waiting: dict[int, Request] = {}
        self.lent: dict[int, float] = {}
        self.reports: dict[int, Request] = {}
        self.samples: set[str] = set()
        threading.Thread(target=self.serve_forever, daemon=True).start()

    def ask_for(self, samples: list[Request]) -> None:
        """Ask for an analysis of each sample."""
        self.reports.clear()
        self.waiting.update((number, {"id": number, "sample": sample}) for number, sample in enumerate(samples))

    def lend(self) -> Request | None:
        """A request without a report that nobody has had in the last 5 seconds, {} if there is none; None: all done."""
        with self.lock:
            now = time.monotonic()
            for number, request in self.waiting.items():
                if now - self.lent.get(number, -5.0) >= 5.0:
                    self.lent[number] = now
                    return request
            return {} if self.waiting else None

    def take(self, report: Request) -> None:
        """Keep a report: its request is done."""
        with self.lock:
            self.reports[report["id"]] = report
            self.waiting.pop(report["id"], None)
            self.lent.pop(report["id"], None)


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    server: Server

    def do_GET(self) -> None:
        self.answer(self.server.lend())

    def do_POST(self) -> None:
        self.server.take(json.loads(self.rfile.read(int(self.headers["Content-Length"]))))
        self.answer({})

    def do_PUT(self) -> None:
        self.server.samples.add(self.path)
        self.answer({})

    def answer(self, data: Any) -> None:
        body = json.dumps(data).encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: Any) -> None:
        pass


server = Server()
url = server.url


def lengths_of(request: Request) -> Request:
    """The report on a request: each routine could add a section of its own."""
    domain = request["sample"].get("domain", "")
    sections = {"domain_length": {"domain_length": len(domain)}}
    return {"id": request["id"], "report": sections, "process": os.getpid()}


@source(max_in_flight=16)
def requests() -> Iterator[Request]:
    with httpx.Client(base_url=url) as client:
        while (request := client.get("/request").json()) is not None:
            if request:
                yield request
            else:
                time.sleep(0.05)  # all that is left is in hand


@middle
def domain_length(request: Request) -> Request:
    time.sleep(0.01)
    return lengths_of(request)


@middle(name="domain_length", concurrency=20)
async def domain_length_async(request: Request) -> Request:
    await asyncio.sleep(0.01)
    return lengths_of(request)


class Report(DestinationRoutine):
    """Posts reports. One that cannot be posted is tried again, and kept as a dead letter at last."""

    retries = 3

    def setup(self) -> None:
        self.client = httpx.Client(base_url=url)

    def main_logic(self, done: Request) -> None:
        self.client.post("/report", json=done).raise_for_status()

    def cleanup(self) -> None:
        self.client.close()


class Domains(SourceRoutine):
    """Finds a domain every 10 ms."""

    def main_logic(self) -> Iterator[str]:
        for number in range(20):
            yield f"thisisadomain{number}.com"
            self.wait(0.01)


@destination(retries=3)
def create_sample(domain: str) -> None:
    httpx.put(f"{url}/sample/{domain}").raise_for_status()


def analyse(name: str, work: Any, replicas: int) -> None:
    """Answer all requests by way of *work*, and tell of it."""
    server.ask_for([{"domain": f"thisisadomain{number}.com"} for number in range(200)] + [{"file": "invoice.pdf"}])
    pipe = Pipe(lossless=True)
    pipe.create_flow("intake", True, requests)
    pipe.create_flow("length", True, work, replicas=replicas)
    report = Report("report")
    pipe.create_flow("output", True, report)
    pipe.link(Wire(requests, (work,)), Wire(work, (report,)))
    pipe.run()
    found = server.reports.values()
    total = sum(one["report"]["domain_length"]["domain_length"] for one in found)
    shares = Counter(one["process"] for one in found)
    processes = f"{len(shares)} process{'es' if len(shares) > 1 else ''}"
    shown = " and ".join(map(str, sorted(shares.values())))
    print(f"{name}: {len(found)} reports, lengths sum to {total}, done by {processes}: {shown}")


def create_samples() -> int:
    """Make samples of what a source finds."""
    domains = Domains()
    pipe = Pipe(lossless=True)
    pipe.create_flow("finding", True, domains)
    pipe.create_flow("making", True, create_sample)
    pipe.link(Wire(domains, (create_sample,)))
    pipe.run()
    return len(server.samples)


analyse("replicas", domain_length, 2)
analyse("async", domain_length_async, 1)
print(f"{create_samples()} samples made; when it is done again there are {create_samples()}")
