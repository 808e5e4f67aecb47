"""Which flow runs on which host: a plain decision about wishes, what hosts have, and the wires between flows."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from pipert2.errors import PipeBuildError

DRIVER = "driver"
"""The name of the host on which the user's program runs."""


@dataclass(frozen=True, slots=True)
class FlowNeed:
    """What a flow asks of its host.

    Attributes:
        name: which flow.
        replicas: how many processes of it there are; each may be on a host of its own.
        resources: of each replica, by name: ``{"edge": 1, "GPU": 0.5}``.
        host: a host's name or address, or a label such as ``"rack=3"``; None: any.
        free: it may go where its heaviest wires lead although it asks for nothing; others that ask for nothing stay
            with the driver, where the user's files, screens and cameras are.
    """

    name: str
    replicas: int = 1
    resources: Mapping[str, float] = field(default_factory=dict)
    host: str | None = None
    free: bool = False

    @property
    def wishes(self) -> bool:
        """Whether it asks for anything."""
        return bool(self.resources) or self.host is not None


@dataclass(frozen=True, slots=True)
class HostOffer:
    """What a host has.

    Attributes:
        name: which host.
        resources: what is free there, by name.
        aliases: other names and addresses of it.
        labels: by key.
    """

    name: str
    resources: Mapping[str, float] = field(default_factory=dict)
    aliases: tuple[str, ...] = ()
    labels: Mapping[str, str] = field(default_factory=dict)

    def is_called(self, wish: str) -> bool:
        """Whether a flow's ``host=`` means it."""
        key, equals, value = wish.partition("=")
        if equals:
            return self.labels.get(key.strip()) == value.strip()
        return wish == self.name or wish in self.aliases


@dataclass(frozen=True, slots=True)
class WireWeight:
    """How heavy the wires from one flow to another are together; any unit will do."""

    source: str
    destination: str
    weight: float = 1.0


Placement = Mapping[str, tuple[str, ...]]
"""By flow, the host of each of its replicas."""


def place(
    flows: Sequence[FlowNeed],
    hosts: Sequence[HostOffer],
    wires: Iterable[WireWeight] = (),
    together: Iterable[Sequence[str]] = (),
) -> dict[str, tuple[str, ...]]:
    """Give each replica of each flow a host.

    What asks for most goes first. Each goes where the heaviest wires to what has a place already lead; where wires do
    not say, to the host that has most left of what it asks for. So the same question always gets the same answer.

    Args:
        flows: who needs a place.
        hosts: the driver's first.
        wires: between flows.
        together: groups of flows that cannot be apart.

    Raises:
        PipeBuildError: something fits nowhere; all of it is named.
    """
    needs = {flow.name: flow for flow in flows}
    units = _units(needs, together)
    weights = _weights(wires)
    left = {host.name: dict(host.resources) for host in hosts}
    placed: dict[str, list[str]] = {name: [] for name in needs}
    problems: list[str] = []
    for unit in sorted(units, key=lambda unit: _urgency(unit, needs, hosts)):
        members = [needs[name] for name in unit]
        possible = [host for host in hosts if all(_may_be_at(member, host, hosts[0]) for member in members)]
        rounds = [members] if len(members) > 1 else [members] * members[0].replicas
        for number, group in enumerate(rounds):
            asked = _asked(group, times=[one.replicas if len(members) > 1 else 1 for one in group])
            fitting = [host for host in possible if _fits(asked, left[host.name])]
            if not fitting:
                problems.append(_nowhere(group, asked, number, possible, hosts, left))
                break
            best = max(fitting, key=lambda host: _merit(host, group, asked, placed, weights, left, hosts))
            for name, amount in asked.items():
                left[best.name][name] -= amount
            for one in group:
                placed[one.name] += [best.name] * (one.replicas if len(members) > 1 else 1)
    if problems:
        raise PipeBuildError(problems)
    order = {host.name: number for number, host in enumerate(hosts)}
    return {name: tuple(sorted(where, key=order.__getitem__)) for name, where in placed.items()}


def _units(needs: Mapping[str, FlowNeed], together: Iterable[Sequence[str]]) -> list[tuple[str, ...]]:
    """The flows in groups that share a host, most of them alone."""
    group = {name: {name} for name in needs}
    for names in together:
        merged = set().union(*(group[name] for name in names)) if names else set()
        for name in merged:
            group[name] = merged
    found = {id(members): tuple(name for name in needs if name in members) for members in group.values()}
    return list(found.values())


