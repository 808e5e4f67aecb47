"""Wires between pipes on different hosts, over Zenoh: an egress in one pipe, an ingress in the other."""

from pipert2.engine.link.egress import Egress
from pipert2.engine.link.ingress import Ingress
from pipert2.engine.link.settings import LinkSettings

__all__ = ["Egress", "Ingress", "LinkSettings"]
