"""Loads stack files out of texts, on a machine of a known size."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Protocol

import pytest
from backstay.config import load
from backstay.config.machine import Machine
from backstay.errors import ConfigErrors

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from backstay.config import Service, Stack
    from backstay.config.problems import Problem

MACHINE = Machine(cpus=4, memory=8 * 2**30, gpus=0)


class Load(Protocol):
    """Loads texts as `backstay.yaml`, `2.yaml`, `3.yaml` …"""

    def __call__(self, *texts: str, environ: Mapping[str, str] = {}, **options: Any) -> Stack: ...


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty folder, which is the working directory."""
    folder = tmp_path / "fleet"
    folder.mkdir()
    monkeypatch.chdir(folder)
    return folder


@pytest.fixture
def load_text(folder: Path) -> Load:
    def load_text(*texts: str, environ: Mapping[str, str] = {}, **options: Any) -> Stack:
        files = [
            folder / ("backstay.yaml" if number == 1 else f"{number}.yaml")
            for number in range(1, len(texts) + 1)
        ]
        for file, text in zip(files, texts, strict=True):
            file.write_text(text)
        return load(files, environ=environ, machine=MACHINE, **options)

    return load_text


class Problems(Protocol):
    """Loads texts that are wrong and returns what is wrong with them."""

    def __call__(
        self, *texts: str, environ: Mapping[str, str] = {}, **options: Any
    ) -> tuple[Problem, ...]: ...


@pytest.fixture
def problems(load_text: Load) -> Problems:
    def problems(*texts: str, environ: Mapping[str, str] = {}, **options: Any) -> tuple[Problem, ...]:
        with pytest.raises(ConfigErrors) as caught:
            load_text(*texts, environ=environ, **options)
        return caught.value.problems

    return problems


@pytest.fixture
def service(load_text: Load) -> Any:
    """Loads the body of one service, `s`, and returns it."""

    def service(body: str, **options: Any) -> Service:
        return load_text(f"services:\n  s: {body}\n", **options).services["s"]

    return service
