"""README and docs say what is true: their Python runs, their commands parse, their options are there.

A comment before a block says what it needs: see CONTRIBUTING.md, "Tests".
"""

import json
import pkgutil
import re
import shlex
import shutil
import sys
import tomllib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import typer.core
import typer.main
from markdown_it import MarkdownIt
from qdrant_client import QdrantClient
from qdrant_client import models as qdrant
from support.pervl import make_pervl
from support.rest_server import rest_server
from test_architecture import ORDER

import gair_search
from gair_search import Engine
from gair_search.benchmarks.fashion_world import instance, render, scene
from gair_search.cli import app
from gair_search.encoder import models
from gair_search.encoder.clip import Encoder

REPOSITORY = Path(__file__).parent.parent
PAGES = [REPOSITORY / "README.md", *sorted((REPOSITORY / "docs").glob("*.md"))]
COMMENT = re.compile(r"<!-- (needs|not run): (.+?) -->\s*\Z")
MORE_PAGES = [
    REPOSITORY / name
    for name in (
        "CHANGELOG.md",
        "CONTRIBUTING.md",
        "benchmarks/RESULTS.md",
        "gair_search/pretrained/gair-mini/README.md",
        "training/README.md",
    )
]
"""Pages whose sentences are checked, and whose blocks are not run."""

SCRIPTS = sorted((REPOSITORY / "benchmarks/scripts").glob("*.py"))
OTHER_OPTIONS = {
    option for script in SCRIPTS for option in re.findall(r'"(--[a-z-]+)"', script.read_text("utf-8"))
}
"""Options that the docs name and no command of `gair` has: those of the scripts."""

FOLDERS = ("gair_search", "indexer", "benchmarks", "cli", "tests", "training", "docs", "examples")
"""Whatever the docs name below these is a file or folder of the repository."""

MOST_NOT_RUN = 0
"""How many Python blocks may be left out. Raise it only with a reason in the block's comment."""


@dataclass(frozen=True)
class Block:
    """A fenced block: its language, its text, where it stands, and the comment before it."""

    language: str
    text: str
    page: Path
    line: int
    needs: tuple[str, ...] = ()
    reason: str = ""

    def __str__(self) -> str:
        return f"{self.page.name}:{self.line}"


def blocks(language: str) -> Iterator[Block]:
    """All fenced blocks of a language, page by page."""
    for page in PAGES:
        before = ""
        for token in MarkdownIt("commonmark").parse(page.read_text("utf-8")):
            if token.type == "fence" and token.info == language:
                kind, text = match.groups() if (match := COMMENT.search(before)) else ("needs", "")
                needs = tuple(text.split(", ")) if kind == "needs" and text else ()
                assert token.map is not None
                line = token.map[0] + 1
                yield Block(language, token.content, page, line, needs, "" if kind == "needs" else text)
            before = token.content if token.type == "html_block" else ""


def commands(text: str) -> list[list[str]]:
    """The `gair` command lines of a console block, as words."""
    lines = text.replace("\\\n", " ").splitlines()
    words = [shlex.split(line[2:], comments=True) for line in lines if line.startswith("$ gair ")]
    return [line[1:] for line in words]


def name_of(page: Path) -> str:
    return str(page.relative_to(REPOSITORY))


def inline_code(text: str) -> Iterator[str]:
    """All code within the sentences, lists and tables of a page."""
    for token in MarkdownIt("commonmark").enable("table").parse(text):
        yield from (child.content for child in token.children or () if child.type == "code_inline")


PYTHON = list(blocks("python"))
CONSOLE = list(blocks("console"))


@pytest.fixture(scope="session")
def model(tmp_path_factory: pytest.TempPathFactory) -> str:
    """gair-mini, as it is but for the few steps that it learns a concept in."""
    folder = tmp_path_factory.mktemp("model") / "gair-mini"
    shutil.copytree(Path(gair_search.__file__).parent / "pretrained/gair-mini", folder)
    settings = json.loads((folder / "learning.json").read_text("utf-8"))
    (folder / "learning.json").write_text(json.dumps(settings | {"steps": 6}), "utf-8")
    return f"local-dir:{folder}"


