"""Socket.io's packets, without a search for bytes where there are none."""

from __future__ import annotations

from typing import Any

from socketio.packet import EVENT, Packet

_LOGS = "logs"


class LogsAreText(Packet):  # type: ignore[misc]
    """A packet, known to be all text if it carries log records.

    The library looks at each value of each record whether it is made of bytes, which costs more than to write it as
    JSON: 5 us a record.
    """

    def __init__(
        self,
        packet_type: int = EVENT,
        data: Any = None,
        namespace: str | None = None,
        id: int | None = None,  # as the library calls it
        binary: bool | None = None,
        encoded_packet: str | None = None,
    ) -> None:
        if binary is None and packet_type == EVENT and type(data) is list and data[:1] == [_LOGS]:
            binary = False
        super().__init__(packet_type, data, namespace, id, binary, encoded_packet)
