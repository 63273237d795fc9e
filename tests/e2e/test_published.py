"""The example `web`: plain HTTP services behind the gateway of a real fleet, while things go wrong."""

from __future__ import annotations

import json
import os
import shutil
import signal
import socket
import ssl
import subprocess
import urllib.error
import urllib.request
from typing import TYPE_CHECKING, Any

import pytest
import trustme

from tests.conftest import ROOT, FleetFolder, free_port
from tests.e2e.waiting import eventually, gone

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

EXAMPLE = ROOT / "examples" / "web"

pytestmark = pytest.mark.fleet


class Web(FleetFolder):
    """The example without the servers that have to be installed, on ports of the test's own."""

    def __init__(self, folder: Path) -> None:
        super().__init__(folder)
        self.own_port = free_port()
        shutil.copytree(
            EXAMPLE, folder, dirs_exist_ok=True, ignore=shutil.ignore_patterns(".backstay", "*.lock")
        )
        self.text = (folder / "backstay.yaml").read_text().partition("  time:\n")[0]
        self.text = self.text.replace(":7081", f":{self.own_port}")
        self.change("", "")

    def change(self, old: str, new: str, gateway: str = "") -> None:
        """Write the stack file with `old` replaced."""
        listen = f"gateway: {{listen: 127.0.0.1:{self.gateway_port}{gateway}}}\n"
        (self.folder / "backstay.yaml").write_text(self.text.replace(old, new) + "\n" + listen)

    def get(self, url: str, **options: Any) -> Any:
        with urllib.request.urlopen(url, timeout=20, **options) as answer:
            return json.load(answer)

    def shop(self) -> str:
        return str(self.get(f"http://127.0.0.1:{self.gateway_port}/shop/items")["served_by"])

    def own(self) -> str:
        return str(self.get(f"http://127.0.0.1:{self.own_port}/items")["served_by"])


@pytest.fixture
def web(tmp_path: Path) -> Iterator[Web]:
    fleet = Web(tmp_path)
    yield fleet
    fleet.down()


def test_the_example_answers_at_each_of_its_places(web: Web, node: Path) -> None:
    web.run("up", "-d")
    assert {web.shop() for _ in range(20)} == {"shop.1", "shop.2"}
    assert web.own().startswith("shop.")
    by_name = urllib.request.Request(
        f"http://127.0.0.1:{web.gateway_port}/items", headers={"Host": f"shop.localhost:{web.gateway_port}"}
    )
    with urllib.request.urlopen(by_name, timeout=20) as answer:
        assert json.load(answer)["served_by"] == "shop-by-name.1"
    listen = web.folder / "services" / "listen.mjs"
    feed = f"ws://127.0.0.1:{web.gateway_port}/feed"
    heard = subprocess.run([node, listen, feed], capture_output=True, text=True, timeout=30, check=True)
    assert set(heard.stdout.split()) >= {"hello", "0", "1"}


def test_its_own_address_waits_while_the_daemon_is_replaced(web: Web) -> None:
    web.run("up", "-d")
    daemon = web.json("ps")["daemon"]["pid"]
    os.kill(daemon, signal.SIGKILL)
    eventually(lambda: gone(daemon))
    assert web.own().startswith("shop."), "the keeper holds the socket: the request waited in it"
    assert web.json("ps")["daemon"]["pid"] != daemon


def test_an_instance_that_dies_is_left_out_at_once(web: Web) -> None:
    web.run("up", "-d")
    pids = {row["name"]: row["pid"] for row in web.service("shop")["instances"]}
    os.kill(pids["shop.1"], signal.SIGKILL)
    assert all(web.shop() for _ in range(20)), "every request was answered"


def test_a_port_that_is_taken_is_refused_before_anything_changes(web: Web) -> None:
    with socket.create_server(("127.0.0.1", 0)) as stranger:
        taken = stranger.getsockname()[1]
        web.run("up", "-d")
        web.change(f":{web.own_port}", f":{taken}")
        refused = web.run("up", "-d", code=1).stderr
        assert f"`shop` cannot be published at 127.0.0.1:{taken}: the port {taken} is taken" in refused
        assert "hint: " in refused
    assert web.own().startswith("shop."), "it is still where it was"


def test_an_address_moves_and_goes(web: Web) -> None:
    web.run("up", "-d")
    pids = [row["pid"] for row in web.service("shop")["instances"]]
    old, web.own_port = web.own_port, free_port()
    web.change(f":{old}", f":{web.own_port}")
    web.run("up", "-d")
    eventually(lambda: _answers(web.own_port))
    assert web.own().startswith("shop.")
    eventually(lambda: not _answers(old))
    web.change(f", listen: 127.0.0.1:{old}", "")
    web.run("up", "-d")
    eventually(lambda: not _answers(web.own_port))
    assert web.shop().startswith("shop.")
    assert [row["pid"] for row in web.service("shop")["instances"]] == pids, "nothing was restarted for it"


def _answers(port: int) -> bool:
    try:
        socket.create_connection(("127.0.0.1", port), timeout=5).close()
    except ConnectionRefusedError:
        return False
    return True


def test_the_gateways_address_speaks_tls_and_takes_a_renewed_certificate(web: Web) -> None:
    authority = trustme.CA()
    trusted = ssl.create_default_context()
    authority.configure_trust(trusted)

    def issue() -> None:
        certificate = authority.issue_cert("localhost", "127.0.0.1")
        for name, blob in (("key", certificate.private_key_pem), ("cert", certificate.cert_chain_pems[0])):
            blob.write_to_path(web.folder / f"{name}.new")
            (web.folder / f"{name}.new").rename(web.folder / f"{name}.pem")

    def serial() -> str:
        with (
            socket.create_connection(("127.0.0.1", web.gateway_port), timeout=20) as stream,
            trusted.wrap_socket(stream, server_hostname="localhost") as secured,
        ):
            certificate = secured.getpeercert()
            assert certificate is not None
            return str(certificate["serialNumber"])

    issue()
    web.change("", "", ", tls: {certificate: cert.pem, key: key.pem}")
    web.run("up", "-d")
    assert web.json("ps")["gateway"]["url"].startswith("https://")
    items = web.get(f"https://127.0.0.1:{web.gateway_port}/shop/items", context=trusted)
    assert items["served_by"].startswith("shop.")
    base = f"https://127.0.0.1:{web.gateway_port}"
    with urllib.request.urlopen(f"{base}/", context=trusted, timeout=20) as page:
        assert f"  {base}/mcp  " in page.read().decode(), "the page gives addresses that can be clicked on"
    before = serial()
    issue()
    eventually(lambda: serial() != before)
    (web.folder / "key.pem").write_text("no key any more")
    eventually(lambda: "certificate.changed" in web.run("events").stdout)
    serial()
    with pytest.raises(urllib.error.HTTPError, match="400"):
        urllib.request.urlopen(f"http://127.0.0.1:{web.gateway_port}/healthz", timeout=20)
