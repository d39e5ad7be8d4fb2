"""Children of the recorder: what their ends mean."""

import signal
import subprocess
import sys
from ast import literal_eval
from pathlib import Path
from typing import Any

import pytest

import l2vault
from l2vault.recording import child
from l2vault.recording.child import Ended, OwnChild
from support.signals import as_from_a_terminal


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has other signals")
@pytest.mark.parametrize(("name", "is_failure"), [("SIGINT", False), ("SIGTERM", False), ("SIGKILL", True)])
def test_a_child_that_hears_the_wish_to_stop_before_the_recorder_does_has_not_failed(
    name: str, is_failure: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A terminal's Ctrl-C and a service manager's SIGTERM go to every process, in no order."""

    def start(words: object, module: str, **popen: Any) -> "subprocess.Popen[bytes]":
        code = f"import signal; signal.raise_signal(signal.{name})"
        return subprocess.Popen([sys.executable, "-I", "-S", "-c", code], preexec_fn=as_from_a_terminal(), **popen)

    monkeypatch.setattr(child, "start_child", start)
    ended = OwnChild().run("a module")
    assert ended == (Ended(-signal.SIGKILL, b"", b"") if is_failure else None)


def test_a_child_finds_the_package_of_its_parent_before_any_other_wherever_it_starts(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """`python -m` looks where it starts first, then where the environment says. `site` prints where it looks."""
    monkeypatch.setenv("PYTHONPATH", "of the user")
    with child.start_child([], "site", stdout=subprocess.PIPE, cwd=tmp_path) as one:
        assert one.stdout is not None
        said = one.stdout.read().decode()
    _, first, second = [Path(literal_eval(line.strip().rstrip(","))) for line in said.splitlines()[1:4]]
    assert first == Path(l2vault.__file__).resolve().parents[1]
    assert second.name == "of the user"
