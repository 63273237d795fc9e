"""Logs: read back in order, followed without polling, also where a file is put aside."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from backstay.deploy.logs import parse_line, read_logs, tail_of

if TYPE_CHECKING:
    from pathlib import Path


def write(folder: Path, name: str, *lines: str, mode: str = "a") -> None:
    with (folder / name).open(mode) as file:
        file.writelines(f"{line}\n" for line in lines)


def line(second: int, text: str, stream: str = "out") -> str:
    return f"2026-11-23T14:51:{second:02}.000Z {stream} {text}"


async def collect(folder: Path, *services: str, tail: int | None = None) -> list[str]:
    ended = asyncio.Event()
    lines = read_logs(folder, services, follow=False, tail=tail, ended=ended)
    return [f"{each.instance}: {each.line}" async for each in lines]


def test_a_line_is_read_with_its_time_and_stream():
    parsed = parse_line("files.1", b"2026-11-23T14:51:52.123Z err it broke: why\n")
    assert (parsed.service, parsed.stream, parsed.line) == ("files", "stderr", "it broke: why")
    assert parsed.at is not None
    assert round(parsed.at % 60, 3) == 52.123


def test_a_line_that_is_not_ours_is_given_as_it_is():
    parsed = parse_line("files.1", b"\xff half a line\n")
    assert parsed.at is None
    assert parsed.line == "\N{REPLACEMENT CHARACTER} half a line"


async def test_lines_of_all_instances_come_by_time(tmp_path: Path):
    write(tmp_path, "api.1.log", line(1, "a"), line(4, "d"))
    write(tmp_path, "db.1.log", line(2, "b"), line(3, "c"))
    write(tmp_path, "daemon.log", line(2, "not an instance's"))
    assert await collect(tmp_path) == ["api.1: a", "db.1: b", "db.1: c", "api.1: d"]
    assert await collect(tmp_path, "db") == ["db.1: b", "db.1: c"]
    assert await collect(tmp_path, tail=1) == ["db.1: c", "api.1: d"]


async def test_files_that_were_put_aside_come_first(tmp_path: Path):
    write(tmp_path, "api.1.log.2", line(1, "oldest"))
    write(tmp_path, "api.1.log.1", line(2, "older"))
    write(tmp_path, "api.1.log", line(3, "newest"))
    assert await collect(tmp_path) == ["api.1: oldest", "api.1: older", "api.1: newest"]
    assert tail_of(tmp_path, "api.1", 2) == "older\nnewest"


async def test_there_may_be_no_log_at_all(tmp_path: Path):
    assert await collect(tmp_path) == []
    assert tail_of(tmp_path, "api.1") == ""


class Follower:
    """Follows in the background and gives one line at a time."""

    def __init__(self, folder: Path) -> None:
        self.ended = asyncio.Event()
        self.lines = read_logs(folder, (), follow=True, tail=None, ended=self.ended)

    async def next(self) -> str:
        return (await asyncio.wait_for(anext(self.lines), 10)).line


async def test_new_lines_are_followed(tmp_path: Path):
    write(tmp_path, "api.1.log", line(1, "first"))
    follower = Follower(tmp_path)
    assert await follower.next() == "first"
    write(tmp_path, "api.1.log", line(2, "second"))
    assert await follower.next() == "second"
    write(tmp_path, "new.1.log", line(3, "of a new instance"))
    assert await follower.next() == "of a new instance"
    follower.ended.set()
    assert [each async for each in follower.lines] == []


async def test_no_line_is_lost_or_given_twice_when_a_file_is_put_aside(tmp_path: Path):
    write(tmp_path, "api.1.log", line(1, "0"))
    follower = Follower(tmp_path)
    assert await follower.next() == "0"
    for number in range(1, 8):
        write(tmp_path, "api.1.log", line(1, f"{number} before"))
        (tmp_path / "api.1.log").rename(tmp_path / "api.1.log.1")
        write(tmp_path, "api.1.log", line(1, f"{number} after"))
        assert await follower.next() == f"{number} before"
        assert await follower.next() == f"{number} after"
    follower.ended.set()


async def test_half_a_line_waits_for_its_other_half(tmp_path: Path):
    write(tmp_path, "api.1.log", line(1, "whole"))
    follower = Follower(tmp_path)
    assert await follower.next() == "whole"
    with (tmp_path / "api.1.log").open("a") as file:
        file.write("2026-11-23T14:51:02.000Z out ha")
        file.flush()
        pending = asyncio.ensure_future(follower.next())
        file.write("lf\n")
        file.flush()
        assert await pending == "half"
    follower.ended.set()
