"""`path:` packages: projects on disk in four languages, offline."""

from __future__ import annotations

import json
import shutil
import subprocess
from typing import TYPE_CHECKING

import pytest
from backstay.packages import PackageError, tools

from tests.packages.handmade_wheels import wheel
from tests.packages.package_user import User, output, said

if TYPE_CHECKING:
    from pathlib import Path

    from tests.packages.npm_registry import NpmRegistry

BACKEND = """
import base64, hashlib, zipfile
from pathlib import Path

def build_wheel(directory, config_settings=None, metadata_directory=None):
    source = Path("server.py").read_text()
    info = "server-0.3.dist-info"
    files = {
        "server.py": source,
        f"{info}/METADATA": "Metadata-Version: 2.1\\nName: server\\nVersion: 0.3\\n",
        f"{info}/WHEEL": "Wheel-Version: 1.0\\nGenerator: t\\nRoot-Is-Purelib: true\\nTag: py3-none-any\\n",
        f"{info}/entry_points.txt": "[console_scripts]\\nserver = server:main\\n",
    }
    record = "".join(
        f"{name},sha256={base64.urlsafe_b64encode(hashlib.sha256(text.encode()).digest()).rstrip(b'=').decode()},"
        f"{len(text.encode())}\\n"
        for name, text in files.items()
    )
    name = "server-0.3-py3-none-any.whl"
    with zipfile.ZipFile(Path(directory) / name, "w") as archive:
        for path, text in {**files, f"{info}/RECORD": record + f"{info}/RECORD,,\\n"}.items():
            archive.writestr(path, text)
    return name
"""


def write(root: Path, **files: str) -> Path:
    for name, text in files.items():
        path = root / name.replace("__", "/").replace("_dot_", ".")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return root


@pytest.fixture
def python_project(user: User) -> Path:
    project = "[project]\nname = 'server'\nversion = '0.3'\ndependencies = ['left>=1']\n"
    project += "requires-python = '>=3.11'\n"
    project += "[project.scripts]\nserver = 'server:main'\n"
    project += "[build-system]\nrequires = []\nbuild-backend = 'backend'\nbackend-path = ['.']\n"
    source = "import left\ndef main(): print('python', left.__name__)\n"
    wheel(user.root / "wheels", "left", "1.0", source="", scripts={})
    return write(
        user.stack / "server", pyproject_dot_toml=project, backend_dot_py=BACKEND, server_dot_py=source
    )


@pytest.fixture
def node_project(user: User) -> Path:
    described = {
        "name": "server",
        "version": "0.2.0",
        "bin": "dist/cli.js",
        "scripts": {"build": "node build.js"},
    }
    build = "require('fs').cpSync('src/cli.js', 'dist/cli.js')"
    return write(
        user.stack / "server",
        package_dot_json=json.dumps(described),
        build_dot_js=build,
        src__cli_dot_js="#!/usr/bin/env node\nconsole.log('node')\n",
    )


@pytest.fixture
def rust_project(user: User) -> Path:
    return write(
        user.stack / "server",
        Cargo_dot_toml="[package]\nname = 'server'\nversion = '0.4.0'\nedition = '2021'\n[workspace]\n"
        "[profile.release]\nopt-level = 0\n",
        src__main_dot_rs='fn main() { println!("rust"); }\n',
    )


@pytest.fixture
def go_project(user: User) -> Path:
    return write(
        user.stack / "server",
        go_dot_mod="module example.com/server\n\ngo 1.21\n",
        main_dot_go='package main\n\nfunc main() { println("go") }\n',
    )


def left_in(project: Path, before: set[str]) -> set[str]:
    return {str(path.relative_to(project)) for path in project.rglob("*")} - before


def listing(project: Path) -> set[str]:
    return {str(path.relative_to(project)) for path in project.rglob("*")}


async def test_a_python_project_runs_in_an_environment_of_its_own(user: User, python_project: Path) -> None:
    before = listing(python_project)
    launch = await user.install("path:./server")
    assert output(launch) == "python left"
    assert launch.description == "path:server 0.3"
    assert json.loads(user.lock_path.read_text())["packages"]["path:./server"]["tree"].keys() == {"left==1.0"}
    assert left_in(python_project, before) == set()


async def test_a_node_project_is_built_from_a_copy(user: User, node_project: Path) -> None:
    before = listing(node_project)
    launch = await user.install("path:./server")
    assert output(launch) == "node"
    assert [part.rsplit("/", 1)[-1] for part in launch.argv] == ["node", "cli.js"]
    assert left_in(node_project, before) == set()


@pytest.mark.skipif(shutil.which("cargo") is None, reason="needs Rust")
async def test_a_rust_project_is_the_binary_itself(user: User, rust_project: Path) -> None:
    launch = await user.install("path:./server")
    assert output(launch) == "rust"
    assert len(launch.argv) == 1
    assert not (rust_project / "target").exists()


@pytest.mark.skipif(shutil.which("go") is None, reason="needs Go")
async def test_a_go_project_is_the_binary_itself(user: User, go_project: Path) -> None:
    before = listing(go_project)
    launch = await user.install("path:./server")
    assert len(launch.argv) == 1
    assert launch.argv[0].endswith("/bin/server")
    output(launch)
    assert left_in(go_project, before) == set()


