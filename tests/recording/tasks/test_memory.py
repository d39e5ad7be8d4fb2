"""Memory given back: where glibc is, and nowhere else."""

import platform
import sys

import pytest

from l2vault.recording.footprint import give_back_memory


def test_glibc_is_asked_to_trim() -> None:
    if platform.libc_ver()[0] != "glibc":
        pytest.skip("another C library than glibc")
    assert give_back_memory() is True


def test_elsewhere_nothing_is_done(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "platform", "win32")
    assert give_back_memory() is False
