"""The river of ARCHITECTURE.md: data moves downstream, pure rooms stay pure, each half loads alone."""

import ast
import re
import subprocess
import sys
from functools import cache
from pathlib import Path

import pytest

PACKAGE = Path(__file__).resolve().parents[1] / "l2vault"
ARCHITECTURE = (PACKAGE.parent / "ARCHITECTURE.md").read_text(encoding="utf-8")
LONGEST_MODULE = 500
LONGEST_FUNCTION = 40
COMMON = {"allocator", "errors", "clock", "foreign", "grammar", "own_process", "worker", "version", ""}
ALLOWED = {
    "book": {"book"},
    "okx": {"okx", "book"},
    "vault": {"vault", "book"},
    "analytics": {"analytics", "vault", "book"},
    "api": {"api", "analytics", "vault", "book"},
    "alerts": {"alerts", "api", "analytics", "vault", "book"},
    "exports": {"exports", "api", "analytics", "vault", "book"},
    "replay": {"replay", "exports", "sim", "vault", "book"},
    "history": {"history", "okx", "vault", "book"},
    "web": {"web", "api", "analytics", "vault", "book"},
    "sim": {"sim", "book", "okx"},
    "probe": {"probe", "okx", "book", "config"},
    "recording": {"recording", "okx", "vault", "book", "config"},
    "recorder": {"recording", "okx", "vault", "book", "config"},
    "config": {"book"},
    "clock": {"book"},
    "version": set(),
    "errors": set(),
    "allocator": set(),
    "foreign": set(),
    "own_process": set(),
    "worker": set(),
    "grammar": set(),
    "entry": {"cli"},
    "verbs": {
        "verbs",
        "api",
        "alerts",
        "exports",
        "replay",
        "history",
        "web",
        "probe",
        "analytics",
        "recording",
        "recorder",
        "vault",
        "book",
        "okx",
        "sim",
        "config",
    },
    "cli": {"config", "verbs"},
}
SIM_MAY_TAKE_FROM_OKX = {"messages", "checksum"}
HISTORY_MAY_TAKE_FROM_OKX = {"rest", "web", "proxies", "hosts"}
"""How a file is asked for. It knows nothing of the websocket."""
ORDER = {
    "vault": ("store", "health journal", "coverage", "archive", "reading retention", "checking merging pushing"),
    "sim": ("exchange", "faults", "server"),
    "analytics": (
        "contract figures former_names tail",
        "one_book resample provenance",
        "standing_walls",
        "book_matrix",
        "interval_rows trades context",
        "side_levels deep",
        "rpi",
        "books",
        "coverage_meter",
        "executors",
        "metrics walls zones flow",
        "heatmap",
        "chance pictures",
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
            *("plausibility", "rest_join", "audit", "exchange_time", "book_time", "trade_chain", "trade_leaps"),
            *("context", "context_messages"),
        )
    ),
    PACKAGE / "vault" / "store" / "layout.py",
    PACKAGE / "vault" / "store" / "line.py",
    PACKAGE / "vault" / "store" / "linecheck.py",
    PACKAGE / "vault" / "health" / "judge.py",
    PACKAGE / "vault" / "health" / "metrics.py",
    PACKAGE / "vault" / "retention" / "forecast.py",
    *(PACKAGE / "alerts" / f"{name}.py" for name in ("rule", "conditions", "market", "outbox")),
    PACKAGE / "sim" / "server" / "peer.py",
    PACKAGE / "exports" / "events.py",
    PACKAGE / "web" / "guard.py",
    *(PACKAGE / "web" / f"{name}.py" for name in ("window", "tile", "kept", "arrow", "openapi")),
    *(path for path in (PACKAGE / "sim" / "faults").glob("*.py") if path.stem not in ("flow", "context")),
    PACKAGE / "sim" / "exchange" / "trades.py",
    PACKAGE / "history" / "naming.py",
    PACKAGE / "history" / "hosts.py",
    PACKAGE / "sim" / "exchange" / "context.py",
    *(
        PACKAGE / "probe" / f"{name}.py"
        for name in ("stream", "findings", "figures", "rows", "questions", "verdict", "document", "plan")
    ),
    *(
        PACKAGE / "analytics" / f"{name}.py"
        for name in (
            "contract",
            "book_matrix",
            "interval_rows",
            "side_levels",
            "metrics",
            "resample",
            "one_book",
            "standing_walls",
            "figures",
            "former_names",
            "tail",
            "provenance",
        )
    ),
    *(
        path
        for room in ("walls", "zones", "flow", "heatmap", "chance")
        for path in (PACKAGE / "analytics" / room).glob("*.py")
    ),
]
IMPURE_MODULES = {"asyncio", "io", "logging", "os", "shutil", "socket", "subprocess", "tempfile", "threading", "time"}
CLOCK_CALLS = {"time", "time_ns", "monotonic", "monotonic_ns", "perf_counter", "now", "utcnow", "today"}
READING_NEVER_LOADS = ("asyncio", "websockets", "l2vault.okx")
RECORDING_NEVER_LOADS = ("polars", "pyarrow", "numpy", "matplotlib", "pandas", "duckdb", "starlette", "uvicorn")


