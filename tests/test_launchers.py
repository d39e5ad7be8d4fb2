"""What the owner starts: `start_l2.sh`, `start_l2.bat`, `make` and `python l2_exporter.py`.

The shell script runs with stand-ins for Python, pip and `sleep`, so nothing is installed and nothing waits.
"""

import os
import re
import runpy
import shutil
import signal
import socket
import subprocess
import sys
import urllib.request
from collections.abc import Mapping
from pathlib import Path

import pytest

from l2vault.config import Settings
from l2vault.vault.journal.events import Started, Stopped
from l2vault.vault.journal.log import read_journal
from l2vault.vault.store.layout import Layout
from l2vault.verbs import record as record_module
from support.signals import as_from_a_terminal

ROOT = Path(__file__).resolve().parents[1]
WITHIN_SEC = 60
FIRST_COMMAND = 11
"""Of start_l2.sh, behind its `trap`, where nothing needs to be installed."""
CANDIDATES = ("python3", "python3.14", "python3.13", "python3.12", "python3.11", "python")
on_posix = pytest.mark.skipif(sys.platform == "win32" or not shutil.which("bash"), reason="start_l2.sh needs bash")

SYSTEM_PYTHON = """#!/bin/sh
# Old or new as OLD says; makes a .venv with the stand-in in it, and with pip unless NO_PIP.
[ "$1" = -c ] && exit "${OLD:-0}"
echo "$(basename "$0") $*" >> "$STUB_LOG"
mkdir -p "$3/bin" && cp "$STUBS/recorder" "$3/bin/python" && cp "$STUBS/recorder" "$3/bin/l2vault"
[ -z "${NO_PIP:-}" ] || exit 1
touch "$3/bin/pip"
"""
VENV_PYTHON = """#!/bin/bash
# Knows of pip what its folder says. As the recorder it ends as the first word of CODES says, and takes that away.
if [ "$1 $2 $3" = "-m pip --version" ]; then [ -e "$(dirname "$0")/pip" ]; exit; fi
words=$(printf ' [%s]' "$@"); echo "run$words" >> "$STUB_LOG"  # at once: two of these run at a time
if [ "$1 $2" = "-m pip" ]; then exit "${PIP_CODE:-0}"; fi
read -r -a codes < "$CODES"
echo "${codes[@]:1}" > "$CODES"
case ${codes[0]:-0} in
    KILL) kill -KILL $$ ;;
    WAIT*)
        trap 'echo closing; until [ -e "$GATE" ]; do /bin/sleep 0.01; done; echo closed; exit ${codes[0]#WAIT}' TERM
        echo ready
        /bin/sleep 60 >/dev/null & wait $!
        ;;
    *) exit "${codes[0]:-0}" ;;
esac
"""
SLEEP = """#!/bin/sh
echo "sleep $1" >> "$STUB_LOG"
[ -z "${NAP:-}" ] || { echo napping; exec /bin/sleep 60; }
"""


@pytest.fixture(autouse=True)
def own_process_no_longer(monkeypatch: pytest.MonkeyPatch) -> None:
    """A launcher run in this process keeps pandas out of it, which other tests need."""
    monkeypatch.setattr(sys, "meta_path", list(sys.meta_path))


