"""The whole stack: as the file writes it ([`StackFile`]), and resolved ([`Stack`])."""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Final

from pydantic import BeforeValidator, Field, WithJsonSchema, model_validator

from backstay.config.models.base import Model, quoted, refuse
from backstay.config.models.cache import GatewayCache
from backstay.config.models.mcp import Texts
from backstay.config.models.ports import PortRange
from backstay.config.models.publish import Listen, Tls, port_of
from backstay.config.models.scalars import Name, parse_name
from backstay.config.models.service import Service, ServiceFile
from backstay.config.models.traffic import Traffic

NAME_PATTERN: Final = "^(?!.*__)[A-Za-z0-9]([A-Za-z0-9_-]{0,46}[A-Za-z0-9])?$"
"""A service's name, for editors; the loader says more of a wrong one."""
STACK_NAME: Final = re.compile(r"[a-z0-9][a-z0-9_-]{0,62}")


def read_stack_name(value: Any) -> str:
    """Read the name of a stack, by Compose's rule."""
    name = parse_name(value)
    if STACK_NAME.fullmatch(name) is None:
        better = stack_name_from(name)
        raise refuse(
            f"{quoted(name)} cannot name a stack",
            "use lower-case letters, digits, `-` and `_`" + (f": `{better}`" if better else ""),
        )
    return name


def stack_name_from(text: str) -> str:
    """Make a stack's name out of any text, such as a folder's name.

    >>> stack_name_from("My Assistant.v2")
    'myassistantv2'
    """
    return re.sub(r"[^a-z0-9_-]", "", text.lower()).lstrip("_-")[:63]


class Gateway(Model):
    """The endpoint in front of all servers."""

    listen: Listen = "127.0.0.1:7077"
    """Address and port; the port alone means loopback."""
    allowed_hosts: Texts = ()
    """Values of the `Host` header that are answered, beside the listening address's own."""
    allowed_origins: Texts = ()
    """Values of the `Origin` header that are answered, beside loopback's."""
    token_file: Name | None = None
    """A file with the token that clients must send. Made where not there; asked for where not on loopback."""
    tls: Tls | None = None
    """The certificate of its address; without one it speaks plain HTTP."""
    metrics: bool = True
    """Whether requests are counted and timed, and `/metrics` says so."""
    traffic: Traffic = Traffic()
    """How calls to servers are balanced, limited and protected, where a server says nothing else."""
    cache: GatewayCache = GatewayCache()
    """What the answers that are kept have in common."""

    @property
    def host(self) -> str:
        """The address without the port."""
        return self.listen.rpartition(":")[0].strip("[]")

    @property
    def port(self) -> int:
        """The port; 0 lets the system choose one."""
        return port_of(self.listen)

    @property
    def loopback(self) -> bool:
        """Whether only this machine reaches it."""
        return ipaddress.ip_address(self.host).is_loopback

    @classmethod
    def from_short(cls, value: Any) -> Any:
        """`gateway: 127.0.0.1:7077` is `gateway: {listen: …}`."""
        return {"listen": value} if isinstance(value, str | int) and not isinstance(value, bool) else value

    @classmethod
    def short_schema(cls) -> list[dict[str, Any]]:
        """Return the JSON Schemas of the short forms."""
        return [{"type": "string"}, {"type": "integer", "minimum": 0, "maximum": 65535}]

    @classmethod
    def example(cls) -> str:
        """Return the hint for a value that is not even a map."""
        return "write `gateway: {listen: 127.0.0.1:7077}`"


class Secret(Model):
    """Something that must not be read by others: from a file or from the environment."""

    file: Name | None = None
    """The file that holds it, from the folder of the stack file."""
    environment: Name | None = None
    """The variable of Backstay's own environment that holds it."""

    @classmethod
    def example(cls) -> str:
        """Return the hint for a value that is not even a map."""
        return "write `{file: ./secret.txt}` or `{environment: VARIABLE}`"

    @model_validator(mode="after")
    def _one_origin(self) -> Secret:
        if (self.file is None) == (self.environment is None):
            what = (
                "neither `file` nor `environment`" if self.file is None else "both `file` and `environment`"
            )
            raise refuse(f"the secret has {what}", "give one of them")
        return self


class StackFile(Model):
    """A fleet of MCP servers and the services they stand on."""

    name: (
        Annotated[
            str,
            BeforeValidator(read_stack_name),
            WithJsonSchema({"type": "string", "pattern": "^[a-z0-9][a-z0-9_-]*$"}),
        ]
        | None
    ) = None
    """The fleet's name; that of the folder where not given."""
    services: Annotated[
        Mapping[str, ServiceFile],
        Field(json_schema_extra={"minProperties": 1, "propertyNames": {"pattern": NAME_PATTERN}}),
    ] = {}
    """What runs, by name."""
    gateway: Gateway = Gateway()
    """The endpoint in front of all servers."""
    ports: PortRange = PortRange()
    """The range that `auto` ports are leased from."""
    secrets: Mapping[str, Secret] = {}
    """Secrets, by name; a service reads those that it lists."""


class Stack(StackFile):
    """A stack with everything decided but what is only known when it runs (`{{ }}`)."""

    name: Annotated[str, BeforeValidator(read_stack_name)]
    dir: Path
    """The folder of the (first) stack file, absolute: relative paths start here."""
    files: tuple[Path, ...] = ()
    """The files it was read from, absolute."""
    services: Mapping[str, Service] = {}
    profiles: tuple[str, ...] = ()
    """The profiles that were enabled."""
    disabled: Mapping[str, tuple[str, ...]] = {}
    """Services left out because none of their profiles is enabled, with those profiles."""

    @property
    def state_dir(self) -> Path:
        """Where the fleet's state is kept."""
        return self.dir / ".backstay"

    @property
    def servers(self) -> Mapping[str, Service]:
        """The services that speak MCP."""
        return {name: service for name, service in self.services.items() if service.mcp}
