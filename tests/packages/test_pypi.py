"""`pypi:` packages, from a directory of wheels that pip's settings point at."""

from __future__ import annotations

import json
import sys
from typing import TYPE_CHECKING

import pytest
from backstay.packages import PackageError

from tests.packages.handmade_wheels import wheel
from tests.packages.package_user import output

if TYPE_CHECKING:
    from tests.packages.package_user import User


def says(text: str) -> str:
    return f"import sys\ndef main(): print({text!r}, *sys.argv[1:])\n"


async def test_what_starts_is_the_environments_python_with_the_console_script(user: User) -> None:
    wheel(user.root / "wheels", "mcp-server-x", "1.0", source=says("hello"))
    launch = await user.install("pypi:mcp-server-x")
    assert [part.rsplit("/", 1)[-1] for part in launch.argv] == ["python", "mcp-server-x"]
    assert output(launch, "world") == "hello world"
    assert launch.description == "pypi:mcp-server-x 1.0"


async def test_a_second_install_runs_nothing_and_needs_no_index(user: User) -> None:
    made = wheel(user.root / "wheels", "server", "1.0")
    first = await user.install("pypi:server")
    made.unlink()
    user.progress.clear()
    assert await user.install("pypi:server", offline=True) == first
    assert user.progress == []


async def test_the_lock_file_pins_the_whole_tree_with_hashes(user: User) -> None:
    wheel(user.root / "wheels", "left", "2.0", scripts={})
    wheel(user.root / "wheels", "server", "1.0", requires=("left>=1",))
    await user.install("pypi:server")
    text = user.lock_path.read_text()
    entry = json.loads(text)["packages"]["pypi:server"]
    assert sorted(entry["tree"]) == ["left==2.0", "server==1.0"]
    assert all(digest.startswith("sha256:") for hashes in entry["tree"].values() for digest in hashes)
    assert entry["runtime"] == {"python": "{}.{}".format(*sys.version_info[:2])}
    assert str(user.root) not in text


async def test_the_newest_that_resolves_is_taken_and_then_stays(user: User) -> None:
    wheels = user.root / "wheels"
    wheel(wheels, "server", "1.0")
    wheel(wheels, "server", "2.0", requires_python=">=3.99")
    assert (await user.install("pypi:server")).description == "pypi:server 1.0"
    wheel(wheels, "server", "1.5")
    assert (await user.install("pypi:server")).description == "pypi:server 1.0"
    assert (await user.install("pypi:server>1")).description == "pypi:server 1.5"


async def test_with_constrains_the_tree(user: User) -> None:
    wheels = user.root / "wheels"
    for version in ("1.9", "2.0"):
        wheel(wheels, "mcp", version, source=f"VERSION = {version!r}\n", scripts={})
    source = "import mcp\ndef main(): print(mcp.VERSION)\n"
    wheel(wheels, "server", "1.0", source=source, requires=("mcp",))
    assert output(await user.install("pypi:server")) == "2.0"
    assert output(await user.install("pypi:server", **{"with": ["mcp<2"]})) == "1.9"
    assert len([name for name in user.entries() if name.startswith("pypi-server")]) == 2


async def test_wheels_that_changed_under_the_lock_are_refused(user: User) -> None:
    wheels = user.root / "wheels"
    wheel(wheels, "server", "1.0")
    await user.install("pypi:server")
    wheel(wheels, "server", "1.0", source="def main(): print('other')\n")
    user.environ["UV_CACHE_DIR"] = str(user.root / "uv")
    other = type(user)(user.root / "other", user.environ)
    other.stack.mkdir(parents=True)
    other.lock_path.write_bytes(user.lock_path.read_bytes())
    with pytest.raises(PackageError) as refused:
        await other.install("pypi:server")
    assert "serves other bytes than backstay.lock pins" in str(refused.value.hint)
    assert other.entries() == []


async def test_the_environment_is_whole_where_it_ends_up(user: User) -> None:
    """It is built elsewhere and moved: nothing in it may name the place where it was built."""
    wheel(user.root / "wheels", "server", "1.0", source="import sys\ndef main(): print(sys.prefix)\n")
    launch = await user.install("pypi:server")
    prefix = output(launch)
    assert prefix.startswith(str(user.cache / "packages"))
    assert launch.argv[0].startswith(prefix)


async def test_an_environment_whose_python_went_away_is_made_again(user: User) -> None:
    wheel(user.root / "wheels", "server", "1.0")
    launch = await user.install("pypi:server")
    entry = next((user.cache / "packages").iterdir())
    marker = json.loads((entry / ".backstay.json").read_text())
    (entry / ".backstay.json").write_text(json.dumps(marker | {"python": "/gone/python"}))
    (entry / "venv" / "bin" / "python").unlink()
    again = await user.install("pypi:server")
    assert again == launch
    assert output(again) == "hello"


async def test_a_name_that_does_not_exist_gets_its_neighbours(user: User) -> None:
    with pytest.raises(PackageError) as refused:
        await user.install("pypi:mcp-server-tme")
    assert str(refused.value.hint).startswith("did you mean pypi:mcp-server-time")


async def test_a_name_of_the_other_registry_is_found_there(user: User) -> None:
    with pytest.raises(PackageError) as refused:
        await user.install("pypi:kubernetes-mcp-server")
    assert "npm:kubernetes-mcp-server" in str(refused.value.hint)


async def test_a_version_that_does_not_exist_gets_those_that_do(user: User) -> None:
    for version in ("1.0", "1.1"):
        wheel(user.root / "wheels", "server", version)
    with pytest.raises(PackageError) as refused:
        await user.install("pypi:server==9")
    assert refused.value.hint == "versions of server that exist: 1.1, 1.0"


async def test_a_package_that_needs_a_newer_python_says_how_to_get_one(user: User) -> None:
    wheel(user.root / "wheels", "server", "1.0", requires_python=">=3.99")
    with pytest.raises(PackageError) as refused:
        await user.install("pypi:server")
    assert refused.value.hint == "add `runtime: python>=3.99` to the server's mcp block"


async def test_a_python_that_is_nowhere_is_named(user: User) -> None:
    with pytest.raises(PackageError) as refused:
        await user.install("pypi:server", runtime="python>=3.99")
    assert refused.value.step == "find a Python >=3.99 for pypi:server"
    assert refused.value.hint == "install a Python >=3.99 and have it on PATH, or change `runtime:`"


async def test_a_library_is_refused(user: User) -> None:
    wheel(user.root / "wheels", "library", "1.0", scripts={})
    with pytest.raises(PackageError) as refused:
        await user.install("pypi:library")
    assert str(refused.value) == "could not find the executable of library: it declares no executable"
    assert user.entries() == []


async def test_the_script_named_like_the_package_is_the_server(user: User) -> None:
    scripts = {"server": "server:main", "server-admin": "server:admin"}
    source = "def main(): print('serving')\ndef admin(): print('administering')\n"
    wheel(user.root / "wheels", "server", "1.0", source=source, scripts=scripts)
    assert output(await user.install("pypi:server")) == "serving"
    assert output(await user.install("pypi:server", entry="server-admin")) == "administering"
    with pytest.raises(PackageError) as refused:
        await user.install("pypi:server", entry="sever")
    assert refused.value.hint == "`entry:` can be server, server-admin"