@cache
def _modules() -> list[Path]:
    return sorted(path for path in PACKAGE.rglob("*.py") if path.name != "__main__.py")


@cache
def _tree(path: Path) -> ast.Module:
    return ast.parse(path.read_text(encoding="utf-8"))


@cache
def _imports(path: Path) -> list[str]:
    names = []
    for node in ast.walk(_tree(path)):
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
            if room == "history" and _room(name) == "okx":
                assert name.split(".")[2] in HISTORY_MAY_TAKE_FROM_OKX, f"{path.name} imports {name}"
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
    nodes = ast.walk(_tree(path))
    calls = {node.func.id for node in nodes if isinstance(node, ast.Call) and isinstance(node.func, ast.Name)}
    assert "open" not in calls


@pytest.mark.parametrize("path", _modules(), ids=lambda path: path.relative_to(PACKAGE).as_posix())
def test_only_clock_reads_a_clock(path: Path) -> None:
    if path.name == "clock.py":
        return
    for node in ast.walk(_tree(path)):
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute):
            owner = node.func.value
            name = owner.id if isinstance(owner, ast.Name) else getattr(owner, "attr", "")
            assert not (name in ("time", "datetime", "date") and node.func.attr in CLOCK_CALLS), f"line {node.lineno}"


@pytest.mark.parametrize("path", sorted((PACKAGE / "vault").rglob("*.py")), ids=lambda path: path.stem)
def test_files_of_the_vault_are_renamed_and_deleted_in_one_place(path: Path) -> None:
    """Windows refuses both for moments while another program has the file open: only `durable` tries again."""
    if path.name == "durable.py":
        return
    for node in ast.walk(_tree(path)):
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute):
            assert node.func.attr not in ("unlink", "rename"), f"line {node.lineno}"
            is_on_text = len(node.args) != 1 or node.keywords  # Path.replace takes one argument, str.replace two
            assert node.func.attr != "replace" or is_on_text, f"line {node.lineno}"


def test_a_file_is_read_whole_by_one_function_that_waits_for_no_pipe_and_takes_no_gigabytes() -> None:
    """`read_small`. The others read what they have just written, or what they saw to be a regular file."""
    seen = {"archive/twins.py", "archive/write.py", "pushing/run.py"}
    found = set()
    for path in [*(PACKAGE / "vault").rglob("*.py"), *(PACKAGE / "exports").rglob("*.py")]:
        calls = [node.func for node in ast.walk(_tree(path)) if isinstance(node, ast.Call)]
        if any(isinstance(call, ast.Attribute) and call.attr in ("read_bytes", "read_text") for call in calls):
            found.add(f"{path.parent.name}/{path.name}")
    assert found == seen


@pytest.mark.parametrize("path", sorted((PACKAGE / "vault").rglob("*.py")), ids=lambda path: path.stem)
def test_one_module_of_the_vault_knows_where_something_stands_in_a_line(path: Path) -> None:
    keys = ("timestamp_utc", "gap_detected", "best_bid", "asks_top")
    nodes = list(ast.walk(_tree(path)))
    texts = [node.value for node in nodes if isinstance(node, ast.Constant) and isinstance(node.value, bytes)]
    found = [text for text in texts if any(key.encode() in text for key in keys)]
    assert bool(found) == (path.name == "line.py"), found


def test_the_reading_half_loads_neither_asyncio_nor_the_wire() -> None:
    assert _loaded_by("import l2vault.vault.reading.vault", READING_NEVER_LOADS) == []
    asked = (*READING_NEVER_LOADS, "pyarrow.compute")  # loaded by who needs it: it takes a tenth of a short question
    assert _loaded_by("import l2vault.analytics.books, l2vault.verbs.walls", asked) == []


def test_the_public_door_loads_neither_asyncio_nor_the_wire_nor_an_analysis_library() -> None:
    assert _loaded_by("import l2vault", (*READING_NEVER_LOADS, *RECORDING_NEVER_LOADS, "l2vault.vault")) == []
    every_name = "import l2vault\nfor name in l2vault.__all__: getattr(l2vault, name)"
    assert _loaded_by(every_name, (*READING_NEVER_LOADS, *RECORDING_NEVER_LOADS)) == []
    results = "import l2vault.api.trades, l2vault.api.context"
    assert _loaded_by(results, (*READING_NEVER_LOADS, *RECORDING_NEVER_LOADS)) == []


def test_the_recorder_loads_no_analysis_library() -> None:
    assert _loaded_by("import l2vault.verbs.record", RECORDING_NEVER_LOADS) == []


def test_the_verb_of_the_screen_loads_no_web_server_before_it_runs() -> None:
    assert _loaded_by("import l2vault.verbs.screen", RECORDING_NEVER_LOADS) == []


