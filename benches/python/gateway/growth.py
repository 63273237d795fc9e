"""What more tools cost: a call by name, and the list of all."""

from __future__ import annotations

import json
import math
import statistics
import time
import urllib.request
from typing import TYPE_CHECKING

from peers import INITIALIZE, Backstay
from running import TARGET, load

if TYPE_CHECKING:
    from pathlib import Path

SIZES = (10, 100, 1000, 10_000, 50_000)
ROUNDS = 5


class Many(Backstay):
    """A fleet of one server with many tools."""

    tools = 1

    def _run(self, *words: str) -> str:
        if words[0] == "up":
            file = self.folder / "backstay.yaml"
            stack = json.loads(file.read_text())
            stack["services"]["s"]["command"] = [str(TARGET / "echo"), "stdio", "--tools", str(self.tools)]
            file.write_text(json.dumps(stack))
        return super()._run(*words)


def growth(folder: Path) -> None:
    """Measure at several sizes; the exponent is the slope from the first to the last, in logarithms."""
    print(f"{'tools':>8}{'calls/s at 32':>15}{'us CPU a call':>15}{'tools/list ms':>15}{'bytes':>12}")
    calls, lists = [], []
    for size in SIZES:
        place = folder / str(size)
        place.mkdir()
        fleet = type("Fleet", (Many,), {"tools": size})(place, "", 0, over="stdio")
        fleet.name = f"{size} tools"
        try:
            fleet.tool = f"s__echo{size - 1}"
            turns = [load(fleet, 32, 1.0).figures for _ in range(ROUNDS)]
            took, length = whole_list(fleet)
        finally:
            fleet.close()
        cpu = statistics.median(turn["cpu_us"] for turn in turns)
        rate = statistics.median(turn["rate"] for turn in turns)
        calls.append(cpu)
        lists.append(took)
        print(f"{size:>8}{rate:>15,.0f}{cpu:>15.1f}{took * 1000:>15.2f}{length:>12,}")
    span = math.log(SIZES[-1] / SIZES[0])
    print(f"growth exponent: {math.log(calls[-1] / calls[0]) / span:.2f} a call, ", end="")
    print(f"{math.log(lists[-1] / lists[0]) / span:.2f} the whole list (linear: 1)")


def whole_list(peer: Backstay) -> tuple[float, int]:
    """The median time of `tools/list`, in seconds, and the length of its answer."""
    headers = {
        "Content-Type": "application/json",
        "Accept": "application/json, text/event-stream",
        "Authorization": f"Bearer {peer.token}",
    }

    def post(message: object, **more: str) -> tuple[bytes, str]:
        data = json.dumps(message).encode()
        request = urllib.request.Request(peer.url, data, {**headers, **more})
        with urllib.request.urlopen(request, timeout=60) as answer:
            return answer.read(), answer.headers.get("Mcp-Session-Id", "")

    _, session = post(INITIALIZE)
    took, length = [], 0
    for number in range(9):
        began = time.perf_counter()
        body, _ = post(
            {"jsonrpc": "2.0", "id": number, "method": "tools/list"}, **{"Mcp-Session-Id": session}
        )
        took.append(time.perf_counter() - began)
        length = len(body)
    return statistics.median(took), length
