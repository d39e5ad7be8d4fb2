"""The files that run a recorder as a service: held to their rules here, since none of them can be started in a test."""

import argparse
import plistlib
import re
import subprocess
import sys
from pathlib import Path
from xml.etree import ElementTree

import jsonschema
import pytest
import yaml

from l2vault.config import ENV_PREFIX, Settings
from l2vault.recording.disk import END_WITHIN_SEC
from l2vault.verbs import screen
from support.programs import need_program

ROOT = Path(__file__).resolve().parents[2]
OPS = ROOT / "ops"
SERVICES = (ROOT / "docs" / "services.md").read_text(encoding="utf-8")
ALERTS = (ROOT / "docs" / "alerts.md").read_text(encoding="utf-8")
UNITS = sorted((OPS / "systemd").iterdir())
TASK = "{http://schemas.microsoft.com/windows/2004/02/mit/task}"


def text_of(*parts: str) -> str:
    return OPS.joinpath(*parts).read_text(encoding="utf-8")


def values(unit: str) -> dict[str, list[str]]:
    found: dict[str, list[str]] = {}
    for name, value in re.findall(r"^(\w+)=(.*)$", unit, re.M):
        found.setdefault(name, []).append(value)
    return found


@pytest.mark.parametrize("path", UNITS, ids=lambda path: path.name)
def test_systemd_finds_nothing_to_object_to_in_a_unit(path: Path, tmp_path: Path) -> None:
    program = need_program("systemd-analyze", "the Debian package systemd")
    for unit in UNITS:
        text = re.sub(
            r"^ExecStart=/srv/\S+", f"ExecStart={sys.executable}", unit.read_text(encoding="utf-8"), flags=re.M
        )
        (tmp_path / unit.name).write_text(text, encoding="utf-8")
    words = [program, "verify", f"./{path.name}"]
    done = subprocess.run(words, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, ""), "an unknown key is only printed, and the exit code 0"
    fault = f"{(tmp_path / path.name).read_text(encoding='utf-8')}\n[Service]\nNoSuchKey=1\n"
    (tmp_path / path.name).write_text(fault, encoding="utf-8")
    done = subprocess.run(words, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert "NoSuchKey" in done.stderr or path.suffix == ".timer", "the check can fail"


def _instructions(text: str) -> list[tuple[str, str]]:
    """Of a Dockerfile: continued lines joined, comments left out."""
    lines = re.sub(r"(?m)^#.*\n", "", text).replace("\\\n", " ").splitlines()
    return [(line.split(None, 1)[0], " ".join(line.split(None, 1)[1].split())) for line in lines if line.strip()]


def _lint(text: str) -> list[str]:
    """What hadolint would object to, by the number of its rule (its wiki, read 2026-11-26): those that bear on us."""
    found = []
    steps = _instructions(text)
    names = [name for name, _ in steps]
    known = (
        "FROM",
        "ENV",
        "WORKDIR",
        "COPY",
        "RUN",
        "USER",
        "VOLUME",
        "HEALTHCHECK",
        "STOPSIGNAL",
        "ENTRYPOINT",
        "CMD",
    )
    found += [f"DL1000 {name}" for name in names if name not in (*known, "ARG", "LABEL", "EXPOSE", "SHELL")]
    users = [rest for name, rest in steps if name == "USER"]
    found += ["DL3002"] * (not users or users[-1] in ("root", "0"))
    for name, rest in steps:
        if name == "FROM":
            found += ["DL3006"] * (":" not in rest) + ["DL3007"] * (":latest" in rest)
        if name == "WORKDIR":
            found += ["DL3000"] * (not rest.startswith("/"))
        if name == "RUN":
            found += ["DL3003"] * bool(re.search(r"\bcd\s", rest)) + ["DL3004"] * ("sudo" in rest)
            found += ["DL3009"] * ("apt-get" in rest and "rm -rf /var/lib/apt/lists" not in rest)
            installs = "pip install" in rest
            has_no_cache = "--no-cache-dir" in rest or any("PIP_NO_CACHE_DIR" in each for _, each in steps)
            found += ["DL3042"] * (installs and not has_no_cache)
            found += ["DL3013"] * (installs and "--requirement" not in rest)
            found += ["DL4006"] * (" | " in rest)
        if name in ("ENTRYPOINT", "CMD"):
            found += ["DL3025"] * (not rest.startswith("["))
    found += [f"{rule} {name}" for rule, name in (("DL4003", "CMD"), ("DL4004", "ENTRYPOINT")) if names.count(name) > 1]
    return found + ["DL3020"] * ("ADD" in names) + ["DL3057"] * ("HEALTHCHECK" not in names)


def test_a_linter_objects_to_nothing_in_the_dockerfile_and_to_each_fault_planted_in_it() -> None:
    text = text_of("docker", "Dockerfile")
    assert _lint(text) == []
    faults = {
        "DL3007": ("python:3.11-slim", "python:latest"),
        "DL3006": ("python:3.11-slim", "python"),
        "DL3002": ("USER l2vault", "USER root"),
        "DL3025": ('CMD ["record"]', "CMD record"),
        "DL3000": ("WORKDIR /vault", "WORKDIR vault"),
        "DL3042": ("PIP_NO_CACHE_DIR=1", "PIP_NO_INPUT=1"),
        "DL3013": ("--requirement requirements.txt", ""),
        "DL3003": ("RUN pip", "RUN cd /opt && pip"),
        "DL3020": ("COPY l2vault", "ADD l2vault"),
        "DL1000 RUNN": ("RUN pip", "RUNN pip"),
        "DL3057": ("HEALTHCHECK --interval=30s --timeout=10s --start-period=60s --retries=3 CMD", "CMD"),
    }
    for rule, (good, bad) in faults.items():
        assert good in text and rule in _lint(text.replace(good, bad)), rule


def _compose_schema() -> dict[str, object]:
    """The keys that our file uses, with their types by the Compose Specification (schema/compose-spec.json at
    github.com/compose-spec/compose-spec, read 2026-11-26); it, too, takes no others."""

    def keys(**names: object) -> dict[str, object]:
        return {"type": "object", "properties": names, "additionalProperties": False}

    text, flag = {"type": "string"}, {"type": ["boolean", "string"]}
    texts = {"type": "array", "items": text, "uniqueItems": True}
    command = {"oneOf": [text, {"type": "array", "items": text}]}
    env_file = {"type": "array", "items": {"oneOf": [text, keys(path=text, required={"type": ["boolean", "string"]})]}}
    service = keys(
        image=text, command=command, entrypoint=command, network_mode=text, restart=text, mem_limit=text,
        build=keys(context=text, dockerfile=text, args={"type": "object", "additionalProperties": text}),
        environment={"type": "object", "additionalProperties": {"type": ["string", "number", "boolean", "null"]}},
        healthcheck=keys(disable=flag), init=flag, read_only=flag, stop_grace_period={"pattern": r"^\d+(s|m)$"},
        **dict.fromkeys(("cap_drop", "security_opt", "ports", "volumes", "profiles", "depends_on"), texts),
        tmpfs={"oneOf": [text, texts]}, env_file=env_file,
    )  # fmt: skip
    each = {"type": "object", "propertyNames": {"pattern": "^[a-zA-Z0-9._-]+$"}}
    volumes = each | {"additionalProperties": {"type": "null"}}
    return keys(name=text, services=each | {"additionalProperties": service}, volumes=volumes) | {
        "required": ["services"]
    }


def test_the_compose_file_is_one_by_its_specification_and_names_only_what_it_has() -> None:
    compose = yaml.safe_load(text_of("docker", "compose.yml"))
    jsonschema.Draft202012Validator(_compose_schema()).validate(compose)
    for name, service in compose["services"].items():
        assert service.get("image") or service.get("build"), name
        assert set(service.get("depends_on", ())) <= set(compose["services"]), name
        for mount in service.get("volumes", ()):
            source = mount.split(":")[0]
            assert source[0] in "./" or source in compose["volumes"], mount
    assert set(compose["volumes"]) == set(re.findall(r"^ +- (\w+):/", text_of("docker", "compose.yml"), re.M))
    compose["services"]["recorder"]["restrat"] = "always"
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.Draft202012Validator(_compose_schema()).validate(compose)


def test_the_unit_waits_for_books_is_watched_and_stops_cleanly() -> None:
    unit = values(text_of("systemd", "l2vault.service"))
    assert (unit["Type"], unit["NotifyAccess"], unit["Restart"]) == (["notify"], ["main"], ["always"])
    assert int(unit["WatchdogSec"][0]) >= 2 * 75, "a quiet book has a heartbeat each 60 s, and is lost after 75 s"
    assert int(unit["TimeoutStopSec"][0]) > 2 * END_WITHIN_SEC
    assert unit["KillSignal"] == ["SIGTERM"]
    assert unit["RestartPreventExitStatus"] == ["2"]
    assert unit["User"] == ["l2vault"]
    for name in ("NoNewPrivileges", "PrivateTmp", "ProtectHome", "PrivateDevices", "RestrictNamespaces"):
        assert unit[name] == ["yes"], name
    assert unit["ProtectSystem"] == ["strict"] and unit["CapabilityBoundingSet"] == [""]


def test_the_screen_as_a_service_only_reads_the_vault_and_is_reached_from_this_machine_alone() -> None:
    unit, alert = (values(text_of("systemd", f"l2vault-{name}.service")) for name in ("screen", "alert"))
    assert (unit["Type"], unit["User"], unit["CacheDirectory"]) == (["exec"], ["l2vault"], ["l2vault-screen"])
    assert "ReadWritePaths" not in unit and unit["ProtectSystem"] == ["strict"]
    names = "Protect", "Private", "Restrict", "System", "NoNew", "Cap", "Lock", "UMask"
    hardening = {name: value for name, value in alert.items() if name.startswith(names)}
    assert len(hardening) > 15 and {name: unit[name] for name in hardening} == hardening
    service = yaml.safe_load(text_of("docker", "compose.yml"))["services"]["screen"]
    assert service["profiles"] == ["screen"] and "vault:/vault:ro" in service["volumes"]
    assert service["build"]["args"] == {"EXTRA": "screen"} and "ARG EXTRA" in text_of("docker", "Dockerfile")
    words = service["command"], unit["ExecStart"][0].split()[1:]
    for host, asked in zip(("0.0.0.0", "127.0.0.1"), words, strict=True):
        parser = argparse.ArgumentParser()
        screen.configure(parser)
        args = parser.parse_args(asked[1:])
        assert (asked[0], args.host, args.no_browser) == ("screen", host, True)
        assert service["ports"] == [f"127.0.0.1:{args.port}:{args.port}"]


@pytest.mark.parametrize("path", [*UNITS, OPS / "docker" / "Dockerfile", OPS / "docker" / "compose.yml"], ids=str)
def test_every_setting_that_a_file_names_is_one(path: Path) -> None:
    known = {ENV_PREFIX + name.upper() for name in Settings.__struct_fields__}
    assert set(re.findall(r"\bL2VAULT_\w+", path.read_text(encoding="utf-8"))) <= known


ORDER = {
    "Task": ["RegistrationInfo", "Triggers", "Principals", "Settings", "Actions"],
    "TimeTrigger": ["Repetition", "StartBoundary", "EndBoundary", "ExecutionTimeLimit", "Enabled"],
    "Principal": ["UserId", "LogonType", "RunLevel"],
    "Settings": [
        "MultipleInstancesPolicy", "DisallowStartIfOnBatteries", "StopIfGoingOnBatteries", "AllowHardTerminate",
        "StartWhenAvailable", "RunOnlyIfNetworkAvailable", "IdleSettings", "AllowStartOnDemand", "Enabled", "Hidden",
        "RunOnlyIfIdle", "WakeToRun", "ExecutionTimeLimit", "Priority", "RestartOnFailure",
    ],
    "IdleSettings": ["Duration", "WaitTimeout", "StopOnIdleEnd", "RestartOnIdle"],
    "RestartOnFailure": ["Interval", "Count"],
    "Exec": ["Command", "Arguments", "WorkingDirectory"],
}  # fmt: skip
"""What Windows writes when it exports a task, in its order: the schema as Microsoft documents it has some of these in
another one (triggerBaseType, read 2026-11-26), and Windows reads what it wrote."""


@pytest.mark.parametrize("name", ["l2vault.xml", "l2vault-alert.xml"])
def test_a_task_has_its_parts_in_the_order_in_which_windows_writes_them(name: str) -> None:
    for each in ElementTree.parse(OPS / "windows" / name).getroot().iter():
        known = ORDER.get(each.tag.removeprefix(TASK))
        parts = [part.tag.removeprefix(TASK) for part in each]
        assert known is None or [part for part in known if part in parts] == parts, each.tag


@pytest.mark.parametrize(("name", "program"), [("l2vault.xml", "start_l2.bat"), ("l2vault-alert.xml", "l2.bat")])
def test_a_task_starts_with_windows_starts_again_and_has_no_condition_of_power_or_time(name: str, program: str) -> None:
    task = ElementTree.parse(OPS / "windows" / name).getroot()
    found = {each.tag.removeprefix(TASK): each.text for each in task.iter()}
    assert task.find(f"{TASK}Triggers/{TASK}BootTrigger/{TASK}Enabled").text == "true"  # type: ignore[union-attr]
    assert task.find(f"{TASK}Triggers/{TASK}TimeTrigger/{TASK}Repetition/{TASK}Duration") is None
    assert (found["DisallowStartIfOnBatteries"], found["StopIfGoingOnBatteries"]) == ("false", "false")
    assert (found["ExecutionTimeLimit"], found["MultipleInstancesPolicy"]) == ("PT0S", "IgnoreNew")
    assert (found["RunOnlyIfIdle"], found["StopOnIdleEnd"]) == ("false", "false")
    assert 1 <= int(found["Count"] or 0) <= 255, "the schema's type is an unsigned byte"
    assert found["Command"] == rf"{found['WorkingDirectory']}\{program}"
    assert (ROOT / program).exists()
    assert text_of("windows", name).isascii(), "schtasks and PowerShell read it in different encodings"
    assert "encoding" not in text_of("windows", name).splitlines()[0]


def test_the_agent_is_kept_alive_and_has_time_to_stop() -> None:
    with (OPS / "macos" / "l2vault.plist").open("rb") as file:
        agent = plistlib.load(file)
    assert agent["RunAtLoad"] is agent["KeepAlive"] is True
    assert agent["ExitTimeOut"] > 2 * END_WITHIN_SEC
    folder = agent["WorkingDirectory"]
    assert agent["ProgramArguments"] == [f"{folder}/.venv/bin/python", f"{folder}/l2_exporter.py"]
    assert f"{agent['Label']}.plist" in SERVICES


def test_the_image_is_slim_runs_as_nobody_special_and_is_asked_for_its_health() -> None:
    lines = [line for line in text_of("docker", "Dockerfile").replace("\\\n", " ").splitlines() if line[:1].isupper()]
    steps = [tuple(line.split(None, 1)) for line in lines]
    assert steps[0] == ("FROM", "python:3.11-slim")
    order = [name for name, _ in steps]
    assert order.index("USER") > order.index("RUN") and dict(steps)["USER"] == "l2vault"
    assert dict(steps)["STOPSIGNAL"] == "SIGTERM"
    assert dict(steps)["HEALTHCHECK"].endswith('CMD ["l2vault", "status"]')
    assert dict(steps)["ENTRYPOINT"] == '["l2vault"]', "in the exec form, so that the signal arrives"
    ignored = text_of("docker", "Dockerfile.dockerignore")
    for name, rest in steps:
        for source in rest.split()[:-1] if name == "COPY" else ():
            assert (ROOT / source).exists() and f"!{source}\n" in ignored, source


def test_nothing_of_the_compose_file_listens_beyond_this_machine_or_may_more_than_it_needs() -> None:
    text = text_of("docker", "compose.yml")
    ports = re.findall(r'"([^"]*:\d+)"\]?$', text, re.M)
    assert len(ports) == text.count("ports:") == 3 and all(port.startswith("127.0.0.1:") for port in ports)
    assert "privileged" not in text and "network_mode: host" not in text and ":latest" not in text
    for source in re.findall(r"^ +- (\.\./[\w/]+):", text, re.M):
        assert (OPS / "docker" / source).exists(), source
    for mounted in ("/dashboards/l2vault.json", "10001"):
        assert mounted in text + text_of("docker", "Dockerfile")


def test_every_file_is_named_in_the_page_with_commands_of_three_lines() -> None:
    for path in OPS.rglob("*"):
        is_part = path.parent.name in ("provisioning", "datasources", "dashboards") or "ignore" in path.name
        if path.is_file() and not is_part and path.name != "prometheus.yml":
            assert path.relative_to(ROOT).as_posix() in (SERVICES + ALERTS).replace("\\", "/"), path
    systems = "Linux: systemd", "Windows: Task Scheduler", "macOS: launchd", "Docker"
    for title in (*systems, "The screen", "Prometheus and Grafana"):
        section = SERVICES.split(f"## {title}\n")[1].split("\n## ")[0]
        assert len(section.split("```\n")[1].splitlines()) == 3, title