class App:
    """A copy of the launchers in a folder whose name has a space, and the stand-ins first on the PATH."""

    def __init__(self, tmp_path: Path) -> None:
        self.folder = tmp_path / "my app"
        self.stubs = tmp_path / "stubs"
        self.elsewhere = tmp_path / "elsewhere"
        for folder in (self.folder, self.stubs, self.elsewhere):
            folder.mkdir()
        for name in ("start_l2.sh", "requirements.txt", "pyproject.toml", "Makefile"):
            shutil.copy(ROOT / name, self.folder)
        for name in CANDIDATES:
            self._script(self.stubs / name, SYSTEM_PYTHON)
        self._script(self.stubs / "recorder", VENV_PYTHON)
        self._script(self.stubs / "sleep", SLEEP)
        self.log = tmp_path / "log"
        self.codes = tmp_path / "codes"
        self.gate = tmp_path / "gate"
        """Until it is there, a recorder that was asked to stop is still closing its files."""
        self.venv = self.folder / ".venv"
        self.installed = self.venv / ".recording"
        inherited = {name: value for name, value in os.environ.items() if not name.startswith("L2VAULT_")}
        inherited.pop("PYTHON", None)
        self.env = inherited | {
            "PATH": f"{self.stubs}{os.pathsep}{os.environ['PATH']}",
            "STUBS": str(self.stubs),
            "STUB_LOG": str(self.log),
            "CODES": str(self.codes),
            "GATE": str(self.gate),
        }

    def is_installed(self) -> "App":
        """As after a first run."""
        binaries = self.venv / "bin"
        binaries.mkdir(parents=True)
        shutil.copy(self.stubs / "recorder", binaries / "python")
        (binaries / "pip").touch()
        self.installed.touch()
        return self

    def start(self, codes: str, *args: str, **env: str) -> subprocess.CompletedProcess[str]:
        """Run it to its end; the recorder ends with each of `codes` in turn."""
        command, environment = self._prepared(codes, args, env)
        return subprocess.run(
            command,
            capture_output=True,
            text=True,
            timeout=WITHIN_SEC,
            env=environment,
            cwd=self.elsewhere,
            check=False,
            preexec_fn=as_from_a_terminal(),
        )

    def popen(self, codes: str, **env: str) -> "subprocess.Popen[str]":
        command, environment = self._prepared(codes, (), env)
        return subprocess.Popen(
            command,
            stdout=subprocess.PIPE,
            text=True,
            env=environment,
            cwd=self.elsewhere,
            preexec_fn=as_from_a_terminal(),
        )

    @property
    def happened(self) -> list[str]:
        return self.log.read_text().splitlines() if self.log.exists() else []

    @property
    def runs(self) -> list[str]:
        """The arguments of each run of the recorder, without the script's path."""
        script = f"run [{self.folder}/l2_exporter.py]"
        return [line.removeprefix(script).strip() for line in self.happened if line.startswith(script)]

    @property
    def naps(self) -> list[str]:
        return [line.removeprefix("sleep ") for line in self.happened if line.startswith("sleep ")]

    @property
    def installs(self) -> list[str]:
        return [line for line in self.happened if " -m venv " in line or "[install]" in line]

    def _prepared(self, codes: str, args: tuple[str, ...], env: Mapping[str, str]) -> tuple[list[str], dict[str, str]]:
        self.codes.write_text(f"{codes}\n")
        return ["bash", str(self.folder / "start_l2.sh"), *args], self.env | env

    def _script(self, path: Path, text: str) -> None:
        path.write_text(text)
        path.chmod(0o755)


@pytest.fixture
def app(tmp_path: Path) -> App:
    return App(tmp_path)


