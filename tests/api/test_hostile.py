"""The control API against all that its description allows, and more: no request is answered as a bug."""

from __future__ import annotations

from typing import Any

import pytest
import schemathesis
from backstay.api.app import create_app
from backstay.deploy.status import State
from hypothesis import HealthCheck, settings
from schemathesis.specs.openapi.checks import negative_data_rejection, positive_data_acceptance

from tests.fake_fleet import FakeFleet


def fleet() -> FakeFleet:
    made = FakeFleet()
    made.states = {"web": State.READY, "db": State.READY}
    return made


schema = schemathesis.openapi.from_asgi("/api/openapi.json", create_app(fleet()))  # type: ignore[arg-type]


@schema.parametrize()
@settings(max_examples=10, deadline=None, suppress_health_check=list(HealthCheck))
@pytest.mark.filterwarnings("default")
def test_every_answer_is_as_described_and_none_is_a_bug(case: Any) -> None:
    if isinstance(case.query, dict) and "follow" in case.query:
        case.query["follow"] = "false"  # A stream that follows has no end.
    # A stack is looser than its description, as YAML is, and stricter: texts have rules that no schema says.
    case.call_and_validate(excluded_checks=[negative_data_rejection, positive_data_acceptance])
