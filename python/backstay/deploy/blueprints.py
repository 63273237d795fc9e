"""From an accepted revision to what an engine is given: configurations, launches, values, routes.

Decisions know a revision by its facts (`state.Revision`); what it says word for word is kept here, and in the
store.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import TYPE_CHECKING

from backstay.config.templates import TemplateError
from backstay.deploy import build
from backstay.deploy.routing import RouteTable
from backstay.deploy.second import second_url
from backstay.deploy.state import Instance, owner_of

if TYPE_CHECKING:
    from collections.abc import Iterator

    from backstay.config import Service, Stack
    from backstay.config.render import Values
    from backstay.deploy.admission import LeaseBook
    from backstay.deploy.eras import Eras
    from backstay.deploy.state import Fleet, Revision
    from backstay.deploy.state import Service as State
    from backstay.engines.spec import InstanceSpec, Routes

__all__ = ["Blueprints"]


class Blueprints:
    """What was accepted, word for word, and what is made of it."""

    def __init__(self, book: LeaseBook, environ: Mapping[str, str], gateway_url: str = "") -> None:
        self.stack: Stack | None = None
        self.configs: dict[tuple[str, int], Service] = {}
        self.launched: dict[tuple[str, int], build.Launched] = {}
        self.environ = dict(environ)
        self.gateway_url = gateway_url
        self.eras: Eras | None = None
        self._book = book
        self._table = RouteTable()

    def config_of(self, service: str, number: int) -> Service | None:
        """Give the configuration of a revision."""
        return self.configs.get((service, number))

    def forget(self, service: str) -> None:
        """Forget every revision of a service."""
        self.configs = {key: value for key, value in self.configs.items() if key[0] != service}
        self.launched = {key: value for key, value in self.launched.items() if key[0] != service}

    def spec(self, instance: str, revision: Revision, fleet: Fleet) -> InstanceSpec:
        """Describe an instance, whole and final.

        Raises:
            TemplateError: a template names what is not there.
            OSError: a secret's file cannot be read.
            KeyError: a secret's variable is not set.
        """
        key = (revision.service, revision.number)
        service = self.configs[key]
        values = self.values(service, instance, fleet)
        launched = self._launched(*key)
        return build.instance_spec(service, revision, values, launched, self.environ)

    def values(self, service: Service, instance: str, fleet: Fleet) -> Values:
        """Gather what the templates of an instance may name."""
        assert self.stack is not None
        return build.values_for(
            service,
            self.stack,
            instance,
            ports=self._book.ports(instance),
            services=self._port_table(fleet),
            environ=self.environ,
            gateway_url=self.gateway_url,
        )

    def _port_table(self, fleet: Fleet) -> Mapping[str, Mapping[str, int]]:
        """Give the ports of every service's first instance."""
        return _FirstPorts(fleet.services, self._book)

    def routes(self, fleet: Fleet) -> Routes:
        """Give the gateway's routes as they are now."""

        def headers(service: Service, instance: str) -> dict[str, str]:
            try:
                return build.remote_headers(service, self.values(service, instance, fleet))
            except (TemplateError, OSError, KeyError):
                return {}  # the start of the instance says what is missing

        second = None
        if self.stack is not None and self.stack.gateway.cache.second is not None:
            second = second_url(self.stack, self._port_table(fleet), self.environ)
        return self._table.of(fleet, self.stack, self.config_of, self._book.ports, headers, self._era, second)

    def _era(self, service: Service, number: int) -> str | None:
        return self.eras.of(service, self._launched(service.name, number)) if self.eras else None

    async def era_found(self, fleet: Fleet, instance: str, era: str) -> None:
        """Remember which era the server of an instance is of."""
        found = fleet.services.get(owner_of(instance))
        running = found.instances.get(instance) if found else None
        if self.eras is None or found is None or running is None:
            return
        number = running.revision.number
        if (service := self.configs.get((found.name, number))) and service.mcp:
            await self.eras.found(service, self._launched(found.name, number), era)

    def _launched(self, service: str, number: int) -> build.Launched:
        return self.launched.get((service, number), build.Launched())

    def routes_as_remembered(self, fleet: Fleet) -> Routes:
        """Give the routes of the former daemon, before its instances are told of one by one."""
        remembered = {}
        for name, service in fleet.services.items():
            instances = {
                instance: Instance(instance, placement.revision)
                for placement in (service.good, service.target)
                if placement
                for instance in placement.names
            }
            remembered[name] = replace(service, instances=instances)
        return self.routes(replace(fleet, services=remembered))


class _FirstPorts(Mapping[str, Mapping[str, int]]):
    """The ports of every service's first instance, each looked up when a template names it."""

    def __init__(self, services: Mapping[str, State], book: LeaseBook) -> None:
        self._services = services
        self._book = book

    def __getitem__(self, name: str) -> Mapping[str, int]:
        target = self._services[name].target
        if target is None or not target.names:
            raise KeyError(name)
        return self._book.ports(target.names[0])

    def __iter__(self) -> Iterator[str]:
        return (name for name, found in self._services.items() if found.target and found.target.names)

    def __len__(self) -> int:
        return sum(1 for _ in self)
