"""What is put before the server: nothing, plain proxies, us, and the MCP proxies that people use today."""

from __future__ import annotations

import contextlib
import json
import os
import resource
import secrets
import shutil
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from typing import TYPE_CHECKING, Any, ClassVar

from running import BACKSTAY, MIDDLE, OTHERS, ROOT, TARGET, family, pin, start, stop

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

ENVIRONMENTS = ROOT / "target" / "bench-peers"
INITIALIZE = {
    "jsonrpc": "2.0",
    "id": 0,
    "method": "initialize",
    "params": {
        "protocolVersion": "2025-11-25",
        "capabilities": {},
        "clientInfo": {"name": "bench", "version": "1"},
    },
}


class Missing(Exception):
    """A peer that cannot be had here, and why."""


@contextlib.contextmanager
def upstream(delay: int) -> Iterator[str]:
    """The server over HTTP: its URL."""
    server = start([TARGET / "echo", "http", *(["--delay", str(delay)] if delay else [])], OTHERS)
    assert server.stdout is not None
    try:
        yield server.stdout.readline().strip()
    finally:
        stop(server)


def free_port() -> int:
    """A port that nobody has at the moment."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


class Peer:
    """Something that answers at a URL until it is closed."""

    name = ""
    url = ""
    tool = "echo"
    token: str | None = None
    process: subprocess.Popen[str] | None = None

    def pids(self) -> set[int]:
        """Those whose processor time counts."""
        return family(self.process.pid) if self.process else set()

    def close(self) -> None:
        """End it."""
        if self.process:
            stop(self.process)

    def wait(self, patience: float = 60) -> None:
        """Wait until it answers `initialize`."""
        request = urllib.request.Request(
            self.url,
            data=json.dumps(INITIALIZE).encode(),
            headers={
                "Content-Type": "application/json",
                "Accept": "application/json, text/event-stream",
                **({"Authorization": f"Bearer {self.token}"} if self.token else {}),
            },
        )
        end = time.monotonic() + patience
        while True:
            try:
                with urllib.request.urlopen(request, timeout=10) as answer:
                    if b'"result"' in answer.read():
                        return
                    raise Missing("it answers, but not `initialize`")
            except urllib.error.HTTPError as error:
                why = f"it answers {error.code}"
            except OSError as error:
                why = str(error)
            if time.monotonic() > end:
                self.close()
                raise Missing(f"it does not come up: {why}")
            time.sleep(0.1)  # foreign programs have no common way to say that they are there


class Direct(Peer):
    """Nothing between."""

    def __init__(self, folder: Path, server: str, delay: int) -> None:
        self.url = server


class Bare(Peer):
    """A bare hyper reverse proxy."""

    def __init__(self, folder: Path, server: str, delay: int) -> None:
        self.process = start([TARGET / "proxy", server.split("/")[2]], MIDDLE)
        assert self.process.stdout is not None
        self.url = f"http://{self.process.stdout.readline().strip()}/mcp"


class Nginx(Peer):
    """nginx, one process, no logs, a pool of connections to the server."""

    def __init__(self, folder: Path, server: str, delay: int) -> None:
        if not shutil.which("nginx"):
            raise Missing("not installed (Debian: nginx-light)")
        port = free_port()
        kinds = ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")
        temporary = "".join(f"{kind}_temp_path {folder}/{kind};" for kind in kinds)
        (folder / "nginx.conf").write_text(
            f"daemon off; master_process off; pid {folder}/pid; error_log {folder}/errors;\n"
            "worker_rlimit_nofile 65536; events { worker_connections 32768; }\n"
            f"http {{ access_log off; keepalive_requests 1000000000; tcp_nodelay on; {temporary}\n"
            f"upstream server {{ server {server.split('/')[2]};"
            " keepalive 16384; keepalive_requests 1000000000; }\n"
            f"server {{ listen 127.0.0.1:{port} backlog=4096; location / {{ proxy_pass http://server;"
            ' proxy_http_version 1.1; proxy_set_header Connection ""; } } }\n'
        )
        self.url = f"http://127.0.0.1:{port}/mcp"
        self.process = start(["nginx", "-p", folder, "-c", folder / "nginx.conf"], MIDDLE)
        self.wait()


class Haproxy(Peer):
    """HAProxy with one thread and connection reuse."""

    def __init__(self, folder: Path, server: str, delay: int) -> None:
        if not shutil.which("haproxy"):
            raise Missing("not installed (Debian: haproxy)")
        port = free_port()
        most = min(32768, resource.getrlimit(resource.RLIMIT_NOFILE)[1] // 2 - 100)
        (folder / "haproxy.cfg").write_text(
            f"global\n nbthread 1\n maxconn {most}\n"
            "defaults\n mode http\n timeout connect 5s\n timeout client 120s\n timeout server 120s\n"
            f"frontend in\n bind 127.0.0.1:{port} backlog 4096\n default_backend out\n"
            "backend out\n http-reuse always\n"
            f" server s {server.split('/')[2]} maxconn {most} pool-max-conn {most}\n"
        )
        self.url = f"http://127.0.0.1:{port}/mcp"
        self.process = start(["haproxy", "-q", "-f", folder / "haproxy.cfg"], MIDDLE)
        self.wait()


class Backstay(Peer):
    """A fleet of one server, with all that it has by default, a token, and limits that are never reached."""

    FULL: ClassVar[dict[str, Any]] = {
        "limits": [{"rate": "1000000/s", "per": per} for per in ("client", "tool", "service")],
        "concurrency": {"max": 100_000},
    }

    def __init__(self, folder: Path, server: str, delay: int, *, over: str, off: str = "") -> None:
        self.folder = folder
        self.over = over
        port = free_port()
        traffic = {key: value for key, value in self.FULL.items() if key != off}
        if off in ("breaker", "ejection"):
            traffic[off] = {"disable": True}
        service: dict[str, Any] = {"mcp": {"url": server}, "traffic": traffic}
        if over == "stdio":
            command = [str(TARGET / "echo"), "stdio", *(["--delay", str(delay)] if delay else [])]
            service = {"command": command, "mcp": {"transport": "stdio"}, "traffic": traffic}
        gateway: dict[str, Any] = {"listen": f"127.0.0.1:{port}"}
        if off != "token":
            self.token = secrets.token_hex(16)
            (folder / "token").write_text(self.token)
            (folder / "token").chmod(0o600)
            gateway["token_file"] = "token"
        stack = {"name": "bench", "services": {"s": service}, "gateway": gateway}
        (folder / "backstay.yaml").write_text(json.dumps(stack, indent=1))
        self._run("up", "-d")
        self.url = f"http://127.0.0.1:{port}/mcp"
        self.tool = "s__echo"
        pin(self._processes(), MIDDLE)

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
        return {status["daemon"]["pid"], *servers}

    def pids(self) -> set[int]:
        """The daemon, and the server where it is over stdio."""
        if not hasattr(self, "_pids"):
            self._pids = self._processes()
        return self._pids

    def close(self) -> None:
        """Bring the fleet down."""
        self._run("down")


class FastMcp(Peer):
    """FastMCP's own proxy (PyPI: fastmcp), before the server over HTTP."""

    def __init__(self, folder: Path, server: str, delay: int) -> None:
        python = environment("fastmcp", "fastmcp==4.1.6")
        port = free_port()
        (folder / "proxy.py").write_text(
            "import logging\n"
            "logging.disable(logging.CRITICAL)\n"
            "from fastmcp.server import create_proxy\n"
            f"proxy = create_proxy({server!r}, name='proxy')\n"
            f"proxy.run(transport='http', host='127.0.0.1', port={port}, show_banner=False)\n"
        )
        self.url = f"http://127.0.0.1:{port}/mcp"
        self.process = start([python, folder / "proxy.py"], MIDDLE)
        self.wait()