@on_posix
class TestShell:
    def test_arguments_are_passed_on_as_they_are(self, app: App) -> None:
        app.is_installed()
        done = app.start("0", "--vault", "my vault", "--inst", "", "*", "a'b")
        assert done.returncode == 0
        assert app.runs == ["[--vault] [my vault] [--inst] [] [*] [a'b]"]
        assert done.stderr == ""

    @pytest.mark.parametrize("code", [0, 2, 130, 143])
    def test_it_does_not_start_again_after_a_clean_stop_a_usage_error_or_a_signal(self, app: App, code: int) -> None:
        app.is_installed()
        assert app.start(f"{code} 0").returncode == code
        assert len(app.runs) == 1
        assert app.naps == []

    @pytest.mark.parametrize(("crash", "code"), [("1", 1), ("KILL", 137), ("139", 139)])
    def test_it_starts_again_after_a_crash_with_the_same_arguments(self, app: App, crash: str, code: int) -> None:
        app.is_installed()
        done = app.start(f"{crash} 0", "--depth", "25")
        assert done.returncode == 0
        assert app.runs == ["[--depth] [25]"] * 2
        assert f"The recorder ended with code {code}. Starting again in 1 s; Ctrl-C stops." in done.stderr

    def test_it_backs_off_up_to_a_minute(self, app: App) -> None:
        app.is_installed()
        assert app.start("1 1 KILL 1 1 1 1 1 2").returncode == 2
        assert app.naps == ["1", "2", "4", "8", "16", "32", "60", "60"]

    @pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGHUP])
    @pytest.mark.parametrize("how", ["WAIT0", "WAIT1"])
    def test_a_signal_is_passed_on_and_the_recorder_s_end_waited_for(self, app: App, number: int, how: str) -> None:
        app.is_installed()
        with app.popen(f"{how} 0") as process:
            try:
                assert process.stdout is not None
                assert process.stdout.readline() == "ready\n"
                process.send_signal(number)
                assert process.stdout.readline() == "closing\n"
                with pytest.raises(subprocess.TimeoutExpired):
                    process.wait(0.1)
                app.gate.touch()
                assert process.communicate(timeout=WITHIN_SEC)[0] == "closed\n"
            finally:
                process.kill()
        assert process.returncode == 0
        assert len(app.runs) == 1, "stopping is no crash, however it ends"

    def test_a_signal_while_it_backs_off_ends_it_at_once_and_leaves_nothing_behind(self, app: App) -> None:
        app.is_installed()
        with app.popen("1 0", NAP="1") as process:
            try:
                assert process.stdout is not None
                assert process.stdout.readline() == "napping\n"
                process.send_signal(signal.SIGTERM)
                # To the end of its output, which a sleep left behind would hold open.
                assert process.communicate(timeout=WITHIN_SEC)[0] == ""
            finally:
                process.kill()
        assert process.returncode == 0
        assert len(app.runs) == 1

    def test_a_signal_before_any_command_ends_it_at_once(self, app: App, tmp_path: Path) -> None:
        """Not when the nap between two runs is over, which may be a minute: a signal may come just before the wait."""
        app.is_installed()
        before_each = tmp_path / "before_each"
        before_each.write_text(
            'unset BASH_ENV; n=0; trap \'[ $((n += 1)) -ne "$AT" ] || { echo "$BASH_COMMAND"; kill $$; }\' DEBUG\n'
        )
        commands: list[str] = []
        while commands.count('wait "$child"') < 2:
            at = str(FIRST_COMMAND + len(commands))
            with app.popen("1 2", NAP="1", BASH_ENV=str(before_each), AT=at) as process:
                try:
                    said = process.communicate(timeout=WITHIN_SEC)[0].splitlines()
                finally:
                    process.kill()
            commands.append(next(line for line in said if line != "napping"))
            assert process.returncode == 0, commands[-1]

    def test_the_first_run_makes_the_venv_installs_and_records_and_the_second_only_records(self, app: App) -> None:
        done = app.start("0", "--duration", "1")
        assert done.returncode == 0
        assert f"Installing into {app.venv} ..." in done.stderr
        installs = [
            f"python3 -m venv {app.venv}",
            f"run [-m] [pip] [install] [--quiet] [-r] [{app.folder}/requirements.txt] [-e] [{app.folder}]",
        ]
        assert app.happened == [*installs, f"run [{app.folder}/l2_exporter.py] [--duration] [1]"]
        assert app.start("0").stderr == ""
        assert app.installs == installs
        assert len(app.runs) == 2

    def test_an_install_that_fails_says_so_and_is_repeated_next_time(self, app: App) -> None:
        failed = app.start("0", PIP_CODE="1")
        assert failed.returncode == 1
        assert "Installing failed. Try: " in failed.stderr
        assert app.runs == []
        assert not app.installed.exists()
        assert app.start("0").returncode == 0
        assert [" -m venv " in line for line in app.installs] == [True, False, False]
        assert len(app.runs) == 1

    def test_a_venv_without_pip_was_cut_short_and_is_made_again(self, app: App) -> None:
        """As Debian leaves it where `python3-venv` is missing."""
        assert app.start("0", NO_PIP="1").returncode == 1
        assert (app.venv / "bin" / "python").exists()
        assert app.start("0").returncode == 0
        assert [" -m venv " in line for line in app.installs] == [True, True, False]

    def test_newer_requirements_are_installed(self, app: App) -> None:
        app.is_installed()
        later = app.installed.stat().st_mtime + 10
        os.utime(app.folder / "requirements.txt", (later, later))
        os.utime(app.installed, (later - 20, later - 20))
        assert app.start("0").returncode == 0
        assert [" -m venv " in line for line in app.installs] == [False]

    def test_a_venv_whose_python_is_gone_is_made_again(self, app: App) -> None:
        """As after an upgrade of the system's Python: links that lead nowhere, which venv does not replace."""
        app.is_installed()
        for name in ("python", "python3"):
            (app.venv / "bin" / name).unlink(missing_ok=True)
            (app.venv / "bin" / name).symlink_to("/nowhere/python3.11")
        assert app.start("0").returncode == 0
        assert len(app.runs) == 1
        assert not (app.venv / "bin" / "python3").is_symlink()

    def test_without_a_new_enough_python_it_says_what_is_needed(self, app: App) -> None:
        done = app.start("0", OLD="1")
        assert done.returncode == 1
        said = done.stderr.splitlines()
        assert said[-1].startswith("No Python 3.11 or newer found. Try: install it, or PYTHON=/path/to/python ")
        assert "failed" not in done.stderr
        assert app.happened == []

    def test_python_may_be_named(self, app: App) -> None:
        own = app.stubs / "my own python"
        shutil.copy(app.stubs / "python3", own)
        assert app.start("0", PYTHON=str(own)).returncode == 0
        assert app.happened[0] == f"my own python -m venv {app.venv}"

    def test_it_finds_itself_however_it_is_called(self, app: App) -> None:
        app.is_installed()
        command, env = ["bash", "my app/start_l2.sh"], app.env | {"CDPATH": f"{app.elsewhere}:{app.folder.parent}"}
        app.codes.write_text("0\n")
        done = subprocess.run(command, timeout=WITHIN_SEC, env=env, cwd=app.folder.parent, check=False)
        assert done.returncode == 0
        assert len(app.runs) == 1


