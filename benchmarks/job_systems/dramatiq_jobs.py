"""Dramatiq: two worker processes of one thread, and one that collects; on Redis, or on its in-memory broker.

Workers fetch ahead as by default (2 messages); the collector, and workers whose tasks are empty, as far as helps. Redis
runs for the time of the job alone, on a socket of its own and without writing anything down. Without a
``redis-server`` the in-memory broker stands in, whose two workers are threads of this process.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import dramatiq
from dramatiq.brokers.redis import RedisBroker
from dramatiq.brokers.stub import StubBroker
from redis import Redis
from redis.exceptions import ConnectionError as NotThere

from benchmarks.jobs import JOBS, PLACE, Collector, Task, Worker, main, tasks
from benchmarks.jobs import Job as JobOf

KEY = "PIPERT2_JOB_KEY"
SOCKET = Path(os.environ.get(PLACE, ".")) / "redis"
broker: dramatiq.Broker = RedisBroker(url=f"unix://{SOCKET}") if SOCKET.exists() else StubBroker()
dramatiq.set_broker(broker)
job = JOBS[os.environ.get(KEY, "empty")]
worker, collector = Worker(job), Collector(job)


@dramatiq.actor(queue_name="work", max_retries=3)
def work(task: Task) -> None:
    collect.send(worker.do(task))


@dramatiq.actor(queue_name="collect")
def collect(result: Task) -> None:
    if collector.add(result):
        collector.write()


def run(job: JobOf) -> None:
    os.environ[KEY] = job.key
    server = shutil.which("redis-server")
    if server is None:
        _with_threads(job)
        return
    place = Path(os.environ[PLACE])
    processes = [
        subprocess.Popen(
            [server, "--port", "0", "--unixsocket", str(place / "redis"), "--save", ""], stdout=subprocess.DEVNULL
        )
    ]
    try:
        redis = Redis(unix_socket_path=str(place / "redis"))
        _await(lambda: _answers(redis))
        command = [sys.executable, "-m", "dramatiq", "benchmarks.job_systems.dramatiq_jobs", "--threads", "1"]
        for queue, count, ahead in (("work", "2", "2" if any(job.seconds) else "64"), ("collect", "1", "256")):
            environment = os.environ | {"dramatiq_queue_prefetch": ahead}
            arguments = [*command, "--processes", count, "--queues", queue]
            processes.append(subprocess.Popen(arguments, env=environment))
        # This process was started before the socket was there: a process of its own sends.
        processes.append(subprocess.Popen([sys.executable, "-c", f"import {__spec__.name} as it; it.send()"]))
        _await((place / "result").exists, 120)
    finally:
        for process in reversed(processes):
            process.terminate()
        for process in processes:
            process.wait()


def send() -> None:
    for task in tasks(job):
        work.send(task)


def _answers(redis: Redis) -> bool:
    try:
        return bool(redis.ping())
    except NotThere:
        return False


def _with_threads(job: JobOf) -> None:
    global worker, collector
    worker, collector = Worker(job), Collector(job)
    threads = dramatiq.Worker(broker, worker_threads=2)
    threads.start()
    for task in tasks(job):
        work.send(task)
    _await((Path(os.environ[PLACE]) / "result").exists, 120)
    threads.stop()


def _await(condition: Callable[[], bool], seconds: float = 20) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > deadline:
            raise TimeoutError
        time.sleep(0.01)


if __name__ == "__main__":
    main(run)
