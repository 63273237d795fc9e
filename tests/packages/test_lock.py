"""backstay.lock: the same pins are the same bytes, and what is not ours in it stays."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from backstay.packages import LockedPackage, Lockfile, PackageError, Request

ONE = LockedPackage("npm", "one", "1.0.0", "sha512-x", {"node_modules/one": {"version": "1.0.0"}})
TWO = LockedPackage("pypi", "two", "2.0", None, {"two==2.0": ["sha256:b", "sha256:a"]}, {"python": "3.11"})


def test_what_was_saved_is_read_back(tmp_path: Path) -> None:
    lock = Lockfile.load(tmp_path / "backstay.lock")
    lock.put("npm:one", ONE)
    lock.put("pypi:two", TWO)
    assert lock.save()
    again = Lockfile.load(tmp_path / "backstay.lock")
    assert again.get("npm:one") == ONE
    assert again.get("pypi:two") == TWO
    assert again.keys() == ["npm:one", "pypi:two"]


def test_the_order_of_resolving_does_not_show(tmp_path: Path) -> None:
    first, second = Lockfile(tmp_path / "a"), Lockfile(tmp_path / "b")
    first.put("npm:one", ONE)
    first.put("pypi:two", TWO)
    second.put("pypi:two", TWO)
    second.put("npm:one", ONE)
    assert first.dump() == second.dump()


def test_nothing_is_written_when_nothing_changed(tmp_path: Path) -> None:
    lock = Lockfile(tmp_path / "backstay.lock")
    lock.put("npm:one", ONE)
    assert lock.save()
    written = lock.path.stat()
    lock = Lockfile.load(lock.path)
    lock.put("npm:one", ONE)
    assert not lock.save()
    assert lock.path.stat().st_mtime_ns == written.st_mtime_ns


def test_what_other_parts_keep_in_the_file_survives(tmp_path: Path) -> None:
    path = tmp_path / "backstay.lock"
    path.write_text(json.dumps({"version": 1, "servers": {"files": {"era": "legacy"}}, "packages": {}}))
    lock = Lockfile.load(path)
    lock.put("npm:one", ONE)
    lock.save()
    assert json.loads(path.read_text())["servers"] == {"files": {"era": "legacy"}}
    assert Lockfile.load(path).section("servers") == {"files": {"era": "legacy"}}


def test_pins_that_nobody_needs_are_dropped(tmp_path: Path) -> None:
    lock = Lockfile(tmp_path / "backstay.lock")
    lock.put("npm:one", ONE)
    lock.put("pypi:two", TWO)
    lock.keep(["pypi:two"])
    assert lock.keys() == ["pypi:two"]


def test_a_half_written_file_never_replaces_a_whole_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    lock = Lockfile(tmp_path / "backstay.lock")
    lock.put("npm:one", ONE)
    lock.save()
    before = lock.path.read_bytes()
    lock.put("pypi:two", TWO)

    def fail(handle: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("os.fsync", fail)
    with pytest.raises(PackageError, match="No space left"):
        lock.save()
    assert lock.path.read_bytes() == before
    assert [path.name for path in tmp_path.iterdir()] == ["backstay.lock"]


@pytest.mark.parametrize(
    "text", ["{", "[]", '{"version": 99}', '{"version": 1, "packages": {"a": {"x": 1}}}', "null"]
)
def test_a_file_that_is_no_lock_file_says_what_to_do(tmp_path: Path, text: str) -> None:
    path = tmp_path / "backstay.lock"
    path.write_text(text)
    with pytest.raises(PackageError) as refused:
        Lockfile.load(path)
    assert str(refused.value).startswith(f"could not read {path}:")
    assert refused.value.hint


@pytest.mark.parametrize(
    ("request_", "key"),
    [
        (Request("npm", "@a/b"), "npm:@a/b"),
        (Request("npm", "@a/b", "^1.2"), "npm:@a/b@^1.2"),
        (Request("pypi", "x", "==1", ("cli",), ("mcp<2", "y")), "pypi:x[cli]==1 with mcp<2, y"),
        (Request("go", "example.com/m", "v1.0.0", entry="tool"), "go:example.com/m@v1.0.0 entry tool"),
        (Request("pypi", "x", runtime="python>=3.12"), "pypi:x on python>=3.12"),
        (Request("path", "/stack/servers/a"), "path:./servers/a"),
        (Request("path", "/stack"), "path:."),
        (Request("path", "/elsewhere/a"), "path:../elsewhere/a"),
    ],
)
def test_a_request_is_named_the_same_on_every_machine(request_: Request, key: str) -> None:
    assert request_.key(Path("/stack")) == key
