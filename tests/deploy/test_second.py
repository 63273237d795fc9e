"""The address of the second level: templates filled in, and a secret that cannot break out of its place."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from backstay.config.models.cache import SecondLevel
from backstay.config.models.stack import Secret
from backstay.deploy.second import second_url

PORTS = {"redis": {"main": 30001}}


def stack(url: str | None) -> Any:
    """As much of a stack as an address needs."""
    second = url and SecondLevel(url=url)
    gateway = SimpleNamespace(cache=SimpleNamespace(second=second))
    return SimpleNamespace(
        gateway=gateway, secrets={"redis": Secret(environment="REDIS_PASSWORD")}, dir=Path("/nowhere")
    )


@pytest.mark.parametrize(
    ("url", "filled"),
    [
        (None, None),
        ("redis://h:1/2", "redis://h:1/2"),
        ("redis://127.0.0.1:{{ services.redis.ports.main }}/0", "redis://127.0.0.1:30001/0"),
        ("rediss://u:{{ secrets.redis }}@h", "rediss://u:a%2Fb%40c%3A%20%25@h"),
        ("redis://127.0.0.1:{{ services.gone.ports.main }}", None),
    ],
)
def test_an_address_is_filled_in_or_is_none_yet(url: str | None, filled: str | None) -> None:
    assert second_url(stack(url), PORTS, {"REDIS_PASSWORD": "a/b@c: %"}) == filled


def test_without_its_secret_there_is_no_second_level() -> None:
    assert second_url(stack("redis://:{{ secrets.redis }}@h"), PORTS, {}) is None
