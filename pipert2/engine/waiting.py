"""What a site that was lost waits for, when no host has what its flows ask for. A plain decision."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from pipert2.engine.fragment import Fragment
from pipert2.engine.placement import DRIVER, HostOffer


@dataclass(frozen=True, slots=True)
class SiteNeed:
    """What a site asks of its host: all that its flows ask for, together.

    Attributes:
        resources: by name.
        address: of the only host that will do; None: any.
        labels: that it must have.
    """

    resources: Mapping[str, float] = field(default_factory=dict)
    address: str | None = None
    labels: Mapping[str, str] = field(default_factory=dict)

    def __str__(self) -> str:
        asked = [f"{_text(amount)} {name}" for name, amount in self.resources.items()]
        asked += [f"label {key}={text}" for key, text in self.labels.items()]
        host = "a host" if self.address is None else f"host {self.address!r}"
        return f"{host} with {', '.join(asked)}" if asked else host

    def lacking(self, hosts: Iterable[HostOffer], free: Iterable[HostOffer] | None) -> str | None:
        """What is waited for, in words; None if there is a host for it.

        Args:
            hosts: with what they have in whole.
            free: with what they have left; None: not to be asked yet, for a site that is just coming into being has
                taken its own share of it.
        """
        if not self._is_met(hosts):
            return str(self)
        if free is not None and not self._is_met(free):
            return f"{self} left, others use it"
        return None

    def _is_met(self, hosts: Iterable[HostOffer]) -> bool:
        return any(
            host.name != DRIVER
            and (self.address is None or self.address in host.aliases)
            and all(host.labels.get(key) == text for key, text in self.labels.items())
            and all(amount <= host.resources.get(name, 0.0) + 1e-9 for name, amount in self.resources.items())
            for host in hosts
        )

    def advice(self, address: str) -> str:
        """What to do about it, for the Ray at an address."""
        own = "" if self.address is None else f" --node-ip-address={self.address}"
        own += "".join(f" --labels={key}={text}" for key, text in self.labels.items())
        known = {"CPU": "--num-cpus", "GPU": "--num-gpus", "memory": "--memory"}
        plain = "".join(f" {known[name]}={_text(amount)}" for name, amount in self.resources.items() if name in known)
        others = ", ".join(f'"{name}": {_text(amount)}' for name, amount in self.resources.items() if name not in known)
        return f"ray start --address={address}{own}{plain}" + (f" --resources='{{{others}}}'" if others else "")


def waiting_text(fragment: Fragment, waits_for: str) -> str:
    """Which flows wait, and for what."""
    names = [repr(plan.name) for plan in fragment.flows if plan.own]
    one = len(names) == 1
    return f"flow{'' if one else 's'} {' and '.join(names)} wait{'s' if one else ''} for {waits_for}"


def _text(amount: float) -> str:
    return f"{amount:.12g}"  # memory is given in bytes
