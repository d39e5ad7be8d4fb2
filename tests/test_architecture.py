"""The river of ARCHITECTURE.md: data moves downstream, pure rooms stay pure, each half loads alone."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

PACKAGE = Path(__file__).resolve().parents[1] / "l2vault"
COMMON = {"errors", "clock", "foreign", "grammar", "__version__", ""}
ALLOWED = {
    "book": {"book"},
    "okx": {"okx", "book"},
    "vault": {"vault", "book"},
    "analytics": {"analytics", "vault", "book"},
    "api": {"api", "analytics", "vault", "book"},
    "sim": {"sim", "book", "okx"},
    "probe": {"probe", "okx", "book", "config"},
    "recording": {"recording", "okx", "vault", "book", "config"},
    "recorder": {"recording", "okx", "vault", "book", "config"},
    "config": {"book"},
    "clock": {"book"},
    "errors": set(),
    "foreign": set(),
    "grammar": set(),
    "entry": {"cli"},
    "verbs": {"verbs", "api", "probe", "analytics", "recording", "recorder", "vault", "book", "okx", "sim", "config"},
    "cli": {"config"},
}
SIM_MAY_TAKE_FROM_OKX = {"messages", "checksum"}
ORDER = {
    "vault": ("store", "journal", "coverage", "archive", "reading retention", "checking"),
    "sim": ("exchange", "faults", "server"),
    "analytics": (
        "contract figures",
        "one_book resample",
        "book_matrix",
        "books",
        "metrics walls zones flow heatmap",
        "pictures",
    ),
}
"""Inside these rooms what stands on the left is known to what stands on its right, never the other way round; what
stands side by side does not know each other."""
PURE = [
    *(PACKAGE / "book").glob("*.py"),
    *(
        PACKAGE / "okx" / f"{name}.py"
        for name in (
            *("messages", "sequence", "checksum", "subscription", "session", "pipeline", "instrument", "outputs"),
            *("plausibility", "rest_join", "audit", "exchange_time", "book_time"),
        )
    ),
    PACKAGE / "vault" / "store" / "layout.py",
    PACKAGE / "vault" / "store" / "linecheck.py",
    PACKAGE / "sim" / "server" / "peer.py",
    *(path for path in (PACKAGE / "sim" / "faults").glob("*.py") if path.stem not in ("flow", "context")),
    PACKAGE / "sim" / "exchange" / "trades.py",
    *(
        PACKAGE / "probe" / f"{name}.py"
        for name in ("stream", "findings", "figures", "rows", "questions", "verdict", "page", "plan")
    ),
    *(
        PACKAGE / "analytics" / f"{name}.py"
        for name in ("contract", "book_matrix", "metrics", "resample", "one_book", "figures")
    ),
    *(path for room in ("walls", "zones", "flow", "heatmap") for path in (PACKAGE / "analytics" / room).glob("*.py")),
]
IMPURE_MODULES = {"asyncio", "io", "logging", "os", "shutil", "socket", "subprocess", "tempfile", "threading", "time"}
CLOCK_CALLS = {"time", "time_ns", "monotonic", "monotonic_ns", "perf_counter", "now", "utcnow", "today"}
READING_NEVER_LOADS = ("asyncio", "websockets", "l2vault.okx")
RECORDING_NEVER_LOADS = ("polars", "pyarrow", "numpy", "matplotlib", "pandas", "duckdb")


def _modules() -> list[Path]:
    return sorted(path for path in PACKAGE.rglob("*.py") if path.name != "__main__.py")


def _imports(path: Path) -> list[str]:
    names = []
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            names += [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: relative import"
            module = str(node.module)
            is_package = (PACKAGE.parent / module.replace(".", "/")).is_dir()
            names += [f"{module}.{alias.name}" for alias in node.names] if is_package else [module]
    return names


def _room(module: str) -> str:
    parts = module.split(".")
    return parts[1] if len(parts) > 1 else ""


@pytest.mark.parametrize("path", _modules(), ids=lambda path: path.relative_to(PACKAGE).as_posix())
def test_imports_go_downstream_only(path: Path) -> None:
    parts = path.relative_to(PACKAGE).with_suffix("").parts
    room = parts[0]
    if room == "__init__":
        return
    for name in _imports(path):
        if name.split(".")[0] != "l2vault" or _room(name) in COMMON | ALLOWED[room]:
            if room == "sim" and _room(name) == "okx":
                assert name.split(".")[2] in SIM_MAY_TAKE_FROM_OKX, f"{path.name} imports {name}"
            continue
        pytest.fail(f"{'/'.join(parts)} imports {name}")


def _name(path: Path) -> str:
    return ".".join(path.relative_to(PACKAGE.parent).with_suffix("").parts).removesuffix(".__init__")


def _arrows() -> dict[str, set[str]]:
    """Which module imports which, function-level imports included; a package's `__init__` is a module of its own."""
    known = {_name(path) for path in _modules()}
    arrows: dict[str, set[str]] = {}
    for path in _modules():
        targets = {name if name in known else name.rpartition(".")[0] for name in _imports(path)}
        arrows[_name(path)] = {name for name in targets & known if name != _name(path)}
    return arrows


