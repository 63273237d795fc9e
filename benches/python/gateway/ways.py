"""The gateway's own variations: a feature off, event streams, TLS, HTTP/2, lists of many servers."""

from __future__ import annotations

from typing import TYPE_CHECKING

import trustme
from fleet import Backstay
from peer import Peer

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    Kind = Callable[[Path, str, int], Peer]

FEATURES = {
    "everything on": "",
    "without token": "token",
    "without limits": "limits",
    "without queue": "concurrency",
    "without breaker": "breaker",
    "without ejection": "ejection",
    "without metrics": "metrics",
}
SERVERS, TOOLS = 15, 10
"""Of the list that is put together of many."""


class Direct(Peer):
    """Nothing between."""

    def __init__(self, folder: Path, server: str, delay: int = 0) -> None:
        self.url = server


def features() -> Iterator[tuple[str, Kind]]:
    """One thing off at a time; and an answer looked for in the cache, in vain and not."""

    def without(off: str) -> Kind:
        return lambda folder, server, delay: Backstay(folder, server, delay, over="http", off=off)

    def cached(*options: str) -> Kind:
        def start(folder: Path, server: str, delay: int) -> Peer:
            return Backstay(folder, server, delay, over="http", cache=True).called(*options)

        return start

    for name, off in FEATURES.items():
        yield name, without(off)
    yield "cache, none found", cached("--vary")
    yield "cache, all found", cached()


def ways(events: str) -> Iterator[tuple[str, Kind]]:
    """The plain case, and each other one beside it; `events` is a server that answers by event streams."""

    def plain(*options: str) -> Kind:
        def start(folder: Path, server: str, _: int) -> Peer:
            return Backstay(folder, server, over="http").called(*options)

        return start

    def lists(servers: int, tools: int) -> Kind:
        def start(folder: Path, server: str, _: int) -> Peer:
            fleet = Backstay(folder, server, over="stdio", servers=servers, tools=tools)
            return fleet.called("--method", "tools/list")

        return start

    yield "plain", plain()
    yield "event streams, direct", lambda folder, server, _: Direct(folder, events)
    yield "event streams", lambda folder, server, _: Backstay(folder, events, over="http")
    yield "2026-07-28", plain("--modern")
    yield "TLS", secured()
    yield "TLS, 2026-07-28", secured("--modern")
    yield "HTTP/2", plain("--http2")
    yield "TLS, HTTP/2", secured("--http2")
    for servers, tools in ((1, SERVERS * TOOLS), (SERVERS, TOOLS)):
        yield f"tools/list of {servers} x {tools}", lists(servers, tools)


def secured(*options: str) -> Kind:
    """With a certificate of an authority made for it."""

    def start(folder: Path, server: str, _: int) -> Peer:
        authority = trustme.CA()
        own = authority.issue_cert("127.0.0.1")
        certificate, key, root = folder / "certificate.pem", folder / "key.pem", folder / "ca.pem"
        for part in own.cert_chain_pems:
            part.write_to_path(certificate, append=True)
        own.private_key_pem.write_to_path(key)
        key.chmod(0o600)
        authority.cert_pem.write_to_path(root)
        fleet = Backstay(folder, server, over="http", certificate=(certificate, key))
        return fleet.called("--ca", str(root), *options)

    return start
