"""Seals say whether a secret changed, and nothing else of it."""

from __future__ import annotations

import hashlib
import hmac
from typing import TYPE_CHECKING

import pytest
from backstay.config.loading import load
from backstay.deploy.seals import KEY, sealed
from backstay.errors import StateError

if TYPE_CHECKING:
    from pathlib import Path

    from backstay.config.models import Stack

FILE = """
name: town
secrets: {a: {environment: A}, b: {environment: B}, c: {file: ./c.bin}}
services:
  web: {command: x, secrets: [a, {source: b, target: bee}, c]}
  plain: {command: y}
"""
ENVIRON = {"A": "correct horse", "B": "correct horse"}


@pytest.fixture
def stack(tmp_path: Path) -> Stack:
    (tmp_path / "backstay.yaml").write_text(FILE)
    (tmp_path / "c.bin").write_bytes(b"\xff\x00key store")
    return load([tmp_path / "backstay.yaml"], environ=ENVIRON)


def test_a_seal_changes_with_its_secret_and_only_then(stack: Stack, tmp_path: Path):
    first = sealed(stack, ENVIRON, tmp_path)
    assert sealed(stack, ENVIRON, tmp_path) == first
    second = sealed(stack, ENVIRON | {"A": "battery staple"}, tmp_path)
    assert {name for name in first["web"] if first["web"][name] != second["web"][name]} == {"a"}
    (tmp_path / "c.bin").write_bytes(b"another")
    third = sealed(stack, ENVIRON, tmp_path)
    assert {name for name in first["web"] if first["web"][name] != third["web"][name]} == {"c"}


def test_only_services_that_read_secrets_have_seals_by_the_names_they_read_them_under(
    stack: Stack, tmp_path: Path
):
    seals = sealed(stack, ENVIRON, tmp_path)
    assert {service: set(names) for service, names in seals.items()} == {"web": {"a", "bee", "c"}}


def test_a_seal_tells_nothing_of_its_secret(stack: Stack, tmp_path: Path):
    seals = sealed(stack, ENVIRON, tmp_path)["web"]
    assert seals["a"] != seals["bee"], "not even that two are equal"
    guesses = {
        hashlib.sha256(b"correct horse").hexdigest(),
        hashlib.sha256(b"a\0correct horse").hexdigest(),
        hmac.digest(b"", b"a\0correct horse", "sha256").hex(),
    }
    assert not any(guess.startswith(seals["a"]) for guess in guesses)


def test_the_key_is_its_owner_s_alone_and_another_directory_has_another(stack: Stack, tmp_path: Path):
    first = sealed(stack, ENVIRON, tmp_path / "one")
    assert (tmp_path / "one" / KEY).stat().st_mode & 0o777 == 0o600
    assert sealed(stack, ENVIRON, tmp_path / "two") != first


def test_a_lost_or_damaged_key_is_made_anew(stack: Stack, tmp_path: Path):
    first = sealed(stack, ENVIRON, tmp_path)
    (tmp_path / KEY).write_bytes(b"short")
    assert sealed(stack, ENVIRON, tmp_path) != first


def test_a_key_that_cannot_be_used_is_said(stack: Stack, tmp_path: Path):
    (tmp_path / KEY).mkdir()
    with pytest.raises(StateError, match=r"seal\.key cannot be used"):
        sealed(stack, ENVIRON, tmp_path)


def test_what_is_not_there_is_the_start_s_to_say(stack: Stack, tmp_path: Path):
    assert sealed(stack, {"A": "x"}, tmp_path)["web"]["bee"] == "missing"