@on_posix
@pytest.mark.skipif(not shutil.which("make"), reason="needs make")
def test_make_demo_records_at_once_installs_what_reading_needs_meanwhile_and_says_how_to_look(app: App) -> None:
    app.codes.write_text("0 0\n")
    for _ in range(2):
        command = ["make", "--no-print-directory", "demo"]
        done = subprocess.run(
            command, cwd=app.folder, env=app.env, timeout=WITHIN_SEC, check=True, capture_output=True, text=True
        )
        said = done.stdout.splitlines()
        looks = [line.strip() for line in said if line.startswith("  ./l2 ")]
        assert [look.split()[1] for look in looks] == ["walls", "heatmap", "show", "screen"] * 2
        assert said[-4:] == [f"  {look}" for look in looks[:4]], "the last lines are what to do next"
    installs = ["run [-m] [pip] [install] [--quiet] [-r] [requirements.txt] [-e] [.]"]
    assert app.happened[:2] == ["python3 -m venv .venv", *installs]
    assert sorted(app.happened[2:]) == [
        "run [-m] [pip] [install] [--quiet] [-e] [.[screen]]",
        *["run [record] [--demo]"] * 2,
    ]


@on_posix
@pytest.mark.skipif(not shutil.which("make"), reason="needs make")
def test_make_demo_says_so_if_what_reading_needs_cannot_be_installed(app: App) -> None:
    app.is_installed()
    app.codes.write_text("0\n")
    command, env = ["make", "demo"], app.env | {"PIP_CODE": "1"}
    for name in ("requirements.txt", "pyproject.toml"):
        os.utime(app.folder / name, (0, 0))
    shutil.copy(app.stubs / "recorder", app.venv / "bin" / "l2vault")
    done = subprocess.run(
        command, cwd=app.folder, env=env, timeout=WITHIN_SEC, check=False, capture_output=True, text=True
    )
    assert done.returncode != 0
    assert "run [record] [--demo]" in app.happened, "it records all the same"
    assert "Installing the packages for reading failed. Try: make demo again" in done.stdout


def test_the_four_commands_of_the_demo_work_on_a_vault_of_the_demo(tmp_path: Path) -> None:
    """As pasted, but for the launcher's name: what `./l2` runs, in the folder of the demo. The screen opens no browser
    and takes a free port here."""
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    looks = re.findall(r"'  \./l2 (.*?)'", makefile)
    *looks, screen = looks
    assert len(looks) == 3
    run = [sys.executable, str(ROOT / "l2.py")]
    record = [*run, "record", "--demo", "--duration", "7", "--log-file", "demo.log"]
    subprocess.run(record, cwd=tmp_path, timeout=60, check=True, capture_output=True)
    for look in looks:
        done = subprocess.run(
            [*run, *look.split()], cwd=tmp_path, timeout=60, check=False, capture_output=True, text=True
        )
        assert done.returncode == 0, done.stderr
        assert "BTC-USDT-SWAP" in done.stdout
    assert (tmp_path / "demo.png").stat().st_size > 10_000
    words = [*run, *screen.split(), "--no-browser", "--port", "0"]
    with subprocess.Popen(words, cwd=tmp_path, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True) as child:
        try:
            assert child.stdout is not None
            address = child.stdout.readline().split()[-1]
            with urllib.request.urlopen(address + "api/walls?inst=BTC-USDT-SWAP", timeout=20) as answer:
                assert answer.status == 200
        finally:
            child.terminate()