@pytest.fixture(scope="session")
def pictures(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the photos that the docs name, all of them rendered."""
    folder = tmp_path_factory.mktemp("pictures")
    dress = instance(7, "test", kind="dress")
    shown = {f"concepts/my-dress/dress{i}.jpg": scene(i, "test", item=dress) for i in (1, 2, 3)}
    places = {f"photos/{i}.jpg": "dress" for i in range(8)} | {"holiday/IMG_0042.jpg": "hat"}
    for place, kind in (("classes/bag", "bag"), ("classes/mug", "mug"), ("concepts/my-mug", "mug")):
        places |= {f"{place}/{i}.jpg": kind for i in range(3)}
    for seed, (place, kind) in enumerate(places.items()):
        shown[place] = scene(seed, "test", item=instance(100 + seed, "test", kind=kind))
    for place, picture in shown.items():
        (folder / place).parent.mkdir(parents=True, exist_ok=True)
        render(picture, 96).save(folder / place)
    shutil.copytree(folder / "photos", folder / "Pictures")
    for place in (".", "photos"):
        shutil.copytree(folder / "concepts/my-dress", folder / place, dirs_exist_ok=True)
    prompts = {"bag": ["a red bag", "a bag on a beach"], "mug": "a mug"}
    (folder / "prompts.json").write_text(json.dumps(prompts), "utf-8")
    return folder


@pytest.fixture(scope="session")
def indexed(model: str, pictures: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An embedded gallery of the photos."""
    folder = tmp_path_factory.mktemp("indexed") / "gallery"
    with Engine.open(model, db=folder) as engine:
        engine.index(pictures / "photos")
    return folder


@pytest.fixture
def photos(model: str, pictures: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The test's own folder is the current one, and the user's home; it has the photos that the docs name."""
    monkeypatch.setenv("GAIR_MODEL", model)
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.chdir(tmp_path)
    shutil.copytree(pictures, tmp_path, dirs_exist_ok=True)
    return tmp_path


@pytest.fixture
def gallery(photos: Path, indexed: Path, home: Path) -> None:
    """`gallery/` and the default gallery hold the photos."""
    shutil.copytree(indexed, photos / "gallery")
    shutil.copytree(indexed, home / "galleries/photos")


@pytest.fixture(scope="session")
def learned(model: str, pictures: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The file of a token `<my-dress>`."""
    home = tmp_path_factory.mktemp("learned")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("GAIR_HOME", str(home))
        with Engine.open(model) as engine:
            own = pictures / "concepts/my-dress"
            engine.learn("my-dress", own, parent="dress", negatives=pictures / "Pictures")
    return home / "tokens/my-dress.safetensors"


@pytest.fixture
def concept(photos: Path, learned: Path, home: Path) -> None:
    """The concept `<my-dress>` is stored, and lies beside as a file, too."""
    (home / "tokens").mkdir(parents=True)
    shutil.copy2(learned, home / "tokens")
    shutil.copy2(learned, photos)


@pytest.fixture(scope="session")
def shop(pictures: Path) -> QdrantClient:
    """A catalogue that gair-search did not make: the photos by their numbers, some vectors, nested payloads."""
    encoder = Encoder(models.resolve("gair-mini"), "cpu")
    features = encoder.encode_files(sorted((pictures / "photos").iterdir()))
    client = QdrantClient(":memory:")
    layout = {
        "clip": qdrant.VectorParams(size=features.shape[1], distance=qdrant.Distance.COSINE),
        "title": qdrant.VectorParams(size=3, distance=qdrant.Distance.DOT),
    }
    client.create_collection("catalogue", vectors_config=layout)
    for i, vector in enumerate(features):
        payload = {
            "product": f"p{i // 2}",
            "stock": {"here": i % 3 > 0, "price": 7 * i},
            "tenant": ("north", "south")[i % 2],
        }
        own = {"clip": vector.tolist(), "title": [0.0, 1.0, 0.0]}
        client.upsert("catalogue", [qdrant.PointStruct(id=i, vector=own, payload=payload)])
    return client


@pytest.fixture
def catalogue(shop: QdrantClient, photos: Path) -> Iterator[dict[str, Any]]:
    """`client` and `address` of a server with the collection `catalogue`."""
    with rest_server() as server:
        server.client = shop
        yield {"client": QdrantClient(url=server.url, check_compatibility=False), "address": server.url}


@pytest.fixture
def export(photos: Path) -> None:
    """`gair-mini-sd/` is what `gair models export` writes."""
    run_gair(["models", "export", "gair-mini", "gair-mini-sd"])


@pytest.fixture
def pervl(photos: Path) -> None:
    """`PerVLBenchmark/` is the benchmark in small."""
    make_pervl(photos / "PerVLBenchmark")


def run_gair(words: list[str]) -> None:
    """Run a `gair` command in this process. Fails unless it is done."""
    typed = [str(Path(word).expanduser()) if word.startswith("~") else word for word in words]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sys, "argv", ["gair", *typed])
        with pytest.raises(SystemExit) as ended:
            app.main()
    assert ended.value.code == 0, f"gair {shlex.join(words)}"


@pytest.mark.slow
@pytest.mark.parametrize("block", [block for block in PYTHON if not block.reason], ids=str)
def test_python_runs(block: Block, request: pytest.FixtureRequest, photos: Path) -> None:
    names: dict[str, Any] = {"__name__": "docs"}
    for need in block.needs:
        given = request.getfixturevalue(need)
        names |= given if isinstance(given, dict) else {}
    code = "\n" * block.line + block.text  # so that a traceback shows the page's own lines
    exec(compile(code, block.page, "exec"), names)


@pytest.mark.slow
@pytest.mark.parametrize("block", [block for block in CONSOLE if block.needs], ids=str)
def test_commands_run(block: Block, request: pytest.FixtureRequest) -> None:
    for name in block.needs:
        request.getfixturevalue(name)
    for words in commands(block.text):
        run_gair(words)


def test_hardly_a_block_is_left_out() -> None:
    assert len(PYTHON) >= 7
    left_out = [str(block) for block in PYTHON if block.reason]
    assert len(left_out) <= MOST_NOT_RUN, left_out
    assert sum(bool(block.needs) for block in CONSOLE) >= 5


def find_command(words: list[str]) -> tuple[typer.core.TyperCommand, list[str]]:
    """The command that words begin with, and the words after it. Raises KeyError where there is none."""
    command = typer.main.get_command(app.app)
    while isinstance(command, typer.core.TyperGroup) and words and words[0][0] != "-":
        command, words = command.commands[words[0]], words[1:]
    return command, words


def options(command: typer.core.TyperCommand) -> set[str]:
    """The options of a command and of all below it."""
    below = command.commands.values() if isinstance(command, typer.core.TyperGroup) else ()
    own = {name for parameter in command.params for name in parameter.opts + parameter.secondary_opts}
    return own.union({"--help"}, *(options(one) for one in below))


@pytest.mark.parametrize("block", [block for block in CONSOLE if commands(block.text)], ids=str)
def test_commands_parse(block: Block) -> None:
    for words in commands(block.text):
        command, arguments = find_command(words)
        if (
            words[0] == "query"
        ):  # its `--gair` may stand without a value, which the shell settles before typer
            arguments = ["--gair=yes" if word == "--gair" else word for word in arguments]
        command.make_context(words[0], arguments)


@pytest.mark.parametrize("page", [*PAGES, *MORE_PAGES], ids=name_of)
def test_commands_and_options_in_the_text_are_there(page: Path) -> None:
    """`gair ...` in a sentence names a command and options of its own; an option alone is one of some command's."""
    every = options(typer.main.get_command(app.app)) | OTHER_OPTIONS
    for code in inline_code(page.read_text("utf-8")):
        words = re.findall(r"[^\s\[\]|=,]+", code)
        if words[:1] == ["gair"]:
            command, rest = find_command([word for word in words[1:] if word.islower()])
            assert {word for word in rest if word.startswith("--")} <= options(command), code
        elif code.startswith("-"):
            assert {word for word in words if re.match(r"--?[a-z]", word)} <= every, code


SCRIPTS = "gair_search.benchmarks.scripts."


@pytest.mark.parametrize("page", [*PAGES, *MORE_PAGES], ids=name_of)
def test_python_names_in_the_text_are_there(page: Path) -> None:
    for code in inline_code(page.read_text("utf-8")):
        for name in re.findall(r"\bgair_search\.[\w.]+|\bEngine\.\w+", code):
            if name.startswith(SCRIPTS):  # of the checkout alone: the wheel has none
                assert (REPOSITORY / "benchmarks/scripts" / f"{name.removeprefix(SCRIPTS)}.py").is_file(), (
                    code
                )
                continue
            pkgutil.resolve_name(name if name.startswith("gair_search") else f"gair_search.engine.{name}")


def test_the_architecture_names_every_module() -> None:
    """The table below a room's heading has its modules and folders."""
    text = (REPOSITORY / "docs/architecture.md").read_text("utf-8")
    sections = dict(re.findall(r"^### (\w+)\n(.*?)(?=^##|\Z)", text, re.M | re.S))
    for room, section in sections.items():
        folder = REPOSITORY / room if (REPOSITORY / room).is_dir() else REPOSITORY / "gair_search" / room
        here = {path.name for path in folder.glob("*.py")} - {"__init__.py"}
        here |= {f"{path.parent.name}/" for path in folder.glob("[!_.]*/*.py")}
        assert set(re.findall(r"^\| `([\w./]+)` \|", section, re.M)) == here, room
    rooms = {path.parent.name for path in (REPOSITORY / "gair_search").glob("*/__init__.py")}
    assert rooms == set(sections)
    order = " < ".join(", ".join(floor) for floor in ORDER)
    assert order in " ".join(text.split())


def test_the_api_shows_every_room() -> None:
    pages = "".join(path.read_text("utf-8") for path in (REPOSITORY / "docs/api").rglob("*.md"))
    shown = set(re.findall(r"^::: gair_search\.([\w.]+)$", pages, re.M))
    below = [path for path in (REPOSITORY / "gair_search").iterdir() if path.is_dir() or path.suffix == ".py"]
    rooms = {path.stem for path in below} - {"__init__", "__pycache__", "pretrained", "benchmarks"}
    parts = {path.parent.name for path in (REPOSITORY / "benchmarks").glob("*/__init__.py")}
    assert shown == rooms | {f"benchmarks.{part}" for part in parts}


@pytest.mark.parametrize("page", [*PAGES, *MORE_PAGES], ids=name_of)
def test_files_in_the_text_are_there(page: Path) -> None:
    for code in inline_code(page.read_text("utf-8")):
        for path in re.findall(rf"(?<![\w./-])(?:{'|'.join(FOLDERS)})/[\w./-]*", code):
            assert "NAME" in path or (REPOSITORY / path).exists(), code


def test_project_urls_are_urls() -> None:
    project = tomllib.loads((REPOSITORY / "pyproject.toml").read_text("utf-8"))["project"]
    assert all(url.startswith("https://") for url in project["urls"].values())
