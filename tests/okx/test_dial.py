"""In which stage a connection that could not be made was."""

import pytest

from l2vault.okx.dial import Steps


@pytest.mark.parametrize(
    ("steps", "is_secure", "has_proxy", "stage"),
    [
        ({}, True, False, "name resolution"),
        ({"resolved_ms": 5}, True, False, "TCP"),
        ({"resolved_ms": 5, "connected_ms": 9}, True, False, "TLS"),
        ({"resolved_ms": 5, "connected_ms": 9}, False, False, "TCP"),
        ({"resolved_ms": 5, "connected_ms": 9}, True, True, "proxy"),
        ({"resolved_ms": 5, "connected_ms": 9, "stood_ms": 12}, True, True, "upgrade"),
    ],
)
def test_the_stage_is_the_first_that_did_not_end(
    steps: dict[str, int], is_secure: bool, has_proxy: bool, stage: str
) -> None:
    one = Steps(lambda: 0)
    for name, ms in steps.items():
        setattr(one, name, ms)
    assert one.failed_at(is_secure, has_proxy) == stage
