"""A service: as the stack file writes it ([`ServiceFile`]), and resolved ([`Service`])."""

from __future__ import annotations

import re
import signal
import typing
from collections.abc import Mapping
from typing import Annotated, Any, Final, Literal

from pydantic import BeforeValidator, WithJsonSchema, model_validator

from backstay.config.models.base import Model, gathered, kind_of, quoted, refuse
from backstay.config.models.cache import Cache
from backstay.config.models.deploy import Deploy, RestartPolicy
from backstay.config.models.environment import ENVIRONMENT_SCHEMA, read_environment
from backstay.config.models.healthcheck import Command, Healthcheck
from backstay.config.models.mcp import Mcp, Texts, read_list
from backstay.config.models.ports import PORTS_SCHEMA, read_ports
from backstay.config.models.publish import Publish
from backstay.config.models.scalars import Duration, Flag, Name, Text, parse_name
from backstay.config.models.traffic import Traffic

Condition = Literal["service_started", "service_healthy", "service_completed_successfully"]
Kind = Literal["server", "service"]
Restart = Literal["no", "always", "on-failure", "unless-stopped"]

RESTART: Final = re.compile(r"(no|always|unless-stopped|on-failure)(?::(\d{1,6}))?")
PROFILE: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]*")


def read_restart(value: Any) -> str:
    """Read `no`, `always`, `on-failure[:attempts]` or `unless-stopped`."""
    if value is False:
        value = "no"
    text = value if isinstance(value, str) else ""
    match = RESTART.fullmatch(text)
    if match is None or (match[2] and match[1] != "on-failure"):
        raise refuse(
            f"expected a restart policy, got {kind_of(value)}",
            "write `no`, `always`, `on-failure`, `on-failure:5` or `unless-stopped`",
        )
    return text


def read_signal(value: Any) -> str:
    """Read a signal: `SIGTERM`, `TERM` or its number; the result is `SIGTERM`."""
    hint = "write a signal's name, such as `SIGTERM` or `SIGINT`"
    if isinstance(value, str) and re.fullmatch(r"\d{1,3}", value):
        value = int(value)
    if isinstance(value, int) and not isinstance(value, bool):
        try:
            return signal.Signals(value).name
        except ValueError:
            raise refuse(f"{value} is not a signal", hint) from None
    name = parse_name(value).upper()
    name = name if name.startswith("SIG") else f"SIG{name}"
    if name not in signal.Signals.__members__:
        raise refuse(f"{quoted(str(value))} is not a signal", hint)
    return signal.Signals[name].name


def read_profiles(value: Any) -> Any:
    """Read the list of profiles."""
    names = read_list(value)
    with gathered() as item:
        for index, name in enumerate(names):
            with item(index):
                if not isinstance(name, str) or PROFILE.fullmatch(name) is None:
                    hint = "use letters, digits, `-`, `_` and `.`"
                    raise refuse(f"{quoted(str(name))} cannot name a profile", hint)
    return names


class Dependency(Model):
    """What must have happened to another service before this one starts."""

    condition: Condition | None = None
    """When the other is far enough. In list form: healthy where it has a healthcheck or is a server."""
    restart: Flag = False
    """Whether this service restarts when the other was changed or restarted."""
    required: Flag = True
    """Whether the other service must be there at all."""

    @classmethod
    def short_schema(cls) -> list[dict[str, Any]]:
        """Return the JSON Schemas of the short forms."""
        return [{"enum": [None, *typing.get_args(Condition)]}]

    @classmethod
    def from_short(cls, value: Any) -> Any:
        """`redis: service_healthy` is `redis: {condition: service_healthy}`, and a list names services."""
        if value is None:
            return {}
        return {"condition": value} if isinstance(value, str) else value


Dependencies = tuple[str, ...] | Mapping[str, Dependency] | str
"""The forms of `depends_on`."""


def read_depends_on(value: Any) -> Any:
    """Read a list of names, or a map of names to conditions."""
    if isinstance(value, str):
        value = [value]
    if isinstance(value, list | tuple):
        with gathered() as item:
            for index, name in enumerate(value):
                with item(index):
                    if not isinstance(name, str):
                        hint = "write `depends_on: [redis]`"
                        raise refuse(f"expected a service's name, got {kind_of(name)}", hint)
        return {name: {} for name in value}
    if isinstance(value, Mapping):
        return value
    raise refuse(f"expected a list of services, got {kind_of(value)}", "write `depends_on: [redis]`")


class EnvFile(Model):
    """A file of `NAME=value` lines."""

    path: Name
    """Where it is, from the folder of the stack file."""
    required: Flag = True
    """Whether it must exist."""
    format: Literal["raw"] | None = None
    """`raw`: values are taken as they are, quotes and `$` included."""

    @classmethod
    def short_schema(cls) -> list[dict[str, Any]]:
        """Return the JSON Schemas of the short forms."""
        return [{"type": "string", "minLength": 1}]

    @classmethod
    def from_short(cls, value: Any) -> Any:
        """A path alone is `{path: …}`."""
        return {"path": value} if isinstance(value, str) else value


