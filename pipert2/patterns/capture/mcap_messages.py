"""The data of the messages in MCAP files, ours and others'."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from typing import Any

from pipert2.errors import CaptureError
from pipert2.patterns.capture import pictures
from pipert2.patterns.capture.cbor import CborError
from pipert2.patterns.capture.mcap_format import ENCODING, FORMAT, FORMAT_KEY
from pipert2.patterns.capture.mcap_reader import McapMessage
from pipert2.patterns.capture.values import PickledError, UnknownTypeError, ValueDecoder


def decoder(path: str, types: Mapping[str, type], *, allow_pickle: bool) -> Callable[[McapMessage], Any]:
    """What makes data of messages: our own as it was recorded, JSON and CBOR as plain values, ROS 2's images as arrays,
    others' as bytes.

    Args:
        path: of the file, for errors.
        types: by their names in the file, the classes that data may be of.
        allow_pickle: whether pickled data is unpickled.
    """
    values = ValueDecoder(types, allow_pickle=allow_pickle)

    def decode(message: McapMessage) -> Any:
        channel = message.channel
        where = f"message {message.sequence} of {channel.topic!r}"
        try:
            if channel.encoding == ENCODING:
                if channel.metadata.get(FORMAT_KEY, FORMAT) != FORMAT:
                    raise CaptureError(path, f"{where} is of a later format than this version of pipert2 reads")
                picture = pictures.pixels_of(message.picture) if message.picture is not None else None
                return values(message.data, picture)
            if channel.encoding == "json":
                return json.loads(bytes(message.data))
            if channel.encoding == pictures.MESSAGE_ENCODING and channel.schema == pictures.SCHEMA_NAME:
                return pictures.picture_of(message.data)
        except UnknownTypeError as error:
            reason = f"{where} is of the class {error.name}, which is not known here: pass types=[...]"
        except PickledError as error:
            reason = f"{where} holds a pickled {error.name}: pass allow_pickle=True if you trust the file"
        except (CborError, ValueError, RecursionError) as error:
            reason = f"{where} cannot be read: {error.reason if isinstance(error, CborError) else error}"
        else:
            return bytes(message.data)
        raise CaptureError(path, reason, message.offset)

    return decode
