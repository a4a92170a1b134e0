"""The outer folders install below `gair_search`: neither in a checkout nor in the wheel can that be felt."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

import gair_search

REPOSITORY = Path(__file__).parent.parent
OUTER = ("benchmarks", "cli", "indexer")

of_the_checkout = pytest.mark.skipif(
    "GAIR_TEST_WHEEL" in os.environ, reason="the tests run on the wheel (GAIR_TEST_WHEEL)"
)
of_the_wheel = pytest.mark.skipif(
    "GAIR_TEST_WHEEL" not in os.environ,
    reason="the tests run on the checkout; `make test-wheel` builds the wheel",
)


def own_modules() -> set[str]:
    """Every module that is to be installed, by its path below the package."""
    inner = (
        path.relative_to(REPOSITORY / "gair_search")
        for path in (REPOSITORY / "gair_search").rglob("*.py")
        if path.relative_to(REPOSITORY / "gair_search").parts[0] not in OUTER
    )
    outer = (path.relative_to(REPOSITORY) for name in OUTER for path in (REPOSITORY / name).rglob("*.py"))
    return {path.as_posix() for path in (*inner, *outer) if path.parts[:2] != ("benchmarks", "scripts")}


@of_the_checkout
@pytest.mark.parametrize("name", OUTER)
def test_the_links_say_where_the_outer_folders_are(name: str) -> None:
    link = REPOSITORY / "gair_search" / name
    assert link.is_symlink()
    assert link.readlink() == Path("..") / name
    assert (link / "__init__.py").is_file()


@of_the_checkout
def test_git_keeps_the_links_as_links() -> None:
    """Not as copies, as an editor or an unpacking that follows links would leave them."""
    links = [f"gair_search/{name}" for name in OUTER]
    listing = subprocess.run(
        ["git", "ls-files", "--stage", *links], cwd=REPOSITORY, capture_output=True, text=True
    )
    if listing.returncode:
        pytest.skip("this checkout has no git")
    modes = {line.split("\t")[1]: line.split()[0] for line in listing.stdout.splitlines()}
    assert modes == dict.fromkeys(links, "120000")


@of_the_checkout
def test_the_checkout_imports_from_its_root_without_an_install() -> None:
    """As `python -c` and a debugger do; the files are the top level's own."""
    code = (
        "import gair_search.cli, gair_search.indexer, gair_search.benchmarks\n"
        "for module in (gair_search.cli, gair_search.indexer, gair_search.benchmarks): print(module.__file__)"
    )
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    done = subprocess.run(
        [sys.executable, "-S", "-c", code], cwd=REPOSITORY, env=environment, capture_output=True, text=True
    )  # -S: no site-packages, so no editable install lends a hand
    assert done.returncode == 0, done.stderr
    found = [Path(line).resolve() for line in done.stdout.splitlines()]
    assert found == [REPOSITORY / name / "__init__.py" for name in ("cli", "indexer", "benchmarks")]


@of_the_wheel
def test_the_wheel_is_what_is_tested() -> None:
    assert Path(gair_search.__file__).is_relative_to(REPOSITORY / "build/wheel")


@of_the_wheel
def test_the_wheel_holds_every_module_and_nothing_else() -> None:
    installed = Path(gair_search.__file__).parent
    assert {path.relative_to(installed).as_posix() for path in installed.rglob("*.py")} == own_modules()
    assert not (installed / "benchmarks/scripts").exists()
    assert not (installed.parent / "tests").exists()


@of_the_wheel
def test_the_wheel_holds_what_modules_read() -> None:
    installed = Path(gair_search.__file__).parent
    templates = {path.name for path in (REPOSITORY / "cli/pages").glob("*.j2")}
    assert templates
    assert {path.name for path in (installed / "cli/pages").glob("*.j2")} == templates
    for name in ("py.typed", "learning/adjectives.txt", "pretrained/gair-mini/SHA256SUMS"):
        assert (installed / name).is_file(), name
    model = Path("pretrained/gair-mini")
    kept = {
        path.relative_to(REPOSITORY / "gair_search")
        for path in (REPOSITORY / "gair_search" / model).rglob("*.*")
    }
    assert {path.relative_to(installed) for path in (installed / model).rglob("*.*")} == kept
