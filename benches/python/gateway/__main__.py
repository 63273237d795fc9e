"""What the gateway costs beside what people put before MCP servers today, in whole processes.

    python benches/python/gateway [PEER ...] [--sessions N,N] [--seconds S] [--rounds N] [--json FILE]

The same `tools/call` of 200 bytes, from the same load generator, to the same server, through each peer in
turn, round after round. The peer has one core, the load generator and the server over HTTP another; the
processor time is that of the peer, a server over stdio included. Without names: all peers that are installed
or can be. `--rate` and `--delay` have calls come at a rate (open loop) and answers take their time.

`--features` switches off one thing of the gateway's at a time; `--ways` has event streams, TLS, HTTP/2 and
lists of many servers beside the plain case; `--growth` serves more and more tools, and servers; `--memory`
opens sessions; `--soak` calls for so many seconds, and ends with 1 where memory grew or a call failed.
"""

from __future__ import annotations

import argparse
import json
import re
import statistics
import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

from growth import growth
from memory import memory
from peer import Missing
from peers import PEERS, upstream
from running import Load, build, load
from soak import soak
from ways import features, ways

if TYPE_CHECKING:
    from collections.abc import Iterator

    from peer import Peer

SESSIONS = (1, 32, 256)
SLOW = {"fastmcp", "mcp-proxy", "contextforge"}
"""Peers that are asked for fewer sessions and once only: more would take hours and change no digit."""


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("peers", nargs="*", metavar="PEER", help=f"of {', '.join(PEERS)}")
    parser.add_argument("--sessions", default=",".join(map(str, SESSIONS)), help="how many, by commas")
    parser.add_argument("--seconds", type=float, default=2.0, help="of each turn")
    parser.add_argument("--rounds", type=int, default=5, help="turns of each peer")
    parser.add_argument("--rate", type=float, help="calls a second, due whether others are answered or not")
    parser.add_argument("--delay", type=int, default=0, help="milliseconds that the server takes")
    parser.add_argument("--features", action="store_true", help="what each feature of the gateway costs")
    parser.add_argument("--ways", action="store_true", help="event streams, TLS, HTTP/2, lists")
    parser.add_argument("--memory", action="store_true", help="what sessions take of it")
    parser.add_argument("--growth", action="store_true", help="what more servers and tools cost")
    parser.add_argument("--soak", type=float, metavar="S", help="call for so long; memory must stay flat")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the figures there too")
    options = parser.parse_args()
    unknown = set(options.peers) - set(PEERS)
    if unknown:
        parser.error(f"no peer is called {', '.join(sorted(unknown))}; there are {', '.join(PEERS)}")
    build()
    with tempfile.TemporaryDirectory(prefix="backstay-bench-") as folder:
        if options.growth:
            growth(Path(folder))
            return
        if options.soak:
            with upstream() as server:
                sys.exit(0 if soak(Path(folder), server, options.soak) else 1)
        if options.memory:
            memory(Path(folder))
            return
        figures = list(measure(Path(folder), options))
    if options.json:
        options.json.write_text(json.dumps(figures, indent=1) + "\n")


def measure(folder: Path, options: argparse.Namespace) -> Iterator[dict[str, object]]:
    """Measure every peer at every number of sessions, and print each line when it is known."""
    delayed = ["--delay", str(options.delay)] if options.delay else []
    with upstream(*delayed) as server, upstream("--events") as events:
        peers = started(folder, server, events, options)
        try:
            head = ("", "sessions", "calls/s", "p50 ms", "p99 ms", "us CPU a call", "x nginx", "failed")
            print("{:<22}{:>9}{:>10}{:>9}{:>9}{:>15}{:>9}{:>8}".format(*head))
            for sessions in map(int, options.sessions.split(",")):
                yield from at(sessions, peers, options)
                print()
        finally:
            for peer in peers:
                peer.close()


def started(folder: Path, server: str, events: str, options: argparse.Namespace) -> list[Peer]:
    """Start the peers that can be."""
    if options.features:
        kinds = list(features())
    elif options.ways:
        kinds = list(ways(events))
    else:
        kinds = [(name, PEERS[name]) for name in options.peers or PEERS]
    found: list[Peer] = []
    for name, kind in kinds:
        place = folder / re.sub(r"\W+", "-", name)
        place.mkdir()
        try:
            peer = kind(place, server, options.delay)
        except Missing as why:
            print(f"{name}: {why}")
            continue
        peer.name = name
        found.append(peer)
    return found


def at(sessions: int, peers: list[Peer], options: argparse.Namespace) -> Iterator[dict[str, object]]:
    """Give each peer its turns with so many sessions; its medians, beside nginx in the same rounds."""
    rounds: list[dict[str, Load]] = []
    for number in range(options.rounds):
        turn = {}
        for peer in peers:
            if peer.name in SLOW and (number > 0 or sessions > 256):
                continue
            seconds = options.seconds if peer.name not in SLOW else max(options.seconds, 5.0)
            turn[peer.name] = load(peer, sessions, seconds, options.rate)
        rounds.append(turn)
    for peer in peers:
        turns = [turn[peer.name] for turn in rounds if peer.name in turn]
        if not turns:
            continue
        of = {key: statistics.median(turn.figures[key] for turn in turns) for key in turns[0].figures}
        beside = [
            turn[peer.name].figures["cpu_us"] / turn["nginx"].figures["cpu_us"]
            for turn in rounds
            if peer.name in turn and "nginx" in turn and turn["nginx"].figures["cpu_us"]
        ]
        ratio = statistics.median(beside) if beside else 0.0
        print(
            f"{peer.name:<22}{sessions:>9}{of['rate']:>10,.0f}{of['p50_us'] / 1000:>9.2f}"
            f"{of['p99_us'] / 1000:>9.2f}{of['cpu_us']:>15.1f}{f'{ratio:.2f}' if ratio else '':>9}"
            f"{of['failed']:>8.0f}"
        )
        yield {"peer": peer.name, "sessions": sessions, "x_nginx": ratio, **of}


if __name__ == "__main__":
    main()