def _weights(wires: Iterable[WireWeight]) -> dict[tuple[str, str], float]:
    found: dict[tuple[str, str], float] = {}
    for wire in wires:
        for pair in ((wire.source, wire.destination), (wire.destination, wire.source)):
            found[pair] = found.get(pair, 0.0) + wire.weight
    return found


def _may_be_at(need: FlowNeed, host: HostOffer, driver: HostOffer) -> bool:
    if need.host is not None and not host.is_called(need.host):
        return False
    if need.host is not None and not need.resources:
        return True
    if need.resources:
        return all(host.resources.get(name, 0.0) > 0 for name in need.resources)
    return host is driver or need.free


def _urgency(
    unit: Sequence[str], needs: Mapping[str, FlowNeed], hosts: Sequence[HostOffer]
) -> tuple[int, float, int, str]:
    members = [needs[name] for name in unit]
    possible = sum(all(_may_be_at(member, host, hosts[0]) for member in members) for host in hosts)
    size = sum(sum(member.resources.values()) for member in members)
    return (0 if any(member.wishes for member in members) else 1, possible - size, -len(unit), unit[0])


def _asked(group: Sequence[FlowNeed], times: Sequence[int]) -> dict[str, float]:
    asked: dict[str, float] = {}
    for need, count in zip(group, times, strict=True):
        for name, amount in need.resources.items():
            asked[name] = asked.get(name, 0.0) + amount * count
    return asked


def _fits(asked: Mapping[str, float], left: Mapping[str, float]) -> bool:
    return all(amount <= left.get(name, 0.0) + 1e-9 for name, amount in asked.items())


def _merit(
    host: HostOffer,
    group: Sequence[FlowNeed],
    asked: Mapping[str, float],
    placed: Mapping[str, Sequence[str]],
    weights: Mapping[tuple[str, str], float],
    left: Mapping[str, Mapping[str, float]],
    hosts: Sequence[HostOffer],
) -> tuple[float, float, int]:
    """How good a host is: the wires that stay within it, then what it has left, then its place in the list."""
    pull = 0.0
    for one in group:
        for other, where in placed.items():
            if where and other != one.name:
                pull += weights.get((one.name, other), 0.0) * where.count(host.name) / len(where)
    room = min((left[host.name].get(name, 0.0) / amount for name, amount in asked.items() if amount), default=0.0)
    return pull, room, -hosts.index(host)


def _nowhere(
    group: Sequence[FlowNeed],
    asked: Mapping[str, float],
    number: int,
    possible: Sequence[HostOffer],
    hosts: Sequence[HostOffer],
    left: Mapping[str, Mapping[str, float]],
) -> str:
    names = " and ".join(repr(one.name) for one in group)
    what = f"flow {names}" if len(group) == 1 else f"flows {names}, which cannot be apart,"
    verb = "fits" if len(group) == 1 else "fit"
    if len(group) == 1 and group[0].replicas > 1:
        what = f"replica {number + 1} of {group[0].replicas} of flow {names}"
    if not possible:
        wishes = ", ".join(f"host={one.host!r}" for one in group if one.host is not None)
        if not wishes:
            known = "; ".join(f"{host.name} has {_resources(_countable(host))}" for host in hosts[1:])
            return f"{what} {verb} nowhere: no host has {_resources(asked)}: {known or 'there is none but the driver'}"
        known = ", ".join(_described(host) for host in hosts)
        having = f" with {_resources(asked)}" if asked else ""
        return f"{what} {verb} nowhere: no host is right for {wishes}{having}; there are {known}"
    free = "; ".join(f"{host.name} has {_resources({name: left[host.name].get(name, 0.0) for name in asked})} left"
                     for host in possible)  # fmt: skip
    return f"{what} {verb} nowhere: it needs {_resources(asked)}, {free}: ask for less, or add a host"


def _countable(host: HostOffer) -> dict[str, float]:
    """What it has, without what is counted in bytes."""
    return {name: amount for name, amount in host.resources.items() if amount and "memory" not in name}


def _described(host: HostOffer) -> str:
    """Its names and labels, but for the numbers of nodes, which nobody knows by heart."""
    labels = [f"{key}={text}" for key, text in host.labels.items() if not key.startswith("ray.io/")]
    names = [name for name in dict.fromkeys(host.aliases) if name != host.name and not _is_number(name)]
    more = names + labels
    return host.name + (f" ({', '.join(more)})" if more else "")


def _is_number(name: str) -> bool:
    """Whether it is the number of a node of Ray."""
    return len(name) > 40 and not name.strip("0123456789abcdef")


def _resources(amounts: Mapping[str, float]) -> str:
    return ", ".join(f"{amount:g} {name}" for name, amount in amounts.items()) or "nothing"
