"""What our captures have in common with every MCAP file, and what they add to it (https://mcap.dev/spec).

A wire is a channel with messages of the encoding ``cbor``. The picture of a message lies before it, in a channel of its
own whose metadata names the first one: the two have the same time and sequence number. The classes that a channel's
data is of are listed in metadata records as they come up.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass
from enum import IntEnum

MAGIC = b"\x89MCAP0\r\n"
SUFFIX = ".mcap"

ENCODING = "cbor"
FORMAT_KEY, FORMAT = "pipert2.format", "1"
PICTURES_OF_KEY = "pipert2.pictures_of"
PICTURES_SUFFIX = "/image"
CLASS_RECORD, PICKLED_RECORD = "pipert2.class", "pipert2.pickled"

HEAD = struct.Struct("<BQ")  # a record's kind and length
MESSAGE = struct.Struct("<HIQQ")  # channel, sequence number, log time, publish time
CHUNK = struct.Struct("<QQQII")  # first and last time, size and checksum unpacked, length of the packing's name


class Op(IntEnum):
    """Kinds of records that matter to a reader."""

    HEADER = 0x01
    FOOTER = 0x02
    SCHEMA = 0x03
    CHANNEL = 0x04
    MESSAGE = 0x05
    CHUNK = 0x06
    METADATA = 0x0C
    DATA_END = 0x0F


@dataclass(frozen=True, slots=True)
class Channel:
    """Where messages of one kind are.

    Attributes:
        topic: its name.
        encoding: of its messages.
        schema: the name of its messages' schema, empty if there is none.
        metadata: what its writer says about it.
    """

    number: int
    topic: str
    encoding: str
    schema: str
    metadata: dict[str, str]

    @property
    def pictures_of(self) -> str | None:
        """The topic whose messages' pictures these are; None if it is a channel like others."""
        return self.metadata.get(PICTURES_OF_KEY)
