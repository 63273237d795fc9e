"""`cargo:` and `go:` packages, from a vendored directory and a file proxy."""

from __future__ import annotations

import hashlib
import json
import shutil
import zipfile
from pathlib import Path

import pytest
from backstay.packages import PackageError

from tests.packages.package_user import User, output, said


def crate(user: User, name: str, version: str, *, lock: bool = True, **files: str) -> None:
    """Publish a crate to a directory that stands in for the registry."""
    vendor = user.root / "crates"
    root = vendor / f"{name}-{version}"
    (root / "src").mkdir(parents=True)
    manifest = f"[package]\nname = '{name}'\nversion = '{version}'\nedition = '2021'\n"
    manifest += "[profile.release]\nopt-level = 0\n"
    contents = {
        "Cargo.toml": manifest,
        "src/main.rs": f'fn main() {{ println!("{name} {version}"); }}\n',
        **files,
    }
    if lock:
        contents["Cargo.lock"] = f'version = 3\n\n[[package]]\nname = "{name}"\nversion = "{version}"\n'
    for path, text in contents.items():
        (root / path).parent.mkdir(parents=True, exist_ok=True)
        (root / path).write_text(text)
    sums = {path: hashlib.sha256(text.encode()).hexdigest() for path, text in contents.items()}
    package = hashlib.sha256(json.dumps(sums).encode()).hexdigest()
    (root / ".cargo-checksum.json").write_text(json.dumps({"files": sums, "package": package}))
    home = Path(user.environ["CARGO_HOME"])
    home.mkdir(parents=True, exist_ok=True)
    (home / "config.toml").write_text(
        f"[source.crates-io]\nreplace-with = 'local'\n[source.local]\ndirectory = '{vendor}'\n"
    )


def module(user: User, path: str, version: str, **files: str) -> None:
    """Publish a Go module to a file proxy."""
    root = user.root / "goproxy"
    at = root / path / "@v"
    at.mkdir(parents=True, exist_ok=True)
    mod = f"module {path}\n\ngo 1.21\n"
    (at / f"{version}.info").write_text(json.dumps({"Version": version, "Time": "2026-01-01T00:00:00Z"}))
    (at / f"{version}.mod").write_text(mod)
    with zipfile.ZipFile(at / f"{version}.zip", "w") as archive:
        for name, text in {"go.mod": mod, **files}.items():
            archive.writestr(f"{path}@{version}/{name}", text)
    with (at / "list").open("a") as listed:
        listed.write(f"{version}\n")
    user.environ["GOPROXY"] = f"file://{root}"


def main(text: str) -> str:
    return f'package main\n\nimport "fmt"\n\nfunc main() {{ fmt.Println("{text}") }}\n'


@pytest.mark.skipif(shutil.which("cargo") is None, reason="needs Rust")
class TestCargo:
    async def test_what_starts_is_the_compiled_binary(self, user: User) -> None:
        crate(user, "server", "1.0.0")
        launch = await user.install("cargo:server")
        assert len(launch.argv) == 1
        assert output(launch) == "server 1.0.0"

    async def test_a_second_install_runs_nothing(self, user: User) -> None:
        crate(user, "server", "1.0.0")
        first = await user.install("cargo:server")
        shutil.rmtree(user.root / "crates")
        user.progress.clear()
        assert await user.install("cargo:server", offline=True) == first
        assert user.progress == []

    async def test_the_lock_file_pins_version_and_checksum(self, user: User) -> None:
        crate(user, "server", "1.0.0")
        crate(user, "server", "1.1.0", lock=False)
        await user.install("cargo:server@=1.0.0")
        await user.install("cargo:server")
        packages = json.loads(user.lock_path.read_text())["packages"]
        assert packages["cargo:server@=1.0.0"]["version"] == "1.0.0"
        assert len(packages["cargo:server"]["integrity"]) == 64
        assert packages["cargo:server"]["version"] == "1.1.0"
        # The crate that publishes no lock file has one in ours.
        assert "tree" not in packages["cargo:server@=1.0.0"]
        assert 'name = "server"' in packages["cargo:server"]["tree"]["lock"]

    async def test_a_crate_whose_checksum_changed_is_refused(self, user: User) -> None:
        crate(user, "server", "1.0.0")
        await user.install("cargo:server")
        shutil.rmtree(user.root / "crates")
        shutil.rmtree(user.cache)
        crate(user, "server", "1.0.0", **{"src/main.rs": "fn main() {}\n"})
        with pytest.raises(PackageError) as refused:
            await user.install("cargo:server")
        assert "the registry's checksum is" in said(refused.value)
        assert user.entries() == []

    async def test_a_name_that_does_not_exist_is_said_plainly(self, user: User) -> None:
        crate(user, "server", "1.0.0")
        with pytest.raises(PackageError) as refused:
            await user.install("cargo:sever")
        assert "searched package name: `sever`" in said(refused.value)
        assert refused.value.hint == "check the name: cargo knows no sever"

    async def test_a_source_that_does_not_compile_shows_the_compilers_words(self, user: User) -> None:
        crate(user, "server", "1.0.0", **{"src/main.rs": "fn main() { nonsense }\n"})
        with pytest.raises(PackageError) as refused:
            await user.install("cargo:server")
        assert refused.value.step == "build cargo:server 1.0.0"
        assert "cannot find value `nonsense`" in said(refused.value)

    async def test_with_and_runtime_are_refused(self, user: User) -> None:
        with pytest.raises(PackageError, match="`with:` is for npm and Python packages"):
            await user.install("cargo:server", **{"with": ["mcp<2"]})
        with pytest.raises(PackageError, match="is for npm and Python packages"):
            await user.install("cargo:server", runtime="node>=22")