async def test_a_project_is_built_again_only_when_it_changed(user: User, python_project: Path) -> None:
    first = await user.install("path:./server")
    user.progress.clear()
    assert await user.install("path:./server", offline=True) == first
    assert user.progress == []
    (python_project / "server.py").write_text("def main(): print('changed')\n")
    (python_project / "__pycache__").mkdir()
    second = await user.install("path:./server")
    assert output(second) == "changed"
    assert output(first) == "python left"  # what runs of the old one is not pulled away from under it


async def test_dependencies_stay_pinned_while_the_source_changes(user: User, python_project: Path) -> None:
    await user.install("path:./server")
    wheel(user.root / "wheels", "left", "1.1", source="", scripts={})
    (python_project / "server.py").write_text("def main(): print('changed')\n")
    await user.install("path:./server")
    assert "left==1.0" in user.lock_path.read_text()
    declared = (python_project / "pyproject.toml").read_text().replace("left>=1", "left>=1.1")
    (python_project / "pyproject.toml").write_text(declared)
    await user.install("path:./server")
    assert "left==1.1" in user.lock_path.read_text()


async def test_a_build_that_fails_shows_its_last_lines(user: User, node_project: Path) -> None:
    (node_project / "build.js").write_text("console.error('line 7: oh no'); process.exit(1)")
    with pytest.raises(PackageError) as failed:
        await user.install("path:./server")
    assert failed.value.step == f"build path:{node_project}"
    assert "line 7: oh no" in failed.value.tail
    assert user.entries() == []


async def test_a_directory_that_is_not_there_gets_its_neighbour(user: User, node_project: Path) -> None:
    with pytest.raises(PackageError) as refused:
        await user.install("path:./sever")
    assert refused.value.hint == f"did you mean {node_project}?"


async def test_a_directory_without_a_project_file_says_what_it_looks_for(user: User) -> None:
    (user.stack / "empty").mkdir()
    with pytest.raises(PackageError) as refused:
        await user.install("path:./empty")
    assert "holds none of pyproject.toml, package.json, Cargo.toml, go.mod" in said(refused.value)


async def test_a_broken_project_file_is_named_with_its_line(user: User, python_project: Path) -> None:
    (python_project / "pyproject.toml").write_text("[project\n")
    with pytest.raises(PackageError) as refused:
        await user.install("path:./server")
    assert "line 1" in said(refused.value)
    assert refused.value.hint == "correct pyproject.toml"


async def test_a_go_project_with_several_programs_asks_for_an_entry(user: User, go_project: Path) -> None:
    (go_project / "main.go").unlink()
    write(
        go_project,
        cmd__one__main_dot_go='package main\n\nfunc main() { println("one") }\n',
        cmd__two__main_dot_go='package main\n\nfunc main() { println("two") }\n',
    )
    with pytest.raises(PackageError) as refused:
        await user.install("path:./server")
    assert refused.value.hint == "add `entry:` to the mcp block, one of one, two"
    assert (await user.install("path:./server", entry="two")).argv[0].endswith("/bin/two")


async def test_a_path_dependency_is_part_of_a_rust_projects_source(user: User, rust_project: Path) -> None:
    manifest = "[package]\nname = 'word'\nversion = '0.1.0'\nedition = '2021'\n"
    write(
        user.stack / "word",
        Cargo_dot_toml=manifest,
        src__lib_dot_rs='pub fn word() -> &\'static str { "one" }\n',
    )
    described = (rust_project / "Cargo.toml").read_text() + "[dependencies]\nword = { path = '../word' }\n"
    (rust_project / "Cargo.toml").write_text(described)
    (rust_project / "src" / "main.rs").write_text('fn main() { println!("{}", word::word()); }\n')
    assert output(await user.install("path:./server")) == "one"
    (user.stack / "word" / "src" / "lib.rs").write_text('pub fn word() -> &\'static str { "two" }\n')
    assert output(await user.install("path:./server")) == "two"


async def test_a_projects_own_uv_lock_is_the_truth(user: User, python_project: Path) -> None:
    environ = {**user.environ, "UV_FIND_LINKS": str(user.root / "wheels")}
    subprocess.run([tools.uv(), "lock", "--quiet", "--no-index"], cwd=python_project, env=environ, check=True)
    wheel(user.root / "wheels", "left", "1.1", source="", scripts={})
    launch = await user.install("path:./server")
    assert output(launch) == "python left"
    tree = json.loads(user.lock_path.read_text())["packages"]["path:./server"]["tree"]
    assert list(tree) == ["left==1.0"]
    assert not (python_project / ".venv").exists()


async def test_a_projects_own_package_lock_is_the_truth(
    user: User, npm: NpmRegistry, node_project: Path
) -> None:
    npm.add("left", "1.0.0", {"index.js": "module.exports = 'one'"})
    described = json.loads((node_project / "package.json").read_text()) | {"dependencies": {"left": "^1"}}
    (node_project / "package.json").write_text(json.dumps(described))
    (node_project / "src" / "cli.js").write_text("console.log(require('left'))\n")
    environ = user.environ
    subprocess.run(
        ["npm", "install", "--package-lock-only", "--silent"], cwd=node_project, env=environ, check=True
    )
    npm.add("left", "1.1.0", {"index.js": "module.exports = 'two'"})
    assert output(await user.install("path:./server")) == "one"
    assert "tree" not in json.loads(user.lock_path.read_text())["packages"]["path:./server"]