class TestVerbs:
    """`l2`, `l2.bat` and `l2.py`."""

    @pytest.fixture
    def owner(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
        """The launchers in a folder of the owner's, whose vault is `mine`, and another working folder."""
        for name in [name for name in os.environ if name.startswith("L2VAULT_")]:
            monkeypatch.delenv(name)
        folder, elsewhere = tmp_path / "owner", tmp_path / "elsewhere"
        for path in (folder, elsewhere):
            path.mkdir()
        for name in ("l2", "l2.py", "l2_exporter.py", "l2_retention.py"):
            shutil.copy(ROOT / name, folder)
        edited(folder / "l2_exporter.py", ('VAULT = "Vault"', 'VAULT = "mine"'))
        (folder / "mine" / "raw").mkdir(parents=True)
        monkeypatch.chdir(elsewhere)
        return folder

    def run(self, owner: Path, *words: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, str(owner / "l2.py"), *words],
            env=os.environ | {"PYTHONPATH": str(ROOT)},
            capture_output=True,
            text=True,
            timeout=WITHIN_SEC,
            check=False,
        )

    def test_the_vault_is_that_of_the_exporter_from_any_folder(self, owner: Path) -> None:
        done = self.run(owner, "show", "BTC-USDT-SWAP", "--at", "2024-08-20")
        assert done.returncode != 0
        assert str(owner / "mine") in done.stderr

    def test_a_flag_the_environment_and_the_file_beside_it_beat_it(
        self, owner: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        (owner / "l2vault.toml").write_text('vault = "filed"\n')
        assert str(owner / "filed") in self.run(owner, "ls").stderr
        assert "typed" in self.run(owner, "ls", "--vault", "typed").stderr
        monkeypatch.setenv("L2VAULT_VAULT", "environed")
        assert "environed" in self.run(owner, "ls").stderr

    def test_retain_has_the_values_of_the_script_for_retention(self, owner: Path) -> None:
        edited(owner / "l2_retention.py", ("COMPRESS_AFTER_HOURS = 6", "COMPRESS_AFTER_HOURS = -6"))
        done = self.run(owner, "retain", "--dry-run")
        assert done.returncode == 2
        assert "compress_after_hours = -6 (the launcher)" in done.stderr

    def test_without_a_word_it_prints_the_help(self, owner: Path) -> None:
        done = self.run(owner)
        assert done.returncode == 0
        assert "VERB" in done.stdout

    @on_posix
    def test_without_a_venv_the_shell_script_says_in_a_sentence_what_makes_one(self, owner: Path) -> None:
        done = subprocess.run(
            [str(owner / "l2"), "ls"], capture_output=True, text=True, timeout=WITHIN_SEC, check=False
        )
        assert done.returncode == 1
        assert done.stderr.startswith(f"l2: nothing is installed in {owner}/.venv yet. Try: {owner}/start_l2.sh")
        assert len(done.stderr.splitlines()) == 1

    @on_posix
    def test_the_shell_script_passes_every_word_on_as_it_is(self, owner: Path, tmp_path: Path) -> None:
        python = owner / ".venv" / "bin" / "python"
        python.parent.mkdir(parents=True)
        python.write_text("#!/bin/sh\nprintf '[%s]' \"$@\"\n")
        python.chmod(0o755)
        done = subprocess.run(
            [str(owner / "l2"), "walls", "a b", "*", ""],
            capture_output=True,
            text=True,
            timeout=WITHIN_SEC,
            check=False,
            cwd=tmp_path,
        )
        assert done.stdout == f"[{owner}/l2.py][walls][a b][*][]"

    def test_the_batch_file_does_the_same(self) -> None:
        lines = (ROOT / "l2.bat").read_text(encoding="ascii").splitlines()
        assert lines[-1] == '"%PY%" "%~dp0l2.py" %*'
        assert 'if exist "%PY%" goto run' in lines
        assert any("Try: start_l2.bat" in line for line in lines)
        assert not any("pip" in line for line in lines), "it installs nothing"


@on_posix
@pytest.mark.skipif(not shutil.which("make"), reason="needs make")
def test_make_says_which_python_it_needs(app: App) -> None:
    (app.stubs / "python3").write_text(
        f'#!/bin/sh\nexec "{sys.executable}" -c "import sys; sys.version_info = (3, 9)\n$2"'
    )
    done = subprocess.run(
        ["make", "demo"], cwd=app.folder, env=app.env, timeout=WITHIN_SEC, check=False, capture_output=True, text=True
    )
    assert done.returncode != 0
    assert "l2vault needs Python 3.11 or newer. Try: make PYTHON=" in done.stderr
    assert not app.venv.exists()


class TestBatch:
    """`start_l2.bat` cannot run here, so its text is held to the rules of the shell script."""

    text = (ROOT / "start_l2.bat").read_text(encoding="ascii")
    lines = text.splitlines()

    def test_git_gives_it_the_line_ends_that_cmd_needs_and_the_shell_script_its_own(self) -> None:
        attributes = (ROOT / ".gitattributes").read_text().splitlines()
        assert "*.bat text eol=crlf" in attributes
        assert "* text=auto eol=lf" in attributes
        assert b"\r" not in (ROOT / "start_l2.sh").read_bytes()

    def test_it_passes_every_argument_on(self) -> None:
        assert [line for line in self.lines if "l2_exporter.py" in line and not line.startswith("rem")] == [
            '"%PY%" "%HERE%l2_exporter.py" %*'
        ]

    def test_it_does_not_start_again_after_a_clean_stop_a_usage_error_or_ctrl_c(self) -> None:
        run = self.lines.index('"%PY%" "%HERE%l2_exporter.py" %*')
        assert self.lines[run + 1] == 'set "CODE=%ERRORLEVEL%"', "before anything else can change it"
        (rule,) = [line for line in self.lines if line.startswith("for %%E in")]
        assert rule == 'for %%E in (0 2 130 -1073741510) do if "%CODE%"=="%%E" exit /b %CODE%'

    def test_it_starts_again_after_anything_else_and_backs_off_up_to_a_minute(self) -> None:
        start, again = self.lines.index("set /a DELAY=1"), self.lines.index(":again")
        assert start < again
        loop = self.lines[again : self.lines.index("goto again")]
        assert "ping -n %COUNT% 127.0.0.1 >nul" in loop
        assert loop[-2:] == ["set /a DELAY=DELAY*2", "if %DELAY% gtr 60 set /a DELAY=60"]
        said = next(line for line in loop if line.startswith("echo"))
        shell = (ROOT / "start_l2.sh").read_text()
        words = said.removeprefix("echo ").removesuffix(" 1>&2")
        assert words.replace("%CODE%", "$code").replace("%DELAY%", "$delay_sec") in shell

    def test_every_step_of_an_install_that_fails_says_so_and_leaves_no_mark(self) -> None:
        steps = [line for line in self.lines if "-m venv" in line or "pip install" in line or line.startswith("copy")]
        assert len(steps) == 3
        assert all(step.endswith("|| goto failed") for step in steps)
        assert steps[-1] == 'copy /y "%HERE%requirements.txt" "%INSTALLED%" >nul || goto failed', "the mark comes last"
        failed = self.lines.index(":failed")
        assert "Try: " in self.lines[failed + 1]
        assert self.lines[failed + 2] == "exit /b 1"

    def test_other_requirements_or_a_python_that_is_gone_mean_installing_again(self) -> None:
        (skip,) = [line for line in self.lines if line.endswith("goto record")]
        assert skip.startswith('if exist "%PY%" fc /b "%HERE%requirements.txt" "%INSTALLED%" ')

    def test_every_label_that_is_gone_to_exists_once(self) -> None:
        labels = [line[1:] for line in self.lines if line.startswith(":")]
        assert sorted(labels) == sorted(set(labels))
        assert set(re.findall(r"goto (\w+)", self.text)) <= set(labels)

    def test_every_path_is_quoted(self) -> None:
        for line in self.lines:
            outside = re.sub(r'"[^"]*"', "", line)
            assert not re.search(r"%(HERE|PY|INSTALLED)%", outside), line

    def test_without_a_new_enough_python_it_says_what_is_needed(self) -> None:
        at = self.lines.index("if not defined CANDIDATE (")
        assert "No Python 3.11 or newer found. Try: " in self.lines[at + 1]
        assert self.lines[at + 2].strip() == "exit /b 1"


class Overheard:
    """What the owner's launcher would record, taken down in place of recording it."""

    settings: Settings
    root: Path

    def __init__(self, settings: Settings, layout: Layout, *_: object) -> None:
        Overheard.settings, Overheard.root = settings, layout.root

    async def run(self, stop: object, reason: object) -> None:
        return


@pytest.fixture
def exporter(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A copy of `l2_exporter.py`, with a working folder that is another one."""
    for name in [name for name in os.environ if name.startswith("L2VAULT_")]:
        monkeypatch.delenv(name)
    folder, elsewhere = tmp_path / "owner", tmp_path / "elsewhere"
    folder.mkdir()
    elsewhere.mkdir()
    shutil.copy(ROOT / "l2_exporter.py", folder)
    monkeypatch.chdir(elsewhere)
    monkeypatch.setattr(record_module, "Recorder", Overheard)
    monkeypatch.setattr(record_module, "stop_on_signals", lambda stop, finished: None)
    monkeypatch.setattr(record_module, "set_up_logging", lambda file, verbose: Silent())
    return folder / "l2_exporter.py"


class Silent:
    def close(self) -> None:
        return

    def show(self, status: str) -> None:
        return


def launched(script: Path, *words: str) -> Settings:
    """The settings with which a launcher records when started as `python SCRIPT WORDS`."""
    assert exit_code(script, *words) == 0
    return Overheard.settings


def exit_code(script: Path, *words: str) -> int:
    before, sys.argv = sys.argv, [str(script), *words]
    try:
        with pytest.raises(SystemExit) as leaving:
            runpy.run_path(str(script), run_name="__main__")
    finally:
        sys.argv = before
    assert isinstance(leaving.value.code, int)
    return leaving.value.code


def edited(script: Path, *changes: tuple[str, str]) -> Path:
    text = script.read_text()
    for old, new in changes:
        assert text.count(old) == 1
        text = text.replace(old, new)
    script.write_text(text)
    return script


class TestExporter:
    def test_as_it_comes_it_records_two_swaps_every_2_s_at_400_levels_beside_itself(self, exporter: Path) -> None:
        settings = launched(exporter)
        assert settings.instruments == ("BTC-USDT-SWAP", "ETH-USDT-SWAP")
        assert (settings.cadence_ms, settings.depth) == (2000, 400)
        assert Overheard.root == exporter.parent / "Vault"
        assert settings.log_file == str(exporter.parent / "l2_exporter.log")

    def test_an_edited_value_takes_effect(self, exporter: Path) -> None:
        settings = launched(
            edited(
                exporter,
                ('INSTRUMENTS = ["BTC-USDT-SWAP", "ETH-USDT-SWAP"]', 'INSTRUMENTS = ["SOL-USDT-SWAP"]'),
                ("SNAPSHOT_CADENCE_SEC = 2", "SNAPSHOT_CADENCE_SEC = 0.5"),
                ("DEPTH_LEVELS = 400", "DEPTH_LEVELS = 200"),
            )
        )
        assert (settings.instruments, settings.cadence_ms, settings.depth) == (("SOL-USDT-SWAP",), 500, 200)

    @pytest.mark.parametrize("place", ["Books", "../bot/Vault"])
    def test_the_vault_is_a_folder_beside_it(self, exporter: Path, place: str) -> None:
        launched(edited(exporter, ('VAULT = "Vault"', f'VAULT = "{place}"')))
        assert Overheard.root == exporter.parent / place

    def test_the_vault_may_be_anywhere(self, exporter: Path, tmp_path: Path) -> None:
        launched(edited(exporter, ('VAULT = "Vault"', f'VAULT = "{(tmp_path / "far" / "Vault").as_posix()}"')))
        assert Overheard.root == tmp_path / "far" / "Vault"

    def test_an_empty_vault_is_refused_and_nothing_is_made(
        self, exporter: Path, capsys: pytest.CaptureFixture[str]
    ) -> None:
        edited(exporter, ('VAULT = "Vault"', 'VAULT = ""'))
        assert exit_code(exporter) == 2
        assert "vault = '' (the launcher) is empty: the vault has no name" in capsys.readouterr().err
        assert [path.name for path in exporter.parent.iterdir()] == [exporter.name]

    def test_a_flag_beats_it(self, exporter: Path) -> None:
        edited(exporter, ("DEPTH_LEVELS = 400", "DEPTH_LEVELS = 200"))
        settings = launched(exporter, "--inst", "XRP-USDT-SWAP", "--depth", "25", "--vault", "mine")
        assert (settings.instruments, settings.depth) == (("XRP-USDT-SWAP",), 25)
        assert Overheard.root == Path("mine"), "what is typed is meant from where it is typed"

    def test_the_config_file_beside_it_beats_it_and_one_in_the_working_folder_is_not_its_own(
        self, exporter: Path
    ) -> None:
        Path("l2vault.toml").write_text("depth = 7\n")
        (exporter.parent / "l2vault.toml").write_text("cadence_sec = 5\n")
        settings = launched(exporter)
        assert (settings.cadence_ms, settings.depth) == (5000, 400)

    def test_a_named_config_file_takes_the_place_of_the_one_beside_it(self, exporter: Path) -> None:
        (exporter.parent / "l2vault.toml").write_text("cadence_sec = 5\n")
        Path("other.toml").write_text("depth = 25\n")
        for words in (["--config", "other.toml"], ["--config=other.toml"]):
            settings = launched(exporter, *words)
            assert (settings.cadence_ms, settings.depth) == (2000, 25)

    def test_an_impossible_edit_is_a_usage_error_which_the_launchers_do_not_repeat(
        self, exporter: Path, capsys: pytest.CaptureFixture[str]
    ) -> None:
        edited(exporter, ('"ETH-USDT-SWAP"', '"ETH-USDT"'))
        assert exit_code(exporter) == 2
        assert "instruments = 'ETH-USDT' (the launcher) is not a perpetual swap" in capsys.readouterr().err

    def test_its_help_works_from_another_folder(self, tmp_path: Path) -> None:
        command = [sys.executable, str(ROOT / "l2_exporter.py"), "--help"]
        done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=WITHIN_SEC, check=False)
        assert (done.returncode, done.stderr) == (0, "")
        assert "--inst ID" in done.stdout
        assert list(tmp_path.iterdir()) == []

    def test_started_for_real_from_another_folder_everything_it_writes_is_beside_it(self, tmp_path: Path) -> None:
        folder, elsewhere = tmp_path / "owner", tmp_path / "elsewhere"
        folder.mkdir()
        elsewhere.mkdir()
        script = edited(Path(shutil.copy(ROOT / "l2_exporter.py", folder)), ('"ETH-USDT-SWAP"', '"SOL-USDT-SWAP"'))
        (folder / "l2vault.toml").write_text("depth = 25\n")
        with socket.create_server(("127.0.0.1", 0)) as closed:
            port = closed.getsockname()[1]
        urls = ["--ws-url", f"ws://127.0.0.1:{port}/ws", "--rest-url", f"http://127.0.0.1:{port}"]
        environment = {name: value for name, value in os.environ.items() if not name.startswith("L2VAULT_")}
        done = subprocess.run(
            [sys.executable, str(script), *urls, "--duration", "0.1"],
            cwd=elsewhere,
            env=environment | {"PYTHONPATH": str(ROOT)},
            capture_output=True,
            timeout=WITHIN_SEC,
            check=False,
        )
        assert done.returncode == 0
        events = list(read_journal(Layout(folder / "Vault")))
        assert isinstance(events[0], Started)
        assert (events[0].instruments, events[0].depth) == (["BTC-USDT-SWAP", "SOL-USDT-SWAP"], 25)
        assert isinstance(events[-1], Stopped)
        assert "Recording BTC-USDT-SWAP, SOL-USDT-SWAP every 2 s, 25 levels" in (folder / "l2_exporter.log").read_text()
        assert list(elsewhere.iterdir()) == []
