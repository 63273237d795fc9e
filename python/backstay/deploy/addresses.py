"""Addresses that services are published at: free before anything is changed, or nothing is.

The keeper binds them, and what it holds already stays where it is; only what is new is tried here.
"""

from __future__ import annotations

import errno
import socket
from typing import TYPE_CHECKING

from backstay.errors import ResourceError

if TYPE_CHECKING:
    from backstay.config import Stack

__all__ = ["check_addresses"]


def check_addresses(stack: Stack, before: Stack | None) -> None:
    """See whether every new address can be listened at.

    Raises:
        ResourceError: one cannot, and says why.
    """
    held = set(_addresses(before).values()) if before else set()
    for service, listen in _addresses(stack).items():
        if listen not in held:
            _try(service, listen)


def _addresses(stack: Stack) -> dict[str, str]:
    return {
        name: service.publish.listen
        for name, service in stack.services.items()
        if service.publish and service.publish.listen
    }


def _try(service: str, listen: str) -> None:
    host, _, port = listen.rpartition(":")
    host = host.strip("[]")
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with socket.socket(family, socket.SOCK_STREAM) as trial:
        trial.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            trial.bind((host, int(port)))
            trial.listen(1)
        except OSError as error:
            taken = error.errno == errno.EADDRINUSE
            why = f"the port {port} is taken" if taken else (error.strerror or str(error)).lower()
            raise ResourceError(
                f"`{service}` cannot be published at {listen}: {why}",
                hint="Free the port, or give another one in `publish: {listen: …}`."
                if taken
                else "Give an address of this machine and a port that you may listen at.",
            ) from None
