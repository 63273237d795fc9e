"""Admission: what a fleet holds of the machine, and whether more of it fits.

The books are the Rust ledger's; `LeaseBook` keeps a lease for each instance. A deploy asks for all that it
needs before anything starts, and gets all of it or nothing: a refusal says who holds what.
"""

from __future__ import annotations

from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from backstay.deploy.state import NO_NEED, Goal, Need, Stage, owner_of
from backstay.errors import DoesNotFit, PortHeld, PortsExhausted
from backstay.ledger import Ports

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    from backstay.config import Service as Config
    from backstay.deploy.state import Placement, Revision
    from backstay.deploy.state import Service as State
    from backstay.ledger import Lease, Ledger, PortLease

__all__ = ["LeaseBook", "Wish", "needs_of", "wish_of"]


@dataclass(frozen=True, slots=True)
class Wish:
    """What one instance asks for: resources, and ports by name (none as a number: any)."""

    need: Need = NO_NEED
    ports: Mapping[str, int | None] = field(default_factory=dict)


def wish_of(service: Config, revision: Revision) -> Wish:
    """Say what one instance of a service asks for."""
    ports = {name: None if port == "auto" else int(port) for name, port in service.ports.items()}
    return Wish(revision.need, ports)


def needs_of(target: Placement | None, service: State | None) -> dict[str, Need]:
    """Say what the instances of a placement need, and those it replaces, should they have to come back.

    What runs holds its lease already; a job that has completed does not, and without this the way back to
    it could be refused by a machine that has filled up since.
    """
    needs = dict.fromkeys(target.names, target.revision.need) if target else {}
    good = service.good if service else None
    if good and (target is None or good.key != target.key):
        for name in good.names:
            needs[name] = good.revision.need.covering(needs.get(name, NO_NEED))
    return needs


