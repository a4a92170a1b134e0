"""The shape of the house: imports run one way, only the shell prints, heavy things stay out of the door."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).parent.parent
PACKAGE = "gair_search"

ORDER = (
    ("errors", "paths", "progress"),
    ("images",),
    ("encoder",),
    ("gallery", "tokens"),
    ("query",),
    ("generation",),
    ("parts",),
    ("gair", "learning"),
    ("searching",),
    ("engine",),
    ("async_engine",),
    ("integrations",),
    ("indexer",),
    ("benchmarks",),
    ("cli",),
)
"""The rooms, lowest first: a room imports those below it and itself, never one beside it or above."""

OUTER = ("indexer", "benchmarks", "cli")
"""Rooms that are folders of their own beside the package."""

FLOOR = {room: floor for floor, rooms in enumerate(ORDER) for room in rooms}


def room_files(room: str) -> list[Path]:
    """The modules of a room: those of its folder, or the one file that it is."""
    folder = REPOSITORY / room if room in OUTER else REPOSITORY / PACKAGE / room
    return sorted(folder.rglob("*.py")) if folder.is_dir() else [folder.with_suffix(".py")]


def imported_rooms(path: Path) -> set[str]:
    """The rooms that a module imports, at its top or within functions."""
    names: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text("utf-8"))):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: relative import"
            names |= {f"{node.module}.{alias.name}" for alias in node.names}
    return {name.split(".")[1] for name in names if name.startswith(f"{PACKAGE}.")} & FLOOR.keys()


def test_every_module_is_in_a_room() -> None:
    below = {path.stem for path in (REPOSITORY / PACKAGE).iterdir() if path.is_dir() or path.suffix == ".py"}
    assert below - {"__init__", "__pycache__", "pretrained"} == set(FLOOR)


@pytest.mark.parametrize("room", FLOOR)
def test_imports_run_one_way(room: str) -> None:
    """The facade `engine` alone reaches up, for the indexer, and the indexer never reaches back for it."""
    for path in room_files(room):
        for other in imported_rooms(path) - {room}:
            reaches_up = (room, other) == ("engine", "indexer")
            assert FLOOR[other] < FLOOR[room] or reaches_up, f"{path} imports {other}"
            assert (room, other) != ("indexer", "engine"), f"{path} imports the facade"


@pytest.mark.parametrize(
    "folder", ["tables", "presentation", "harness", "methods", "datasets", "fashion_world"]
)
def test_only_commands_import_tables(folder: str) -> None:
    """What tables share stands below them: neither they nor what they are made of imports a table."""
    for path in sorted((REPOSITORY / "benchmarks" / folder).rglob("*.py")):
        assert "benchmarks.tables" not in path.read_text("utf-8"), path


def test_no_two_classes_share_a_name() -> None:
    places: dict[str, list[str]] = {}
    for folder in (PACKAGE, *OUTER):
        for path in sorted((REPOSITORY / folder).rglob("*.py")):
            for node in ast.walk(ast.parse(path.read_text("utf-8"))):
                if isinstance(node, ast.ClassDef):
                    places.setdefault(node.name.lstrip("_"), []).append(str(path.relative_to(REPOSITORY)))
    assert {name: where for name, where in places.items() if len(where) > 1} == {}


def test_every_command_and_page_has_its_tests() -> None:
    for folder in ("cli/commands", "cli/pages"):
        for path in sorted((REPOSITORY / folder).rglob("*.py")):
            if path.stem not in ("__init__", "table"):
                mirror = path.relative_to(REPOSITORY).with_name(f"test_{path.name}")
                assert (REPOSITORY / "tests" / mirror).is_file(), f"{path} has no tests/{mirror}"


@pytest.mark.parametrize("folder", ["gair_search", "indexer"])
def test_only_the_shell_prints_and_exits(folder: str) -> None:
    for path in sorted((REPOSITORY / folder).rglob("*.py")):
        calls = [node.func for node in ast.walk(ast.parse(path.read_text())) if isinstance(node, ast.Call)]
        named = {call.id for call in calls if isinstance(call, ast.Name)}
        assert not {"print", "exit", "quit"} & named, path


def test_help_and_version_load_nothing_heavy() -> None:
    code = (
        "import sys; sys.argv = ['gair', '--help']\n"
        "from gair_search.cli.app import main\n"
        "try: main()\n"
        "except SystemExit: pass\n"
        "heavy = {'torch', 'numpy', 'PIL', 'open_clip', 'transformers', 'diffusers',"
        " 'qdrant_client', 'qdrant_edge', 'jinja2', 'tqdm', 'wcwidth', 'rich'}\n"
        "assert not heavy & set(sys.modules), heavy & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-P", "-c", code], check=True, capture_output=True)


def test_decoding_processes_load_no_torch() -> None:
    code = (
        "import sys, gair_search.images.workers, gair_search.images.sources\n"
        "assert not {'torch', 'open_clip', 'httpx', 'httpcore'} & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-P", "-c", code], check=True)


def test_the_package_is_typed_and_carries_its_model() -> None:
    import gair_search

    installed = Path(gair_search.__file__).parent
    assert (installed / "py.typed").is_file()
    assert (installed / "pretrained/gair-mini/open_clip_model.safetensors").stat().st_size > 1_000_000


def modules() -> list[Path]:
    """Every module of ours, tests left out."""
    folders = (REPOSITORY / name for name in (PACKAGE, *OUTER, "training", "examples"))
    # the links below the package lead to the outer rooms, which are walked by themselves
    return sorted(path for folder in folders for path in folder.rglob("*.py") if not _is_below_link(path))


def _is_below_link(path: Path) -> bool:
    return path.relative_to(REPOSITORY).parts[:2] in {(PACKAGE, name) for name in OUTER}


def n_lines(function: ast.FunctionDef, path: Path) -> int:
    """Lines of a function; of a command without its signature, which is as long as it has options."""
    first = function.body[0].lineno if "commands" in path.parts else function.lineno
    return (function.end_lineno or first) - first + 1


def test_modules_and_functions_fit_on_a_page() -> None:
    """At most 400 lines a module and 60 a function, unless its docstring says why: "Long, since ..."."""
    for path in modules():
        text = path.read_text("utf-8")
        assert len(text.splitlines()) <= 400, path
        for node in ast.walk(ast.parse(text)):
            if isinstance(node, ast.FunctionDef) and n_lines(node, path) > 60:
                assert "Long, since" in (ast.get_docstring(node) or ""), f"{path}: {node.name}"
