"""The shape of the house: imports run one way, only the shell prints, heavy things stay out of the door."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).parent.parent
ROOMS = {"gair_search": 0, "indexer": 1, "benchmarks": 2, "cli": 3}


def modules(folder: str) -> list[Path]:
    return sorted((REPOSITORY / folder).rglob("*.py"))


def imported(path: Path) -> set[str]:
    names: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text("utf-8"))):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: relative import"
            names.add(node.module or "")
            names |= {f"{node.module}.{alias.name}" for alias in node.names}
    return names


def floor(name: str) -> int | None:
    if not name.startswith("gair_search"):
        return None
    parts = name.split(".")
    return ROOMS.get(parts[1], 0) if len(parts) > 1 else 0


@pytest.mark.parametrize("folder", ROOMS)
def test_imports_run_one_way(folder: str) -> None:
    """cli -> benchmarks -> indexer -> gair_search; the facade `engine.py` alone stands above the indexer."""
    for path in modules(folder):
        own = 1 if path == REPOSITORY / "gair_search/engine.py" else ROOMS[folder]
        upward = [name for name in imported(path) if (floor(name) or 0) > own]
        assert not upward, f"{path} imports {upward}"
        if folder == "indexer":
            assert "gair_search.engine" not in imported(path)


@pytest.mark.parametrize("folder", ["gair_search", "indexer"])
def test_only_the_shell_prints_and_exits(folder: str) -> None:
    for path in modules(folder):
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
        " 'qdrant_client', 'qdrant_edge', 'jinja2'}\n"
        "assert not heavy & set(sys.modules), heavy & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-P", "-c", code], check=True, capture_output=True)


def test_decoding_processes_load_no_torch() -> None:
    code = "import sys, gair_search.images.workers; assert not {'torch', 'open_clip'} & set(sys.modules)"
    subprocess.run([sys.executable, "-P", "-c", code], check=True)


def test_the_package_is_typed_and_carries_its_model() -> None:
    import gair_search

    installed = Path(gair_search.__file__).parent
    assert (installed / "py.typed").is_file()
    assert (installed / "pretrained/gair-mini/open_clip_model.safetensors").stat().st_size > 1_000_000
