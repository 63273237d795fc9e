"""The control API over a real socket, through the client that the command line uses."""

from __future__ import annotations

import asyncio
import json
import socket
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from backstay.api.openapi import document
from backstay.api.reference import description, reference
from backstay.api.routes import OPERATIONS
from backstay.api.server import control_server
from backstay.client import aio
from backstay.client.sockets import CONTROL, short_address
from backstay.config import Stack
from backstay.deploy.status import DeployResult, FleetStatus, ServiceFailure
from backstay.errors import ApiError, BadAnswer, DaemonNotRunning
from openapi_spec_validator import validate

from tests.fake_fleet import FakeFleet

if TYPE_CHECKING:
    from collections.abc import AsyncIterator


@pytest.fixture
def fleet() -> FakeFleet:
    return FakeFleet({"bad": ServiceFailure(reason="exited with code 1", hint="Look at its log.")})


@pytest.fixture
async def api(fleet: FakeFleet, tmp_path: Path) -> AsyncIterator[aio.AsyncControl]:
    # Deeper than `sun_path` is long.
    state = tmp_path / ("d" * 120)
    state.mkdir()
    listener = socket.socket(socket.AF_UNIX)
    with short_address(state / CONTROL) as address:
        listener.bind(address)
    listener.listen()
    server = control_server(fleet)
    serving = asyncio.create_task(server.serve(sockets=[listener]))
    yield aio.AsyncControl(state, timeout=10)
    server.stop()
    await serving


def stack(tmp_path: Path, *names: str) -> dict[str, Any]:
    service = {"command": ["sleep", "1"], "working_dir": str(tmp_path), "restart": "no"}
    services = {name: {"name": name, **service} for name in names}
    given = {"name": "s", "dir": str(tmp_path), "services": services}
    return json.loads(Stack.model_validate(given).model_dump_json())


async def test_up_answers_with_a_deploy_whose_events_can_be_followed(
    api: aio.AsyncControl, tmp_path: Path
) -> None:
    await api.post("/api/up", {"stack": stack(tmp_path, "old")})
    accepted = await api.post("/api/up", {"stack": stack(tmp_path, "web", "bad")})
    kinds = []
    async for event in api.stream(f"/api/events?follow=1&after={accepted['after']}"):
        kinds.append(event["kind"])
        if event["kind"] == "deploy.finished":
            assert event["deploy"] == accepted["deploy"]
            break
    assert kinds == ["deploy.started", "service.state", "service.state", "deploy.finished"]
    result = DeployResult.model_validate(await api.get(f"/api/deploys/{accepted['deploy']}"))
    assert result.failed["bad"].reason == "exited with code 1"


async def test_up_of_some_services_leaves_the_others_as_they_are(
    api: aio.AsyncControl, fleet: FakeFleet, tmp_path: Path
) -> None:
    await api.post("/api/up", {"stack": stack(tmp_path, "a", "b")})
    await api.post("/api/up", {"stack": stack(tmp_path, "b", "c", "d"), "services": ["c"]})
    assert fleet.calls[-1][1] == ["c"]
    assert fleet.wanted is not None
    assert list(fleet.wanted.services) == ["a", "b", "c"]


async def test_status_is_what_ps_prints(api: aio.AsyncControl, tmp_path: Path) -> None:
    await api.post("/api/up", {"stack": stack(tmp_path, "web")})
    await api.post("/api/services/web/scale", {"replicas": 3})
    status = FleetStatus.model_validate(await api.get("/api/status"))
    assert [instance.name for instance in status.services[0].instances] == ["web.1", "web.2", "web.3"]


@pytest.mark.parametrize(
    ("method", "path", "body", "status", "what"),
    [
        ("GET", "/api/nothing", None, 404, "there is nothing at /api/nothing"),
        ("GET", "/api/up", None, 405, "/api/up does not take GET"),
        ("POST", "/api/services/none/start", {}, 404, "there is no service `none`"),
        (
            "POST",
            "/api/services/web/scale",
            {"replicas": -1},
            422,
            "Input should be greater than or equal to 0",
        ),
        ("POST", "/api/services/web/scale", {"replicas": 1, "x": 1}, 422, "Extra inputs are not permitted"),
        ("POST", "/api/up", b"{", 422, "Invalid JSON: EOF while parsing an object at line 1 column 1"),
        ("POST", "/api/up", {"stack": 1}, 422, None),
        ("GET", "/api/events?after=x", None, 422, None),
        ("GET", "/api/events?nonsense=1", None, 422, "Extra inputs are not permitted"),
        ("GET", "/api/logs?service=none", None, 404, "there is no service `none`"),
        ("GET", "/api/deploys/none", None, 404, "there is no deploy `none`"),
    ],
)
async def test_what_is_wrong_with_a_request_is_said(
    api: aio.AsyncControl, tmp_path: Path, method: str, path: str, body: Any, status: int, what: str | None
) -> None:
    await api.post("/api/up", {"stack": stack(tmp_path, "web")})
    with pytest.raises(ApiError) as raised:
        await (api.get(path) if method == "GET" else api.post(path, body))
    assert raised.value.status == status
    assert what is None or str(raised.value) == what


async def test_a_bug_is_answered_without_its_traceback(api: aio.AsyncControl, fleet: FakeFleet) -> None:
    def broken() -> None:
        raise ZeroDivisionError("oh")

    fleet.status = broken  # type: ignore[assignment]
    with pytest.raises(ApiError, match="the daemon has a bug: ZeroDivisionError: oh"):
        await api.get("/api/status")


async def test_a_follower_that_leaves_is_forgotten_though_nothing_happens(
    api: aio.AsyncControl, fleet: FakeFleet, tmp_path: Path
) -> None:
    await api.post("/api/up", {"stack": stack(tmp_path, "web")})
    stream = api.stream("/api/events?follow=1")
    await anext(stream)
    assert fleet.following == 1
    await stream.aclose()
    async with asyncio.timeout(5):
        while fleet.following:
            await asyncio.sleep(0)


async def test_a_stream_that_breaks_is_not_taken_for_its_end(
    api: aio.AsyncControl, fleet: FakeFleet, caplog: pytest.LogCaptureFixture
) -> None:
    async def broken(after: int = 0, *, follow: bool = False) -> AsyncIterator[dict[str, Any]]:
        yield {"seq": 1, "at": 1, "kind": "one"}
        raise ZeroDivisionError

    fleet.events = broken  # type: ignore[assignment]
    with pytest.raises(BadAnswer):
        _ = [event async for event in api.stream("/api/events")]


async def test_no_socket_means_that_the_fleet_is_not_running(tmp_path: Path) -> None:
    with pytest.raises(DaemonNotRunning) as raised:
        await aio.AsyncControl(tmp_path).get("/api/status")
    assert "backstay up" in str(raised.value.hint)


def test_the_description_is_valid_openapi_and_covers_every_operation() -> None:
    described = document("0.0.0")
    validate(described)
    listed = {(method.upper(), path) for path, methods in described["paths"].items() for method in methods}
    assert listed == {(each.method, each.path) for each in OPERATIONS}
    names = [each.name for each in OPERATIONS]
    assert len(names) == len(set(names))


async def test_the_description_is_served(api: aio.AsyncControl) -> None:
    assert (await api.get("/api/openapi.json"))["openapi"] == "3.1.0"


def test_the_reference_pages_are_current() -> None:
    folder = Path(__file__).parents[2] / "docs" / "reference"
    assert (folder / "control-api.md").read_text() == reference(), "run `make docs`"
    assert (folder / "openapi.json").read_text() == description(), "run `make docs`"
