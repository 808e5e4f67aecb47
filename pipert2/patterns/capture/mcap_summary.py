"""What an MCAP file says of itself at its end; where it does not, the whole file is looked through."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from pipert2.errors import CaptureError
from pipert2.patterns.capture.mcap_format import CLASS_RECORD, PICKLED_RECORD, PICTURES_OF_KEY
from pipert2.patterns.capture.mcap_reader import McapReader


@dataclass(frozen=True, slots=True)
class Summary:
    """What is in a file.

    Attributes:
        counts: how many messages each topic has, channels of pictures left out.
        first, last: ns since the epoch; None without messages.
        classes, pickled: the names of the classes of data, and of those of which data is pickled.
    """

    counts: Mapping[str, int]
    first: int | None
    last: int | None
    classes: tuple[str, ...]
    pickled: tuple[str, ...]


def summary_of(path: str) -> Summary:
    """A file's summary; of a damaged one of what can be read.

    Raises:
        CaptureError: it is no MCAP file, or cannot be read.
    """
    return _from_end(path) or _from_messages(path)


def _from_end(path: str) -> Summary | None:
    try:
        from mcap.reader import SeekingReader

        with open(path, "rb") as file:
            reader = SeekingReader(file, record_size_limit=1 << 30)
            found = reader.get_summary()
            if found is None or found.statistics is None or (found.statistics.message_count and not found.channels):
                return None
            counts: dict[str, int] = {}
            for number, channel in found.channels.items():
                if PICTURES_OF_KEY not in channel.metadata:
                    more = found.statistics.channel_message_counts.get(number, 0)
                    counts[channel.topic] = counts.get(channel.topic, 0) + more
            names: dict[str, dict[str, None]] = {CLASS_RECORD: {}, PICKLED_RECORD: {}}
            for index in found.metadata_indexes:
                if index.name in names:
                    break
            else:
                return Summary(counts, *_span(found.statistics), (), ())
            for record in reader.iter_metadata():
                if record.name in names:
                    names[record.name][record.metadata.get("class", "")] = None
    except Exception:  # whatever is wrong with the end: the rest is looked through
        return None
    return Summary(counts, *_span(found.statistics), tuple(names[CLASS_RECORD]), tuple(names[PICKLED_RECORD]))


def _span(statistics: object) -> tuple[int | None, int | None]:
    if not getattr(statistics, "message_count", 0):
        return None, None
    return statistics.message_start_time, statistics.message_end_time  # type: ignore[attr-defined]


def _from_messages(path: str) -> Summary:
    counts: dict[str, int] = {}
    first = last = None
    with McapReader(path) as reader:
        try:
            for message in reader:
                counts[message.channel.topic] = counts.get(message.channel.topic, 0) + 1
                first = message.time if first is None else min(first, message.time)
                last = message.time if last is None else max(last, message.time)
        except CaptureError:
            pass  # what was before it counts
        return Summary(counts, first, last, tuple(reader.classes), tuple(reader.pickled))
