"""The models of the stack file: one concept, one file. Their descriptions become the schema."""

from backstay.config.models.base import Model
from backstay.config.models.cache import Cache, GatewayCache, SecondLevel
from backstay.config.models.deploy import (
    Deploy,
    Device,
    Limits,
    Reservations,
    Resources,
    RestartPolicy,
    RollbackConfig,
    UpdateConfig,
)
from backstay.config.models.healthcheck import Healthcheck, HttpProbe
from backstay.config.models.mcp import Mcp, Session, Tools, Transport
from backstay.config.models.ports import PortRange, port_variable
from backstay.config.models.publish import Publish, Tls
from backstay.config.models.service import (
    Condition,
    Dependency,
    EnvFile,
    Kind,
    ResolvedDependency,
    SecretUse,
    Service,
    ServiceFile,
)
from backstay.config.models.source import PackageSource, SourceKind
from backstay.config.models.stack import Gateway, Secret, Stack, StackFile
from backstay.config.models.traffic import (
    Breaker,
    Concurrency,
    Ejection,
    RateLimit,
    Retries,
    Timeouts,
    Traffic,
)

__all__ = [
    "Breaker",
    "Cache",
    "Concurrency",
    "Condition",
    "Dependency",
    "Deploy",
    "Device",
    "Ejection",
    "EnvFile",
    "Gateway",
    "GatewayCache",
    "Healthcheck",
    "HttpProbe",
    "Kind",
    "Limits",
    "Mcp",
    "Model",
    "PackageSource",
    "PortRange",
    "Publish",
    "RateLimit",
    "Reservations",
    "ResolvedDependency",
    "Resources",
    "RestartPolicy",
    "Retries",
    "RollbackConfig",
    "SecondLevel",
    "Secret",
    "SecretUse",
    "Service",
    "ServiceFile",
    "Session",
    "SourceKind",
    "Stack",
    "StackFile",
    "Timeouts",
    "Tls",
    "Tools",
    "Traffic",
    "Transport",
    "UpdateConfig",
    "port_variable",
]