@pytest.mark.skipif(shutil.which("go") is None, reason="needs Go")
class TestGo:
    async def test_the_main_package_of_a_module_is_built(self, user: User) -> None:
        module(user, "example.com/server", "v1.0.0", **{"main.go": main("served")})
        launch = await user.install("go:example.com/server")
        assert output(launch) == "served"
        assert launch.description == "go:example.com/server v1.0.0"

    async def test_it_is_found_wherever_the_module_keeps_it(self, user: User) -> None:
        module(
            user,
            "example.com/server",
            "v1.0.0",
            **{
                "cmd/server/main.go": main("served"),
                "cmd/tool/main.go": main("tool"),
                "lib.go": "package server\n",
            },
        )
        assert output(await user.install("go:example.com/server")) == "served"
        assert output(await user.install("go:example.com/server", entry="tool")) == "tool"
        assert output(await user.install("go:example.com/server/cmd/tool")) == "tool"

    async def test_a_second_install_runs_nothing(self, user: User) -> None:
        module(user, "example.com/server", "v1.0.0", **{"main.go": main("served")})
        first = await user.install("go:example.com/server")
        shutil.rmtree(user.root / "goproxy")
        user.progress.clear()
        assert await user.install("go:example.com/server", offline=True) == first
        assert user.progress == []

    async def test_the_lock_file_holds_the_sums_of_the_tree(self, user: User) -> None:
        module(user, "example.com/server", "v1.0.0", **{"main.go": main("served")})
        await user.install("go:example.com/server")
        entry = json.loads(user.lock_path.read_text())["packages"]["go:example.com/server"]
        assert entry["integrity"].startswith("h1:")
        assert any(line.startswith("example.com/server v1.0.0 h1:") for line in entry["tree"]["sum"])

    async def test_a_module_that_changed_under_the_lock_is_refused(self, user: User) -> None:
        module(user, "example.com/server", "v1.0.0", **{"main.go": main("served")})
        await user.install("go:example.com/server")
        shutil.rmtree(user.root / "goproxy")
        shutil.rmtree(user.cache)
        module(user, "example.com/server", "v1.0.0", **{"main.go": main("tampered")})
        user.environ["GOPATH"] = str(user.root / "other")
        with pytest.raises(PackageError) as refused:
            await user.install("go:example.com/server")
        assert "serves other bytes than backstay.lock pins" in str(refused.value.hint)

    async def test_a_version_that_does_not_exist_gets_those_that_do(self, user: User) -> None:
        for version in ("v1.0.0", "v1.1.0"):
            module(user, "example.com/server", version, **{"main.go": main("served")})
        with pytest.raises(PackageError) as refused:
            await user.install("go:example.com/server@v1.9.0")
        assert refused.value.hint == "versions of example.com/server that exist: v1.1.0, v1.0.0"

    async def test_a_module_that_is_not_there_is_named(self, user: User) -> None:
        module(user, "example.com/server", "v1.0.0", **{"main.go": main("served")})
        with pytest.raises(PackageError) as refused:
            await user.install("go:example.com/sever")
        assert "example.com/sever" in said(refused.value)
        assert refused.value.hint == "check the name: go knows no example.com/sever"