class McpProxy(Peer):
    """mcp-proxy (PyPI), before the server over stdio."""

    def __init__(self, folder: Path, server: str, delay: int) -> None:
        python = environment("mcp-proxy", "mcp-proxy==0.13.0")
        port = free_port()
        command = [python.parent / "mcp-proxy", "--port", str(port), "--log-level", "ERROR", "--"]
        self.url = f"http://127.0.0.1:{port}/mcp"
        self.process = start([*command, TARGET / "echo", "stdio"], MIDDLE)
        self.wait()


class ContextForge(Peer):
    """IBM's ContextForge (PyPI: mcp-contextforge-gateway), the server registered over its own API."""

    tool = "s-echo"

    def __init__(self, folder: Path, server: str, delay: int) -> None:
        python = environment("contextforge", "mcp-contextforge-gateway==1.0.7.post20260921")
        port, secret = free_port(), secrets.token_hex(32)
        environ = {
            **os.environ,
            "HOST": "127.0.0.1",
            "PORT": str(port),
            "DATABASE_URL": f"sqlite:///{folder}/mcp.db",
            "JWT_SECRET_KEY": secret,
            "AUTH_REQUIRED": "false",
            "MCP_CLIENT_AUTH_ENABLED": "false",
            "MCPGATEWAY_UI_ENABLED": "false",
            "MCPGATEWAY_ADMIN_API_ENABLED": "false",
            "SSRF_ALLOW_LOCALHOST": "true",
            "SSRF_ALLOW_PRIVATE_NETWORKS": "true",
            "CACHE_TYPE": "memory",
            "LOG_LEVEL": "ERROR",
        }
        at = f"http://127.0.0.1:{port}"
        self.process = start(
            [python.parent / "mcpgateway", "--host", "127.0.0.1", "--port", str(port)],
            MIDDLE,
            cwd=folder,
            env=environ,
        )
        self.url = f"{at}/health"
        self._until_up()
        register = {"name": "s", "url": server, "transport": "STREAMABLEHTTP"}
        request = urllib.request.Request(
            f"{at}/gateways", json.dumps(register).encode(), {"Content-Type": "application/json"}
        )
        try:
            urllib.request.urlopen(request, timeout=60).close()
        except OSError as error:
            self.close()
            raise Missing(f"the server cannot be registered: {error}") from None
        self.url = f"{at}/mcp/"
        self.wait()

    def _until_up(self) -> None:
        end = time.monotonic() + 120
        while True:
            try:
                urllib.request.urlopen(self.url, timeout=10).close()
                return
            except OSError as error:
                if time.monotonic() > end or (self.process and self.process.poll() is not None):
                    self.close()
                    raise Missing(f"it does not come up: {error}") from None
                time.sleep(0.2)


