"""`traffic:` from the stack file to what a client is told: the example of the guide, run."""

from __future__ import annotations

import json
import os
import re
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.request import urlopen

import pytest

if TYPE_CHECKING:
    from tests.conftest import FleetFolder

pytestmark = pytest.mark.fleet

GUIDE = (Path(__file__).parents[2] / "docs/guide/limits.md").read_text()


@pytest.fixture
def example(fleet_folder: FleetFolder, python_server: list[str]) -> FleetFolder:
    """The fleet of the guide, with a server that is here."""
    text = re.findall(r"```yaml\n(.*?)```", GUIDE, re.DOTALL)[0]
    text = text.replace("python server.py", json.dumps(python_server))
    text = text.replace("gateway:\n", "gateway:\n  listen: 127.0.0.1:0\n")
    (fleet_folder.folder / "backstay.yaml").write_text(text)
    fleet_folder.run("up", "-d")
    return fleet_folder


def test_a_limit_says_when_to_come_back_and_changing_it_restarts_nothing(example: FleetFolder) -> None:
    for _ in range(3):
        assert "hello" in example.run("call", "notes", "echo", "text=hello").stdout
    said = example.run("call", "notes", "echo", "text=hello", code=1).stderr
    shown = re.search(r"error: (.* for `echo`); come back in \d+ s", GUIDE)
    assert shown is not None
    assert shown[1] in said
    before = example.service("notes")["instances"][0]["pid"]
    file = example.folder / "backstay.yaml"
    file.write_text(file.read_text().replace("3/h", "100/h"))
    example.run("up", "-d")
    assert "hello" in example.run("call", "notes", "echo", "text=hello").stdout
    assert example.service("notes")["instances"][0]["pid"] == before
    assert 'backstay_calls_refused_total{service="notes",reason="limit"} 1' in metrics(example)


def test_a_tool_that_does_not_answer_is_refused_at_once_and_events_say_so(example: FleetFolder) -> None:
    gate = example.folder / "gate"
    os.mkfifo(gate)
    for _ in range(2):
        said = example.run("call", "notes", "hold", f"path={gate}", code=1).stderr
        assert "did not answer" in said
    refused = example.run("call", "notes", "hold", f"path={gate}", code=1).stderr
    assert "tool `hold` of server `notes` failed too often and rests" in refused
    assert "\nnotes.1: the breaker for `hold` is open; a call may try it in " in example.run("ps").stdout
    assert "breaker.opened" in example.run("events").stdout
    assert 'backstay_breakers{service="notes",state="open"} 1' in metrics(example)


def metrics(fleet: FleetFolder) -> str:
    url = fleet.json("ps")["gateway"]["url"]
    with urlopen(url.removesuffix("/mcp") + "/metrics") as answer:
        return str(answer.read().decode())