def test_the_page_asks_for_nothing_from_another_host_and_has_no_inline_script() -> None:
    for path in sorted((PACKAGE / "web" / "static").iterdir()):
        text = path.read_text(encoding="utf-8").replace("http://www.w3.org/2000/svg", "")
        assert not re.search(r"(?:https?|wss?)://[\w.]", text), path.name
        assert "innerHTML" not in text and "insertAdjacentHTML" not in text, path.name
        if path.suffix == ".html":
            assert not re.search(r"<script(?![^>]*src=)|<style| style=| on\w+=", text)


def test_no_module_is_a_junk_drawer() -> None:
    for path in _modules():
        assert path.stem not in ("utils", "common", "helpers", "manager")


def _long_modules() -> list[str]:
    return [path.stem for path in _modules() if len(path.read_text(encoding="utf-8").splitlines()) > LONGEST_MODULE]


def _long_functions(source: str) -> list[str]:
    """Those whose signature and code take more lines than `LONGEST_FUNCTION`; a docstring does not count."""
    found = []
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            has_docstring = ast.get_docstring(node) is not None
            own = node.body[0].end_lineno - node.body[0].lineno + 1 if has_docstring else 0  # type: ignore[operator]
            if node.end_lineno - node.lineno + 1 - own > LONGEST_FUNCTION:  # type: ignore[operator]
                found.append(node.name)
    return found


def test_what_is_longer_than_usual_is_named_in_the_architecture_with_its_reason() -> None:
    lines = "\n".join(f"    x = {number}" for number in range(LONGEST_FUNCTION))
    assert _long_functions(f"def long() -> None:\n{lines}\n") == ["long"]
    assert (
        _long_functions(f'def described() -> None:\n    """Two\n    lines."""\n{lines[: lines.rindex(chr(10))]}\n')
        == []
    )
    named = set(re.findall(r"`(\w+)(?:\(\))?`", ARCHITECTURE))
    for path in _modules():
        for name in _long_functions(path.read_text(encoding="utf-8")):
            assert name in named, f"{path}: {name} has more than {LONGEST_FUNCTION} lines"
    for name in _long_modules():
        assert name in named, f"{name} has more than {LONGEST_MODULE} lines"


def test_every_path_that_the_architecture_names_exists() -> None:
    named = set(re.findall(r"`((?:[a-z_]+/)*[a-z_]+(?:\.py|/))`", ARCHITECTURE))
    assert len(named) > 30, "the walks name their places"
    for name in named:
        assert (PACKAGE / name).exists() or (PACKAGE.parent / name).exists(), name


def test_the_table_of_rooms_has_every_room_of_the_package() -> None:
    rooms = {path.parent.name for path in PACKAGE.glob("*/__init__.py")}
    table = ARCHITECTURE[ARCHITECTURE.index("| room |") : ARCHITECTURE.index("Arrows allowed:")]
    assert rooms == set(re.findall(r"^\| `([a-z]+)/`", table, re.M))
    inner = {path.parent.relative_to(PACKAGE).as_posix() for path in PACKAGE.glob("*/*/__init__.py")}
    assert {f"{name}/" for name in inner} <= set(re.findall(r"`([a-z]+/[a-z]+/)`", table))


def _public(path: Path) -> list[tuple[str, ast.FunctionDef | ast.ClassDef]]:
    """Functions, classes and methods of a module that have no underscore in front."""
    found: list[tuple[str, ast.FunctionDef | ast.ClassDef]] = []

    def look(node: ast.Module | ast.ClassDef, prefix: str) -> None:
        for each in node.body:
            if isinstance(each, ast.FunctionDef | ast.ClassDef) and not each.name.startswith("_"):
                if any(isinstance(mark, ast.Name) and mark.id == "overload" for mark in each.decorator_list):
                    continue  # said once, where it is implemented
                found.append((prefix + each.name, each))
                if isinstance(each, ast.ClassDef):
                    look(each, f"{prefix}{each.name}.")

    look(_tree(path), "")
    return found


@pytest.mark.parametrize("room", ["api", "analytics"])
def test_every_public_name_of_these_rooms_is_described_and_has_types_of_its_own(room: str) -> None:
    for path in sorted((PACKAGE / room).rglob("*.py")):
        for name, node in _public(path):
            assert ast.get_docstring(node), f"{path.name}: {name}"
            if isinstance(node, ast.FunctionDef):
                types = [each.annotation for each in (*node.args.args, *node.args.kwonlyargs)] + [node.returns]
                named = {each.id for kind in types if kind for each in ast.walk(kind) if isinstance(each, ast.Name)}
                assert "Any" not in named or path.parent.name == "pictures", f"{path.name}: {name}"


def _loaded_by(statement: str, names: tuple[str, ...]) -> list[str]:
    code = f"{statement}\nimport sys\nprint([name for name in {names!r} if name in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    found = ast.literal_eval(done.stdout)
    assert isinstance(found, list)
    return found
