"""The stack file: read, checked and resolved into a [`Stack`][backstay.config.models.Stack].

Only verbs that need a stack import this package: pydantic costs more than most verbs do.
"""

from backstay.config.models import Mcp, PackageSource, Service, ServiceFile, Stack, StackFile

__all__ = ["Mcp", "PackageSource", "Service", "ServiceFile", "Stack", "StackFile"]
