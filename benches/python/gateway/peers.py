"""What is put before the server: nothing, plain proxies, us, and the MCP proxies that people use today."""

from __future__ import annotations

import contextlib
import json
import os
import resource
import secrets
import shutil
import subprocess
import sys
import time
import urllib.error
import urllib.request
from typing import TYPE_CHECKING

from fleet import Backstay
from peer import Missing, Peer, free_port
from running import MIDDLE, OTHERS, ROOT, TARGET, start, stop

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

ENVIRONMENTS = ROOT / "target" / "bench-peers"


@contextlib.contextmanager
def upstream(*options: str) -> Iterator[str]:
    """The server over HTTP: its URL."""
    server = start([TARGET / "echo", "http", *options], OTHERS)
    assert server.stdout is not None
    try:
        yield server.stdout.readline().strip()
    finally:
        stop(server)


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
            "PLATFORM_ADMIN_EMAIL": "admin@example.com",
            "MCPGATEWAY_UI_ENABLED": "false",
            "MCPGATEWAY_ADMIN_API_ENABLED": "false",
            "SSRF_ALLOW_LOCALHOST": "true",
            "SSRF_ALLOW_PRIVATE_NETWORKS": "true",
            "RATE_LIMITING_ENABLED": "false",
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
        words = ["-m", "mcpgateway.utils.create_jwt_token", "--admin", "--exp", "600"]
        words += ["--username", "admin@example.com", "--secret", secret]
        made = subprocess.run([python, *words], env=environ, cwd=folder, text=True, capture_output=True)
        self.token = made.stdout.strip().rpartition("\n")[2]
        register = {"name": "s", "url": server, "transport": "STREAMABLEHTTP"}
        request = urllib.request.Request(
            f"{at}/gateways",
            json.dumps(register).encode(),
            {"Content-Type": "application/json", "Authorization": f"Bearer {self.token}"},
        )
        try:
            urllib.request.urlopen(request, timeout=60).close()
        except OSError as error:
            said = error.read().decode() if isinstance(error, urllib.error.HTTPError) else ""
            self.close()
            raise Missing(f"the server cannot be registered: {error} {said}") from None
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
