"""Backstay as the bench puts it before servers: a fleet with everything on, or one thing off."""

from __future__ import annotations

import json
import secrets
import subprocess
from typing import TYPE_CHECKING, Any, ClassVar

from peer import Missing, Peer, free_port
from running import BACKSTAY, MIDDLE, TARGET, pin

if TYPE_CHECKING:
    from pathlib import Path


class Backstay(Peer):
    """A fleet with all that it has by default, a token, and limits that are never reached."""

    TRAFFIC: ClassVar[dict[str, Any]] = {
        "limits": [{"rate": "1000000/s", "per": per} for per in ("client", "tool", "service")],
        "concurrency": {"max": 100_000},
    }

    def __init__(
        self,
        folder: Path,
        server: str,
        delay: int = 0,
        *,
        over: str,
        off: str = "",
        servers: int = 1,
        tools: int = 1,
        cache: bool = False,
        certificate: tuple[Path, Path] | None = None,
    ) -> None:
        """Bring up `servers` servers of `tools` tools each over `over`, without the feature `off`."""
        self.folder = folder
        if over == "stdio":
            options = [*(["--delay", str(delay)] if delay else []), "--tools", str(tools)]
            server_key = {
                "command": [str(TARGET / "echo"), "stdio", *options],
                "mcp": {"transport": "stdio"},
            }
        else:
            server_key = {"mcp": {"url": server}}
        traffic = {key: value for key, value in self.TRAFFIC.items() if key != off}
        if off in ("breaker", "ejection"):
            traffic[off] = {"disable": True}
        service = {**server_key, "traffic": traffic}
        if cache:
            service["cache"] = {"tools": ["echo*"]}
        port = free_port()
        gateway: dict[str, Any] = {"listen": f"127.0.0.1:{port}"}
        if off != "token":
            self.token = secrets.token_hex(16)
            (folder / "token").write_text(self.token)
            (folder / "token").chmod(0o600)
            gateway["token_file"] = "token"
        if certificate:
            gateway["tls"] = dict(zip(("certificate", "key"), map(str, certificate), strict=True))
        names = ["s"] if servers == 1 else [f"s{number}" for number in range(servers)]
        stack = {"name": "bench", "services": dict.fromkeys(names, service), "gateway": gateway}
        (folder / "backstay.yaml").write_text(json.dumps(stack, indent=1))
        self._run("up", "-d")
        self.url = f"{'https' if certificate else 'http'}://127.0.0.1:{port}/mcp"
        self.tool = f"{names[-1]}__echo{tools - 1 or ''}"
        self._pids = self._processes()
        pin(self._pids, MIDDLE)

    def _run(self, *words: str) -> str:
        done = subprocess.run(
            [BACKSTAY, *words], cwd=self.folder, text=True, capture_output=True, check=False
        )
        if done.returncode:
            raise Missing(done.stderr.strip())
        return done.stdout

    def _processes(self) -> set[int]:
        status = json.loads(self._run("ps", "--json"))
        servers = {i["pid"] for s in status["services"] for i in s["instances"] if i["pid"]}
        self.daemon = int(status["daemon"]["pid"])
        return {self.daemon, *servers}

    def pids(self) -> set[int]:
        """The daemon, and the servers where they are over stdio."""
        return self._pids

    def close(self) -> None:
        """Bring the fleet down."""
        self._run("down")
