"""What more tools and more servers cost: a call by name, and the list of all."""

from __future__ import annotations

import json
import math
import statistics
import time
import urllib.request
from typing import TYPE_CHECKING

from fleet import Backstay
from peer import INITIALIZE
from running import load

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

TOOLS = ((1, 10), (1, 100), (1, 1000), (1, 10_000), (1, 50_000))
SERVERS = ((1, 50), (10, 50), (100, 50), (1000, 50))
"""Numbers of servers, each with so many tools."""
ROUNDS = 5


def growth(folder: Path) -> None:
    """Measure more tools of one server, then more servers: up to 1,000 processes with 50,000 tools in all."""
    for name, sizes in (("tools of one server", TOOLS), ("servers", SERVERS)):
        print(f"\nMore {name}")
        print(
            f"{'servers':>8}{'tools':>8}{'calls/s at 32':>15}{'us CPU a call':>15}{'tools/list ms':>15}"
            f"{'bytes':>12}{'up s':>8}"
        )
        of(folder / name.split()[0], sizes)


def of(folder: Path, sizes: Sequence[tuple[int, int]]) -> None:
    """Measure at several sizes; the exponent is the slope from the first to the last, in logarithms."""
    calls, lists, ups = [], [], []
    for servers, tools in sizes:
        place = folder / f"{servers}-{tools}"
        place.mkdir(parents=True)
        began = time.perf_counter()
        fleet = Backstay(place, "", over="stdio", servers=servers, tools=tools)
        up = time.perf_counter() - began
        fleet.name = f"{servers} servers of {tools} tools"
        try:
            turns = [load(fleet, 32, 1.0).figures for _ in range(ROUNDS)]
            took, length = whole_list(fleet)
        finally:
            fleet.close()
        cpu = statistics.median(turn["cpu_us"] for turn in turns)
        rate = statistics.median(turn["rate"] for turn in turns)
        calls.append(cpu)
        lists.append(took)
        ups.append(up)
        print(
            f"{servers:>8,}{servers * tools:>8,}{rate:>15,.0f}{cpu:>15.1f}{took * 1000:>15.2f}"
            f"{length:>12,}{up:>8.1f}"
        )
    (first_servers, first_tools), (last_servers, last_tools) = sizes[0], sizes[-1]
    span = math.log(last_servers * last_tools / (first_servers * first_tools))
    print(f"growth exponent: {math.log(calls[-1] / calls[0]) / span:.2f} a call, ", end="")
    print(f"{math.log(lists[-1] / lists[0]) / span:.2f} the whole list (linear: 1)", end="")
    more = last_servers / sizes[-2][0]
    print(f", {math.log(ups[-1] / ups[-2]) / math.log(more):.2f} `up`, last step" if more > 1 else "")


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