def environment(name: str, *packages: str) -> Path:
    """A virtual environment with a peer from PyPI; its Python."""
    folder = ENVIRONMENTS / name
    python = folder / "bin" / "python"
    ready = folder / ".ready"
    if ready.exists() and ready.read_text() == repr(packages):
        return python
    try:
        subprocess.run([sys.executable, "-m", "venv", "--clear", folder], check=True, capture_output=True)
        subprocess.run([python, "-m", "pip", "install", "-q", *packages], check=True, capture_output=True)
    except subprocess.CalledProcessError as error:
        said = error.stderr.decode(errors="replace").strip().splitlines()
        raise Missing(f"cannot be installed: {said[-1] if said else error}") from None
    ready.write_text(repr(packages))
    return python


PEERS: dict[str, Callable[[Path, str, int], Peer]] = {
    "direct": Direct,
    "bare hyper": Bare,
    "nginx": Nginx,
    "haproxy": Haproxy,
    "backstay http": lambda folder, server, delay: Backstay(folder, server, delay, over="http"),
    "backstay stdio": lambda folder, server, delay: Backstay(folder, server, delay, over="stdio"),
    "mcp-proxy": McpProxy,
    "fastmcp": FastMcp,
    "contextforge": ContextForge,
}
FEATURES = [
    ("everything on", ""),
    ("without token", "token"),
    ("without limits", "limits"),
    ("without queue", "concurrency"),
    ("without breaker", "breaker"),
    ("without ejection", "ejection"),
]
