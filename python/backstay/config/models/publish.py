"""`publish`: a plain service that clients reach through the gateway. `tls`: the certificate of an address."""

from __future__ import annotations

import ipaddress
import re
from typing import Annotated, Any, Final, Literal

from pydantic import BeforeValidator, WithJsonSchema, model_validator

from backstay.config.models.base import Model, gathered, kind_of, quoted, refuse, spelling
from backstay.config.models.mcp import Texts, read_list
from backstay.config.models.scalars import Duration, Flag, Name, parse_name

OWN_PATHS: Final = ("mcp", "api", "healthz", "readyz", "metrics", ".well-known", "sse", "messages")
"""First segments of the gateway's own paths."""
PATH: Final = re.compile(r"(?:/[A-Za-z0-9._~!$&'()*+,;=:@%-]+)+|/")
HOST: Final = re.compile(r"(?=.{1,253}$)[a-z0-9]([a-z0-9-]*[a-z0-9])?(\.[a-z0-9]([a-z0-9-]*[a-z0-9])?)*")
LISTEN: Final = re.compile(r"(?:(\[[0-9a-fA-F:.%]+\]|[A-Za-z0-9.-]+):)?(\d{1,5})")


def read_listen(value: Any) -> str:
    """Read `host:port`; a port alone means loopback."""
    hint = "write `127.0.0.1:7077`"
    if isinstance(value, bool) or not isinstance(value, str | int):
        raise refuse(f"expected an address, got {kind_of(value)}", hint)
    match = LISTEN.fullmatch(spelling(value))
    if match is None or int(match[2]) > 65535:
        raise refuse(f"{quoted(spelling(value))} is not an address to listen on", hint)
    host = match[1] or "127.0.0.1"
    host = "127.0.0.1" if host == "localhost" else host
    try:
        ipaddress.ip_address(host.strip("[]"))
    except ValueError:
        raise refuse(f"{quoted(host)} is not an IP address of this machine", hint) from None
    return f"{host}:{int(match[2])}"


Listen = Annotated[
    str,
    BeforeValidator(read_listen),
    WithJsonSchema({"anyOf": [{"type": "string"}, {"type": "integer", "minimum": 0, "maximum": 65535}]}),
]
"""An address and a port; the port alone means loopback."""


def port_of(listen: str) -> int:
    """Return the port of an address.

    >>> port_of("127.0.0.1:7077"), port_of("[::1]:80")
    (7077, 80)
    """
    return int(listen.rpartition(":")[2])


def read_path(value: Any) -> str:
    """Read a path of the gateway: `/shop`."""
    path = parse_name(value)
    path = path if path == "/" else path.rstrip("/")
    if PATH.fullmatch(path) is None or any(part in (".", "..") for part in path.split("/")):
        raise refuse(f"{quoted(parse_name(value))} is not a path", "write `path: /shop`")
    return path


def read_hosts(value: Any) -> Any:
    """Read host names; they mean the same in capitals."""
    hosts = [host.lower().rstrip(".") if isinstance(host, str) else host for host in read_list(value)]
    with gathered() as item:
        for index, host in enumerate(hosts):
            with item(index):
                if not isinstance(host, str) or HOST.fullmatch(host) is None:
                    raise refuse(f"{quoted(str(host))} is not a host name", "write `hosts: shop.localhost`")
    return hosts


class Tls(Model):
    """The certificate of an address. Its files are read again when they change."""

    certificate: Name
    """The chain in PEM, the server's own certificate first; from the folder of the stack file."""
    key: Name
    """Its private key in PEM."""

    @classmethod
    def example(cls) -> str:
        """Return the hint for a value that is not even a map."""
        return "write `tls: {certificate: ./cert.pem, key: ./key.pem}`"


class Publish(Model):
    """How clients reach a plain HTTP service through the gateway."""

    port: Name | None = None
    """The name of the port it listens on; needed where it has several."""
    path: Annotated[str, BeforeValidator(read_path)] | None = None
    """The path at the gateway's address; `/` with `hosts`, else the service's name, unless it has an
    address of its own."""
    hosts: Annotated[Texts, BeforeValidator(read_hosts)] = ()
    """Only requests for these host names."""
    strip: Flag = True
    """Whether the service sees its own paths, without `path`; it is told that in `X-Forwarded-Prefix`."""
    listen: Listen | None = None
    """An address of its own; the port alone means loopback."""
    tls: Tls | None = None
    """The certificate of its own address."""
    public: Flag = False
    """Whether anybody may use it: neither the gateway's token nor an allowed `Origin` is asked for."""
    protocol: Literal["http", "h2c"] = "http"
    """How the service speaks: HTTP/1.1 with WebSocket, or HTTP/2 without TLS (gRPC)."""
    timeout: Duration = 60.0
    """Time it may take to begin an answer."""

    @classmethod
    def from_short(cls, value: Any) -> Any:
        """`true` is all defaults, `/shop` a path, `127.0.0.1:8080` an address of its own."""
        if value is True:
            return {}
        if isinstance(value, str) and value.startswith("/"):
            return {"path": value}
        return {"listen": value} if isinstance(value, str | int) and not isinstance(value, bool) else value

    @classmethod
    def short_schema(cls) -> list[dict[str, Any]]:
        """Return the JSON Schemas of the short forms."""
        return [{"const": True}, {"type": "string"}, {"type": "integer", "minimum": 1, "maximum": 65535}]

    @classmethod
    def example(cls) -> str:
        """Return the hint for a value that is not even a map."""
        return "write `publish: /shop`, or `publish: {listen: 127.0.0.1:8080}`"

    @model_validator(mode="after")
    def _somewhere(self) -> Publish:
        if self.tls and not self.listen:
            hint = "add `listen:`, or write `tls:` beneath `gateway:`"
            raise refuse("`tls` without an address of its own does nothing", hint, ("tls",))
        if self.path is None or self.hosts:
            return self
        if self.path == "/":
            hint = "give it a path such as `/shop`, `hosts:`, or an address of its own with `listen:`"
            raise refuse("the gateway itself is at `/`", hint, ("path",))
        if self.path.split("/")[1] in OWN_PATHS:
            raise refuse(f"{quoted(self.path)} is the gateway's own", "choose another path", ("path",))
        return self