class SecretUse(Model):
    """A secret that a service may read: `{{ secrets.NAME }}` in `environment`, `{{ secrets.NAME.file }}`."""

    source: Name
    """The secret's name at the top of the file."""
    target: Name | None = None
    """The name under which the service reads it; the same where not given."""

    @property
    def name(self) -> str:
        """The name under which the service reads it."""
        return self.target or self.source

    @classmethod
    def from_short(cls, value: Any) -> Any:
        """A name alone is `{source: …}`."""
        return {"source": value} if isinstance(value, str) else value

    @classmethod
    def short_schema(cls) -> list[dict[str, Any]]:
        """Return the JSON Schemas of the short forms."""
        return [{"type": "string", "minLength": 1}]

    @classmethod
    def example(cls) -> str:
        """Return the hint for a value that is not even a map."""
        return "write `secrets: [name]`"


def read_many(value: Any) -> Any:
    """Read a list whose items may be maps; one text or map stands for a list of one."""
    return [value] if isinstance(value, str | Mapping) else read_list(value)


class ServiceFile(Model):
    """A process that Backstay runs. With `mcp` it is a server, without it a plain service."""

    command: Command | None = None
    """The program and its arguments; no shell is between."""
    args: Command = ()
    """Arguments after the command, or for the server that `mcp` names."""
    mcp: Mcp | None = None
    """What makes it a server: a package source, an address, or a map of settings."""
    environment: Annotated[
        Mapping[str, str | None], BeforeValidator(read_environment), ENVIRONMENT_SCHEMA
    ] = {}
    """Variables for the process; a name without a value takes that of Backstay's own environment."""
    env_file: Annotated[
        tuple[EnvFile, ...], BeforeValidator(read_many, json_schema_input_type=EnvFile | tuple[EnvFile, ...])
    ] = ()
    """Files of variables; `environment` goes before them, and later files before earlier ones."""
    working_dir: Text | None = None
    """The folder it runs in; the stack file's own where not given."""
    depends_on: Annotated[
        Mapping[str, Dependency], BeforeValidator(read_depends_on, json_schema_input_type=Dependencies)
    ] = {}
    """Services that must be up first."""
    healthcheck: Healthcheck | None = None
    """How to know that it is well; a server's handshake says so without one."""
    ports: Annotated[Mapping[str, int | Literal["auto"]], BeforeValidator(read_ports), PORTS_SCHEMA] = {}
    """Ports it listens on, by name: a number, or `auto` for one that is leased."""
    publish: Publish | None = None
    """How clients reach it through the gateway: `true`, a path, an address, or a map of settings."""
    restart: (
        Annotated[
            str,
            BeforeValidator(read_restart),
            WithJsonSchema({"type": "string", "pattern": r"^(no|always|unless-stopped|on-failure(:\d+)?)$"}),
        ]
        | None
    ) = None
    """When it is started again: `no`, `always`, `on-failure[:attempts]`, `unless-stopped`.
    `always` for servers and `no` for others where not given."""
    stop_signal: Annotated[str, BeforeValidator(read_signal)] = "SIGTERM"
    """The signal that asks it to end."""
    stop_grace_period: Duration = 10.0
    """Time to end before it is killed."""
    profiles: Annotated[Texts, BeforeValidator(read_profiles)] = ()
    """It runs only where one of these profiles is enabled; always where none is given."""
    secrets: Annotated[
        tuple[SecretUse, ...],
        BeforeValidator(read_many, json_schema_input_type=SecretUse | tuple[SecretUse, ...]),
    ] = ()
    """Secrets that it may read."""
    deploy: Deploy = Deploy()
    """How many instances, what they hold of the machine, how a new revision takes over."""
    traffic: Traffic = Traffic()
    """For a server: how calls to it are balanced, limited and protected."""
    cache: Cache | None = None
    """For a server: which of its answers are kept. None where not given."""

    @classmethod
    def example(cls) -> str:
        """Return the hint for a value that is not even a map."""
        return "write `command:` or `mcp:` beneath the service's name"

    @property
    def kind(self) -> Kind:
        """Whether it speaks MCP."""
        return "server" if self.mcp else "service"


class ResolvedDependency(Dependency):
    """A dependency whose condition is decided."""

    condition: Condition


class Service(ServiceFile):
    """A service with everything decided but its templates.

    `working_dir` and paths are absolute, `environment` holds the files of `env_file` and what it takes from
    outside, every default is filled in. `{{ }}` stays until ports are leased (`backstay.config.render`).
    """

    name: Name
    """The service's name in the stack."""
    environment: Mapping[str, str] = {}
    depends_on: Mapping[str, ResolvedDependency] = {}
    working_dir: Text
    restart: Annotated[str, BeforeValidator(read_restart)]

    @property
    def restart_policy(self) -> RestartPolicy:
        """When it is started again: `deploy.restart_policy`, or what `restart` says in its words."""
        if self.deploy.restart_policy is not None:
            return self.deploy.restart_policy
        condition, _, attempts = self.restart.partition(":")
        words: dict[str, Literal["none", "on-failure", "any"]]
        words = {"no": "none", "on-failure": "on-failure", "always": "any", "unless-stopped": "any"}
        return RestartPolicy(condition=words[condition], max_attempts=int(attempts) if attempts else None)

    @property
    def readiness(self) -> Literal["handshake", "healthcheck", "started"]:
        """What makes it ready; a server with a healthcheck passes that first and the handshake after."""
        if self.mcp:
            return "handshake"
        return "healthcheck" if self.healthcheck and self.healthcheck.probe else "started"

    @model_validator(mode="after")
    def _nothing_left_open(self) -> Service:
        if self.mcp and self.mcp.transport is None:
            raise refuse("the transport of a resolved server is decided")
        return self
