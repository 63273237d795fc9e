"""What an installer is given: the request, where to put things, whom to tell, and how to run a command."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from backstay.packages import runner
from backstay.packages.failure import explain
from backstay.packages.settings import tool_environment

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from pathlib import Path

    from backstay.packages.request import Request
    from backstay.packages.store import Store

_CHATTER = re.compile(r"^\s*\+ |^npm |^Using Python|^Using CPython|^warning: |^\s*$")


@dataclass(frozen=True, slots=True)
class Job:
    """One request on its way.

    Attributes:
        request: what is to be installed.
        environ: the user's environment.
        store: where it goes.
        progress: is told each step and each line of the installers.
        offline: whether the network is forbidden.
        base: the lock file's directory.
    """

    request: Request
    environ: Mapping[str, str]
    store: Store
    progress: Callable[[str], None]
    base: Path
    offline: bool = False
    env: Mapping[str, str] = field(init=False)

    def __post_init__(self) -> None:
        """Work the installers' environment out once."""
        object.__setattr__(self, "env", tool_environment(self.environ))

    async def run(
        self,
        argv: Sequence[str],
        *,
        step: str,
        cwd: Path,
        env: Mapping[str, str] | None = None,
        stdin: bytes | None = None,
    ) -> str:
        """Run an installer; what it writes to stdout.

        Raises:
            PackageError: it failed; the error says what to try.
        """
        try:
            return await self.attempt(argv, step=step, cwd=cwd, env=env, stdin=stdin)
        except runner.CommandFailed as failed:
            raise self.explain(failed) from failed

    async def attempt(
        self,
        argv: Sequence[str],
        *,
        step: str,
        cwd: Path,
        env: Mapping[str, str] | None = None,
        stdin: bytes | None = None,
    ) -> str:
        """`run` for a caller that looks at the failure itself.

        Raises:
            CommandFailed: it failed.
        """
        return await runner.run(
            argv, step=step, env=env or self.env, cwd=cwd, progress=self._tell, stdin=stdin
        )

    def _tell(self, line: str) -> None:
        """Pass on how far an installer is; what it complains of is kept for the message, if it fails."""
        if not _CHATTER.search(line):
            self.progress(line.strip())

    def explain(self, failed: runner.CommandFailed, versions: tuple[str, ...] = ()) -> Exception:
        """The message for a command that failed."""
        return explain(failed, self.request, self.store.root, versions)
