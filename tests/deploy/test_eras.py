"""Which era a server is of is remembered in the lock file, for as long as it is the same server."""

from __future__ import annotations

import asyncio
import json
from typing import TYPE_CHECKING

import pytest
from backstay.config import load
from backstay.deploy.blueprints import Blueprints
from backstay.deploy.build import Launched
from backstay.deploy.eras import Eras, origin
from backstay.deploy.installer import PackageInstaller
from backstay.deploy.routing import RouteTable
from backstay.deploy.simulation import Simulation
from backstay.deploy.state import Revision
from backstay.deploy.wanted import Wanted
from backstay.errors import PackageError
from backstay.packages import LockedPackage, Lockfile

if TYPE_CHECKING:
    from pathlib import Path

    from backstay.config import Service

STACK = """
name: x
services:
  files: {mcp: npm:files}
  own: {command: /usr/bin/node server.js --key s3cret, mcp: {transport: stdio}}
  far: {mcp: "https://user.example/mcp?token=s3cret"}
"""
ONE = Launched(("node", "index.js"), {}, "npm:files 1.0.0")
TWO = Launched(("node", "index.js"), {}, "npm:files 2.0.0")


@pytest.fixture
def services(tmp_path: Path) -> dict[str, Service]:
    (tmp_path / "backstay.yaml").write_text(STACK)
    return dict(load([tmp_path / "backstay.yaml"], environ={}).services)


@pytest.fixture
def installer(tmp_path: Path) -> PackageInstaller:
    installer = PackageInstaller({})
    installer.begin(tmp_path)
    return installer


def kept(tmp_path: Path) -> dict[str, object]:
    return dict(json.loads((tmp_path / "backstay.lock").read_text())["servers"])


async def test_an_era_is_remembered_with_what_runs(
    services: dict[str, Service], installer: PackageInstaller, tmp_path: Path
) -> None:
    eras = Eras(installer)
    assert eras.of(services["files"], ONE) is None
    await eras.found(services["files"], ONE, "modern")
    assert kept(tmp_path) == {"files": {"era": "modern", "of": "npm:files 1.0.0 over stdio"}}
    installer.begin(tmp_path)
    assert eras.of(services["files"], ONE) == "modern"
    assert eras.of(services["files"], TWO) is None, "another version is another server"


async def test_what_others_wrote_meanwhile_stays(
    services: dict[str, Service], installer: PackageInstaller, tmp_path: Path
) -> None:
    others = {"files": {"tools": "sha256-x"}, "old": {"era": "legacy"}}
    pins = {"npm:files": {"kind": "npm", "name": "files", "version": "1.0.0"}}
    text = json.dumps({"version": 1, "servers": others, "packages": pins})
    (tmp_path / "backstay.lock").write_text(text)
    await Eras(installer).found(services["files"], ONE, "legacy")
    assert kept(tmp_path)["files"] == {
        "tools": "sha256-x",
        "era": "legacy",
        "of": "npm:files 1.0.0 over stdio",
    }
    assert json.loads((tmp_path / "backstay.lock").read_text())["packages"].keys() == {"npm:files"}


async def test_a_pin_that_is_saved_later_does_not_forget_eras(
    services: dict[str, Service], installer: PackageInstaller, tmp_path: Path
) -> None:
    await Eras(installer).found(services["files"], ONE, "modern")
    assert installer.lock is not None
    installer.lock.put("npm:files", LockedPackage("npm", "files", "1.0.0"))
    assert installer.lock.save()
    assert "files" in kept(tmp_path)


async def test_the_file_is_written_only_for_news(
    services: dict[str, Service], installer: PackageInstaller, tmp_path: Path
) -> None:
    eras = Eras(installer)
    await eras.found(services["files"], ONE, "modern")
    (tmp_path / "backstay.lock").unlink()
    await eras.found(services["files"], ONE, "modern")
    assert not (tmp_path / "backstay.lock").exists()


async def test_a_lock_file_that_cannot_be_read_stops_nothing(
    services: dict[str, Service], installer: PackageInstaller, tmp_path: Path
) -> None:
    (tmp_path / "backstay.lock").write_text("no lock file")
    eras = Eras(installer)
    await eras.found(services["files"], ONE, "modern")
    assert eras.of(services["files"], ONE) == "modern"


@pytest.mark.parametrize(
    ("service", "said"),
    [
        ("own", "node over stdio"),
        ("far", "https://user.example/mcp over streamable-http"),
    ],
)
def test_what_an_era_belongs_to_names_no_secret(
    services: dict[str, Service], service: str, said: str
) -> None:
    assert origin(services[service], Launched()) == said


async def test_what_is_found_at_the_same_time_is_written_together(
    services: dict[str, Service],
    installer: PackageInstaller,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    written: list[bool] = []
    save = Lockfile.save

    def counted(lock: Lockfile) -> bool:
        written.append(True)
        return save(lock)

    monkeypatch.setattr(Lockfile, "save", counted)
    many = [services["files"].model_copy(update={"name": f"s{number}"}) for number in range(50)]
    await Eras(installer).found(services["own"], Launched(), "legacy")
    await asyncio.gather(*(Eras(installer).found(service, ONE, "modern") for service in many))
    assert set(kept(tmp_path)) == {"own", *(service.name for service in many)}
    assert len(written) == 2, "the first, and all that came before the next writing was due"


async def test_what_could_not_be_written_is_written_with_the_next(
    services: dict[str, Service],
    installer: PackageInstaller,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def fails(lock: Lockfile) -> bool:
        raise PackageError("the disk is full")

    with monkeypatch.context() as full:
        full.setattr(Lockfile, "save", fails)
        await Eras(installer).found(services["files"], ONE, "modern")
    await Eras(installer).found(services["own"], Launched(), "legacy")
    assert set(kept(tmp_path)) == {"files", "own"}


async def test_the_gateway_is_told_where_to_begin(
    services: dict[str, Service], installer: PackageInstaller
) -> None:
    simulation = Simulation()
    simulation.up({"files": Wanted(Revision("files", 0, "x", server=True), 1, frozenset())})
    eras = Eras(installer)
    blueprints = Blueprints.__new__(Blueprints)
    blueprints.eras, blueprints.launched = eras, {("files", 1): ONE}
    blueprints.configs = {("files", 1): services["files"]}
    instance = next(iter(simulation.fleet.services["files"].instances))
    await blueprints.era_found(simulation.fleet, instance, "modern")
    table = RouteTable().of(
        simulation.fleet, None, blueprints.config_of, lambda name: {}, lambda *of: {}, blueprints._era
    )
    assert [upstream.era for upstream in table.servers[0].instances] == ["modern"]
