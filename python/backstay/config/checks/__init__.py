"""What the models cannot see: services against one another, and the stack against the machine.

Each file holds one kind of check. A check reports all it finds and changes nothing.
"""

from __future__ import annotations

from backstay.config.checks.cache import check_cache
from backstay.config.checks.context import Context
from backstay.config.checks.dependencies import check_dependencies
from backstay.config.checks.ports import check_ports
from backstay.config.checks.publish import check_publish
from backstay.config.checks.references import check_references
from backstay.config.checks.resources import check_resources
from backstay.config.checks.secrets import check_secrets
from backstay.config.checks.servers import check_servers

__all__ = ["Context", "check"]


def check(context: Context) -> None:
    """Check a resolved stack; what is wrong is added to the context's problems."""
    check_servers(context)
    check_dependencies(context)
    check_ports(context)
    check_publish(context)
    check_cache(context)
    check_resources(context)
    check_references(context)
    check_secrets(context)