class LeaseBook:
    """Who of the fleet holds what, by instance."""

    def __init__(self, ledger: Ledger, ports: Ports) -> None:
        self.ledger = ledger
        self.pool = ports
        self._needs: dict[str, tuple[Need, Lease | None]] = {}
        self._ports: dict[str, dict[str, PortLease]] = {}
        self._of_service: dict[str, set[str]] = {}
        self._attempts: list[dict[str, tuple[Need, dict[str, int]]]] = []

    def use_range(self, first: int, last: int) -> None:
        """Lend ports of another range from now on; ports that are held stay held."""
        held = self.all_ports()
        self._ports = {}
        self.pool = Ports(first, last)
        for instance, ports in held.items():
            self._set_ports(instance, ports)

    def held_by(self, service: str) -> list[str]:
        """Give the instances of a service that hold anything."""
        return sorted(self._of_service.get(service, ()))

    def _index(self, instance: str) -> None:
        service = owner_of(instance)
        if instance in self._needs or instance in self._ports:
            self._of_service.setdefault(service, set()).add(instance)
        elif service in self._of_service:
            self._of_service[service].discard(instance)
            if not self._of_service[service]:
                del self._of_service[service]

    def holders(self) -> set[str]:
        """Give the instances that hold anything."""
        return set(self._needs) | set(self._ports)

    def ports(self, instance: str) -> dict[str, int]:
        """Give the ports of an instance by name."""
        return {name: lease.port for name, lease in self._ports.get(instance, {}).items()}

    def all_ports(self) -> dict[str, dict[str, int]]:
        """Give the ports of all instances."""
        return {instance: self.ports(instance) for instance in self._ports}

    def need(self, instance: str) -> Need:
        """Give what an instance holds beside ports."""
        return self._needs.get(instance, (NO_NEED, None))[0]

    @contextmanager
    def attempt(self) -> Iterator[None]:
        """Take everything back that is taken in the block if it ends in an error.

        It costs as much as the block changes, however much is held. The order of leases does not matter for
        what fits, so going back always succeeds once all that was taken has been given back.
        """
        before: dict[str, tuple[Need, dict[str, int]]] = {}
        self._attempts.append(before)
        try:
            yield
        except BaseException:
            self._end(before)
            for name, (_, ports) in before.items():
                held = self.ports(name)
                self._set_ports(name, {k: n for k, n in held.items() if ports.get(k) == n})
                self._set_need(name, NO_NEED)
            for name, (need, ports) in before.items():
                self._set_need(name, need)
                self._set_ports(name, ports)
            raise
        self._end(before)

    def _end(self, before: object) -> None:
        # By identity: two attempts that changed nothing are equal.
        self._attempts = [other for other in self._attempts if other is not before]

    def _note(self, instance: str) -> None:
        """Keep what an instance holds, before that changes, for every attempt under way."""
        for before in self._attempts:
            if instance not in before:
                before[instance] = self.need(instance), self.ports(instance)

    def admit(self, wishes: Mapping[str, Wish], *, probe: bool = True) -> None:
        """Give every instance what it wishes beside what it holds, or nothing to any.

        What an instance already holds counts: during a replacement it holds the greater of both.

        Raises:
            DoesNotFit: the machine has too little left.
            PortHeld: a port asked for by number is held.
            PortsExhausted: no port is free.
        """
        with self.attempt():
            for instance, wish in wishes.items():
                self._take_ports(instance, wish.ports, probe=probe)
            for instance, wish in wishes.items():
                held = self.need(instance)
                self._set_need(instance, held.covering(wish.need))

    def hold_exactly(self, instance: str, need: Need, ports: Iterable[str] | None = None) -> None:
        """Shrink what an instance holds: to a need, and to the ports of these names."""
        self._set_need(instance, need)
        if ports is not None:
            kept = set(ports)
            self._set_ports(instance, {k: v for k, v in self.ports(instance).items() if k in kept})

    def settle(self, service: State) -> list[str]:
        """Let a service that has come to rest hold what it needs now, and no more.

        What runs holds what its revision needs, and so does what waits to run; what stands keeps its ports,
        because others may have been told of them.

        Returns:
            The instances of it that held anything.
        """
        kept = {name for p in (service.target, service.good) if p for name in p.names}
        waits = service.goal is Goal.RUN and service.stage is not Stage.SETTLED
        held = self.held_by(service.name)
        for instance in held:
            found = service.instances.get(instance)
            if found is not None and found.phase.alive:
                self.hold_exactly(instance, found.revision.need)
            elif instance not in kept:
                self.release(instance)
            else:
                need = service.target.revision.need if waits and service.target else NO_NEED
                self.hold_exactly(instance, need)
        return held

    def release(self, instance: str) -> None:
        """Give all that an instance holds back."""
        self._set_need(instance, NO_NEED)
        self._set_ports(instance, {})

    def dump(self) -> dict[str, dict[str, Any]]:
        """Write down what each instance holds."""
        return {name: self.dump_one(name) for name in self.holders()}

    def dump_one(self, instance: str) -> dict[str, Any]:
        """Write down what one instance holds."""
        need = self.need(instance)
        return {
            "need": [need.milli_cpus, need.memory, need.storage, need.milli_gpus],
            "ports": self.ports(instance),
        }

    def restore(self, dumped: Mapping[str, Mapping[str, Any]]) -> None:
        """Take what a former daemon held; what runs holds it whatever the machine now says it has."""
        for instance, held in dumped.items():
            self._set_ports(instance, held["ports"])
            try:
                self._set_need(instance, Need(*held["need"]))
            except DoesNotFit:  # the machine has shrunk under a running fleet
                continue

    # One instance

    def _take_ports(self, instance: str, wanted: Mapping[str, int | None], *, probe: bool) -> None:
        if not wanted:
            return
        self._note(instance)
        held = self._ports.setdefault(instance, {})
        self._index(instance)
        for name, number in wanted.items():
            lease = held.get(name)
            if lease is not None:
                if number is None or lease.port == number:
                    continue
                lease.release()
                del held[name]
            held[name] = self._lease_port(instance, name, number, probe=probe)

    def _lease_port(self, instance: str, name: str, number: int | None, *, probe: bool) -> PortLease:
        try:
            return self.pool.lease(f"{instance} {name}", port=number, probe=probe)
        except PortHeld as error:
            error.hint = f"give the port `{name}` of `{owner_of(instance)}` another number, or `auto`"
            raise
        except PortsExhausted as error:
            error.hint = f"widen `ports:` at the top of the stack file ({self.pool.first}-{self.pool.last})"
            raise

    def _set_ports(self, instance: str, numbers: Mapping[str, int]) -> None:
        self._note(instance)
        held = self._ports.get(instance, {})
        for name in [name for name in held if held[name].port != numbers.get(name)]:
            held.pop(name).release()
        for name, number in numbers.items():
            if name not in held:
                held[name] = self.pool.lease(f"{instance} {name}", port=number)
        if held:
            self._ports[instance] = held
        else:
            self._ports.pop(instance, None)
        self._index(instance)

    def _set_need(self, instance: str, need: Need) -> None:
        self._note(instance)
        try:
            self._change_need(instance, need)
        finally:
            self._index(instance)

    def _change_need(self, instance: str, need: Need) -> None:
        held, lease = self._needs.get(instance, (NO_NEED, None))
        if held == need:
            return
        if lease is not None:
            lease.release()
        self._needs.pop(instance, None)
        if not need:
            return
        try:
            taken = self._reserve(instance, need)
        except DoesNotFit:
            if held:
                self._needs[instance] = (held, self._reserve(instance, held))
            raise
        self._needs[instance] = (need, taken)

    def _reserve(self, instance: str, need: Need) -> Lease:
        return self.ledger.reserve(
            instance,
            cpus=need.milli_cpus / 1000,
            memory=need.memory,
            storage=need.storage,
            gpus=need.milli_gpus / 1000,
        )