def _first_circle(arrows: dict[str, set[str]]) -> list[str]:
    """One way round, if there is any."""
    done: set[str] = set()

    def walk(name: str, way: list[str]) -> list[str]:
        if name in way:
            return [*way[way.index(name) :], name]
        if name in done:
            return []
        for target in sorted(arrows.get(name, ())):
            if found := walk(target, [*way, name]):
                return found
        done.add(name)
        return []

    return next((found for name in sorted(arrows) if (found := walk(name, []))), [])


def test_no_module_imports_itself_by_way_of_others() -> None:
    assert _first_circle({"a": {"b"}, "b": {"c"}, "c": {"a"}}) == ["a", "b", "c", "a"]
    assert _first_circle(_arrows()) == []


def test_no_room_imports_itself_by_way_of_others() -> None:
    rooms: dict[str, set[str]] = {}
    for name, targets in _arrows().items():
        room = name.rpartition(".")[0] if (PACKAGE.parent / (name.replace(".", "/") + ".py")).exists() else name
        for target in targets:
            is_module = (PACKAGE.parent / (target.replace(".", "/") + ".py")).exists()
            other = target.rpartition(".")[0] if is_module else target
            if other != room and "l2vault" not in (room, other):
                rooms.setdefault(room, set()).add(other)
    assert _first_circle(rooms) == []


@pytest.mark.parametrize("outer", ORDER)
def test_inner_rooms_import_to_the_left_only(outer: str) -> None:
    rank = {room: at for at, rooms in enumerate(ORDER[outer]) for room in rooms.split()}
    inner = {name: targets for name, targets in _arrows().items() if name.startswith(f"l2vault.{outer}.")}
    assert {name.split(".")[2] for name in inner} == set(rank)
    for name, targets in inner.items():
        room = name.split(".")[2]
        for target in targets:
            if target.startswith(f"l2vault.{outer}.") and target.split(".")[2] != room:
                assert rank[target.split(".")[2]] < rank[room], f"{name} imports {target}"


@pytest.mark.parametrize("path", PURE, ids=lambda path: path.relative_to(PACKAGE).as_posix())
def test_pure_modules_know_no_socket_file_clock_or_log(path: Path) -> None:
    imported = {name.split(".")[0] for name in _imports(path)}
    assert not imported & IMPURE_MODULES
    nodes = ast.walk(ast.parse(path.read_text(encoding="utf-8")))
    calls = {node.func.id for node in nodes if isinstance(node, ast.Call) and isinstance(node.func, ast.Name)}
    assert "open" not in calls


@pytest.mark.parametrize("path", _modules(), ids=lambda path: path.relative_to(PACKAGE).as_posix())
def test_only_clock_reads_a_clock(path: Path) -> None:
    if path.name == "clock.py":
        return
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute):
            owner = node.func.value
            name = owner.id if isinstance(owner, ast.Name) else getattr(owner, "attr", "")
            assert not (name in ("time", "datetime", "date") and node.func.attr in CLOCK_CALLS), f"line {node.lineno}"


@pytest.mark.parametrize("path", sorted((PACKAGE / "vault").rglob("*.py")), ids=lambda path: path.stem)
def test_files_of_the_vault_are_renamed_and_deleted_in_one_place(path: Path) -> None:
    """Windows refuses both for moments while another program has the file open: only `durable` tries again."""
    if path.name == "durable.py":
        return
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute):
            assert node.func.attr not in ("unlink", "rename"), f"line {node.lineno}"
            is_on_text = len(node.args) != 1 or node.keywords  # Path.replace takes one argument, str.replace two
            assert node.func.attr != "replace" or is_on_text, f"line {node.lineno}"


def test_the_reading_half_loads_neither_asyncio_nor_the_wire() -> None:
    assert _loaded_by("import l2vault.vault.reading.vault", READING_NEVER_LOADS) == []
    assert _loaded_by("import l2vault.analytics.books, l2vault.verbs.walls", READING_NEVER_LOADS) == []


def test_the_public_door_loads_neither_asyncio_nor_the_wire_nor_an_analysis_library() -> None:
    assert _loaded_by("import l2vault", (*READING_NEVER_LOADS, *RECORDING_NEVER_LOADS, "l2vault.vault")) == []
    every_name = "import l2vault\nfor name in l2vault.__all__: getattr(l2vault, name)"
    assert _loaded_by(every_name, (*READING_NEVER_LOADS, *RECORDING_NEVER_LOADS)) == []


def test_the_recorder_loads_no_analysis_library() -> None:
    assert _loaded_by("import l2vault.verbs.record", RECORDING_NEVER_LOADS) == []


def test_no_module_is_a_junk_drawer_or_too_long() -> None:
    for path in _modules():
        assert path.stem not in ("utils", "common", "helpers", "manager")
        assert len(path.read_text(encoding="utf-8").splitlines()) <= 500, path


def _loaded_by(statement: str, names: tuple[str, ...]) -> list[str]:
    code = f"{statement}\nimport sys\nprint([name for name in {names!r} if name in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    found = ast.literal_eval(done.stdout)
    assert isinstance(found, list)
    return found
