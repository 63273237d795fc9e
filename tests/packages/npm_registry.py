"""An npm registry in a thread: serves the packages a test gives it, and remembers what it was asked for."""

from __future__ import annotations

import base64
import hashlib
import io
import json
import tarfile
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import unquote


class NpmRegistry:
    """Use as a context manager."""

    def __init__(self) -> None:
        self.asked: list[str] = []
        self._packages: dict[str, dict[str, dict[str, Any]]] = {}
        self._tarballs: dict[str, bytes] = {}
        registry = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                path = unquote(self.path).strip("/")
                registry.asked.append(path)
                body = registry._answer(path)
                self.send_response(200 if body is not None else 404)
                self.send_header("content-type", "application/json")
                self.end_headers()
                self.wfile.write(body or b'{"error":"Not found"}')

            def log_message(self, *args: object) -> None:
                """Say nothing."""

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self._server.server_address[1]}/"

    def __enter__(self) -> NpmRegistry:
        threading.Thread(
            target=self._server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True
        ).start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._server.server_close()

    def add(self, name: str, version: str, files: dict[str, str], **manifest: Any) -> None:
        """Publish a package."""
        described = {"name": name, "version": version, **manifest}
        tarball = _tarball({"package.json": json.dumps(described), **files})
        path = f"{name}/-/{name.rsplit('/', 1)[-1]}-{version}.tgz"
        self._tarballs[path] = tarball
        integrity = "sha512-" + base64.b64encode(hashlib.sha512(tarball).digest()).decode()
        scripts = {"hasInstallScript": True} if "install" in str(manifest.get("scripts", "")) else {}
        self._packages.setdefault(name, {})[version] = {
            **described,
            **scripts,
            "dist": {"tarball": f"{self.url}{path}", "integrity": integrity},
        }

    def corrupt(self, name: str, version: str) -> None:
        """Serve other bytes from now on."""
        self._tarballs[f"{name}/-/{name.rsplit('/', 1)[-1]}-{version}.tgz"] = _tarball({"package.json": "{}"})

    def _answer(self, path: str) -> bytes | None:
        if path in self._tarballs:
            return self._tarballs[path]
        versions = self._packages.get(path)
        if versions is None:
            return None
        latest = list(versions)[-1]
        return json.dumps({"name": path, "dist-tags": {"latest": latest}, "versions": versions}).encode()


def _tarball(files: dict[str, str]) -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w:gz") as archive:
        for name, text in files.items():
            info = tarfile.TarInfo(f"package/{name}")
            info.size = len(text.encode())
            info.mode = 0o644
            archive.addfile(info, io.BytesIO(text.encode()))
    return buffer.getvalue()
