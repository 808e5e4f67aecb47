"""Bare iceoryx2: publish-subscribe with an event service that wakes the reader; what the machine allows from Python.

Variants: `overflow` (the oldest is dropped) and `lossless` (the sender retries until delivered). Small messages are
pickled as in the other systems; frames are filled in place, sequence and stamp in front, and a middle copies them into
a sample of its own, since a received sample cannot be passed on.
"""
# mypy: disable-error-code="import-not-found"

from __future__ import annotations

import ctypes
import multiprocessing as mp
import os
import pickle
from collections.abc import Iterator
from typing import Any

import iceoryx2 as iox
import numpy as np

from benchmarks.stamps import HEADER
from benchmarks.trial import Trial, main

CAPACITY_SMALL, CAPACITY_FRAMES = 1024, 4
IDLE = 50  # milliseconds after which a waiting reader looks whether the run is over


class Topic:
    """A publish-subscribe service and the event service that goes with it."""

    def __init__(self, trial: Trial, prefix: str, hop: int) -> None:
        iox.set_log_level(iox.LogLevel.Error)
        self.trial = trial
        self.lossless = trial.variant == "lossless"
        self.length = HEADER.size + trial.work.size if trial.work.frames else 512
        self.capacity = CAPACITY_FRAMES if trial.work.frames else CAPACITY_SMALL
        # The node must live as long as what was made from it.
        self.node = iox.NodeBuilder.new().create(iox.ServiceType.Ipc)
        name = iox.ServiceName.new(f"{prefix}/{hop}")
        self.data = (
            self.node.service_builder(name)
            .publish_subscribe(iox.Slice[ctypes.c_uint8])
            .enable_safe_overflow(not self.lossless)
            .subscriber_max_buffer_size(self.capacity)
            .history_size(0)
            .open_or_create()
        )
        self.event = self.node.service_builder(name).event().open_or_create()


class Writer:
    def __init__(self, topic: Topic) -> None:
        strategy = iox.BackpressureStrategy
        self.publisher = (
            topic.data.publisher_builder()
            .initial_max_slice_len(topic.length)
            .backpressure_strategy(strategy.RetryUntilDelivered if topic.lossless else strategy.DiscardData)
            .create()
        )
        self.notifier = topic.event.notifier_builder().create()

    def loan(self, length: int) -> Any:
        return self.publisher.loan_slice_uninit(length)

    def send(self, sample: Any) -> None:
        sample.assume_init().send()
        self.notifier.notify()


class Reader:
    def __init__(self, topic: Topic) -> None:
        self.trial = topic.trial
        self.subscriber = topic.data.subscriber_builder().buffer_size(topic.capacity).create()
        self.listener = topic.event.listener_builder().create()

    def samples(self) -> Iterator[Any]:
        """Samples as they come, until the source is done and nothing is left."""
        idle = iox.Duration.from_millis(IDLE)
        over = False
        while True:
            while (sample := self.subscriber.receive()) is not None:
                yield sample
            if over:
                return
            if not self.listener.timed_wait(idle):
                over = self.trial.is_over()


def view(sample: Any) -> np.ndarray[Any, Any]:
    # The memoryview has the format '<B', which cannot be cast: only numpy takes it as bytes.
    return np.frombuffer(sample.payload().as_memory_view(), np.uint8)


def send(trial: Trial, prefix: str) -> None:
    topic = Topic(trial, prefix, 0)
    writer, source = Writer(topic), trial.source()
    while source.turn():
        if trial.work.frames:
            sample = writer.loan(topic.length)
            source.write(view(sample))
        else:
            data = pickle.dumps(source.message(), 5)
            sample = writer.loan(len(data))
            ctypes.memmove(sample.payload_ptr, data, len(data))
        writer.send(sample)


def forward(trial: Trial, prefix: str, hop: int) -> None:
    source, target = Topic(trial, prefix, hop), Topic(trial, prefix, hop + 1)
    reader, writer = Reader(source), Writer(target)
    for sample in reader.samples():
        copy = writer.loan(target.length)
        np.copyto(view(copy), view(sample))
        writer.send(copy)


def receive(trial: Trial, prefix: str, index: int) -> None:
    topic = Topic(trial, prefix, trial.work.middles)
    reader, sink = Reader(topic), trial.sink(index)
    for sample in reader.samples():
        if trial.work.frames:
            sink.read(view(sample))
        else:
            sink.take(pickle.loads(ctypes.string_at(sample.payload_ptr, sample.header.number_of_elements)))


def run(trial: Trial) -> None:
    context = mp.get_context("spawn")
    prefix = f"bench{os.getpid()}"
    processes = [context.Process(target=receive, args=(trial, prefix, index)) for index in range(trial.work.sinks)]
    processes += [context.Process(target=forward, args=(trial, prefix, hop)) for hop in range(trial.work.middles)]
    processes.append(context.Process(target=send, args=(trial, prefix)))
    for process in processes:
        process.start()
    for process in processes:
        process.join()


if __name__ == "__main__":
    main(run)
