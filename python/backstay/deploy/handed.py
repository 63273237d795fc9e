"""What `up` handed over of the user's environment: secrets, and the settings that installations need.

It lives in `run/environ.json`, for its owner only, so that a daemon that takes over knows it, and goes with
the fleet (`down`). It is in no other file: not in the state, not in a command line, not in a log.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Final

from backstay.errors import StateError
from backstay.state.files import replace

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from backstay.config import Stack

__all__ = ["HandedOver"]

FILE: Final = "run/environ.json"


class HandedOver:
    """The variables that the last `up` handed over, as the next daemon finds them."""

    def __init__(self, state_dir: Path) -> None:
        self._path = state_dir / FILE

    def load(self) -> dict[str, str]:
        """Give what was handed over; nothing where that is not known."""
        try:
            held = json.loads(self._path.read_bytes())
        except (OSError, ValueError):
            return {}
        return {str(name): str(value) for name, value in held.items()} if isinstance(held, dict) else {}

    def kept(self, stack: Stack, given: Mapping[str, str]) -> dict[str, str]:
        """Say what is to be kept beside what is given now: secrets that the stack still names."""
        named = {secret.environment for secret in stack.secrets.values()}
        return {name: value for name, value in self.load().items() if name in named} | dict(given)

    def keep(self, variables: Mapping[str, str]) -> None:
        """Write it down, durably; blocking.

        Raises:
            StateError: the disk refuses.
        """
        try:
            replace(self._path, json.dumps(dict(variables)).encode())
        except OSError as error:
            raise StateError(
                f"{self._path} cannot be written: {error.strerror}",
                hint="The folder of the stack file must be writable for you.",
            ) from error

    def forget(self) -> None:
        """Remove it: the fleet has ended."""
        self._path.unlink(missing_ok=True)
