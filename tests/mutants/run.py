"""Mutation testing: `make mutants`. Changes one place of a module at a time, and sees whether a test notices.

    python tests/mutants/run.py                            # every module of modules.toml
    python tests/mutants/run.py gair_search/query/language.py
    python tests/mutants/run.py --named                    # the changes of named.toml alone, some minutes

Cosmic Ray says what to change; two ways of running are ours. The tests run in a copy of the working tree, so that a
run that is cut off leaves no changed checkout. And they run in a process that is forked from one that has torch
imported, which is most of what a quick test costs. A fork that takes ten times as long as the tests do on unchanged
code is ended, together with its own processes, and counts as noticed.

What was seen is kept under `build/mutants`, by the content of the module and its tests: a run that is cut off goes on
where it was. What no test noticed has to stand in survivors.toml with the reason; the exit code is 1 where a change
of named.toml is not noticed, or where one that survives has no reason there.
"""

import argparse
import ast
import compileall
import contextlib
import fnmatch
import gc
import hashlib
import importlib
import json
import os
import resource
import shutil
import signal
import subprocess
import sys
import time
import tomllib
import traceback
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from cosmic_ray.commands.init import init
from cosmic_ray.mutating import mutate_code
from cosmic_ray.plugins import get_operator
from cosmic_ray.work_db import WorkDB, use_db
from cosmic_ray.work_item import MutationSpec, TestOutcome, WorkerOutcome, WorkItem, WorkResult
from filelock import FileLock, Timeout

REPOSITORY = Path(__file__).resolve().parents[2]
HERE = Path(__file__).resolve().parent
BUILD = REPOSITORY / "build/mutants"
TREE = BUILD / "tree"

WARM = (
    "open_clip",
    "torchvision.transforms.v2",
    "transformers.models.clip.modeling_clip",
    "diffusers.models.autoencoders",
    "diffusers.models.unets.unet_2d_condition",
    "diffusers.schedulers",
    "qdrant_client",
    "pytest",
    "hypothesis.strategies",
    "ir_measures",
    "sklearn.metrics",
)
"""Imported before the forks, and not used there."""

MEMORY = 12 * 2**30
"""Bytes that a fork may take: a loop that never ends may well fill a list."""

OPTIONS = (
    "-x",
    "-q",
    "--assert=plain",
    "-m",
    "not slow",
    "-p",
    "no:cacheprovider",
    "-p",
    "no:unraisableexception",
)
"""Of pytest: what costs time and helps to understand a failure is left out."""

OPERATORS = (
    "NumberReplacer",
    "AddNot",
    "Replace*True*",
    "Replace*False*",
    "ReplaceAndWithOr",
    "ReplaceOrWithAnd",
    "ReplaceBreakWithContinue",
    "ReplaceContinueWithBreak",
    "ReplaceUnaryOperator_Delete_*",
    "ReplaceUnaryOperator_USub_UAdd",
    "ZeroIterationForLoop",
    "ExceptionReplacer",
    "ReplaceComparisonOperator_Eq_NotEq",
    "ReplaceComparisonOperator_NotEq_Eq",
    "ReplaceComparisonOperator_Lt_*E",
    "ReplaceComparisonOperator_LtE_*t",
    "ReplaceComparisonOperator_Gt_*E",
    "ReplaceComparisonOperator_GtE_*t",
    "ReplaceComparisonOperator_Is*",
    "ReplaceBinaryOperator_Add_Sub",
    "ReplaceBinaryOperator_Sub_Add",
    "ReplaceBinaryOperator_Mul_Div",
    "ReplaceBinaryOperator_Mul_Add",
    "ReplaceBinaryOperator_Div_Mul",
    "ReplaceBinaryOperator_FloorDiv_Mul",
    "ReplaceBinaryOperator_Mod_Mul",
    "ReplaceBinaryOperator_Pow_Mul",
    "ReplaceBinaryOperator_BitAnd_BitOr",
    "ReplaceBinaryOperator_BitOr_BitAnd",
)
"""Of Cosmic Ray's: each kind of change once. Its other replacements of one sign by another tell nothing new."""

GUARDS = ("strict=", "frozen=")
"""Words before a True that is left alone: what is right without it runs in the same way."""


@dataclass(frozen=True)
class Change:
    """A change that a test should notice.

    Attributes:
        module: path below the repository.
        was, became: the lines that differ, joined.
    """

    module: str
    was: str
    became: str


@dataclass(frozen=True)
class Mutant:
    """A change, and the whole module with it."""

    change: Change
    code: str


def main() -> int:
    """Run what is asked for; the exit code."""
    parser = argparse.ArgumentParser(description="Mutation testing; see the docstring of this file.")
    parser.add_argument(
        "modules", nargs="*", help="paths below the repository; all of modules.toml unless given"
    )
    parser.add_argument("--named", action="store_true", help="the changes of named.toml alone")
    parser.add_argument("--every", type=int, default=1, metavar="N", help="a sample: one mutant in N")
    args = parser.parse_args()
    table = tomllib.loads((HERE / "modules.toml").read_text("utf-8"))
    modules = [str(Path(one)) for one in args.modules] or listed_modules(table["modules"])
    BUILD.mkdir(parents=True, exist_ok=True)
    try:
        lock = FileLock(BUILD / "lock").acquire(timeout=0)
    except Timeout:
        parser.error("another run is under way in this checkout")
    with lock:
        return run(modules, table["tests"], args)


def run(modules: Sequence[str], tests: dict[str, list[str]], args: argparse.Namespace) -> int:
    """Run mutants and say what no test notices and no reason excuses; the exit code."""
    copy_tree()
    warm_up()
    failed = [] if args.modules else run_named()
    survivors: list[Change] = []
    if not args.named:
        for module in modules:
            survivors += run_module(module, tests_of(module, tests), args.every)
    explained = {
        Change(one["module"], one["was"], one["became"])
        for one in tomllib.loads((HERE / "survivors.toml").read_text("utf-8")).get("survivor", [])
        if one["why"]
    }
    if not args.named and args.every == 1:
        for change in explained - set(survivors):
            if change.module in modules:
                say(f"survivors.toml: noticed by now, or gone: {change.module}: {change.became}")
    unexplained = [one for one in dict.fromkeys(survivors) if one not in explained]
    for change in failed:
        say(f"named.toml: no test notices that {change.module} has  {change.became}  for  {change.was}")
    if unexplained:
        say("\nnot noticed, and without a reason in tests/mutants/survivors.toml; test it, or add:\n")
    for change in unexplained:
        fields = {"module": change.module, "was": change.was, "became": change.became, "why": ""}
        say("[[survivor]]\n" + "\n".join(f"{name} = {quoted(text)}" for name, text in fields.items()) + "\n")
    return int(bool(failed or unexplained))


def say(text: str) -> None:
    print(text, flush=True)


def quoted(text: str) -> str:
    """As TOML writes a string."""
    return json.dumps(text, ensure_ascii=False)


def listed_modules(patterns: Sequence[str]) -> list[str]:
    """Paths of modules, `__init__.py` left out."""
    found = (path for pattern in patterns for path in sorted(REPOSITORY.glob(pattern)))
    return [str(path.relative_to(REPOSITORY)) for path in found if path.name != "__init__.py"]


def tests_of(module: str, given: dict[str, list[str]]) -> list[str]:
    """The tests that a module's mutants run."""
    path = Path(module)
    tests = given.get(module, [str("tests" / path.with_name(f"test_{path.name}"))])
    if absent := [test for test in tests if not (REPOSITORY / test).is_file()]:
        raise SystemExit(
            f"{module}: there is no {', '.join(absent)}; name its tests in tests/mutants/modules.toml"
        )
    return tests


def copy_tree() -> None:
    """The working tree as it is, links included, and compiled so that a changed file is seen by its content."""
    shutil.rmtree(TREE, ignore_errors=True)
    listed = subprocess.run(
        ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
        cwd=REPOSITORY,
        check=True,
        capture_output=True,
        text=True,
    )
    for name in filter(None, listed.stdout.split("\0")):
        source, target = REPOSITORY / name, TREE / name
        if os.path.lexists(source):
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(source, target, follow_symlinks=False)
    mode = importlib.import_module("py_compile").PycInvalidationMode.CHECKED_HASH
    compileall.compile_dir(TREE, quiet=2, invalidation_mode=mode)


def warm_up() -> None:
    """Import what tests import, save for the code that is changed."""
    sys.dont_write_bytecode = True
    os.environ |= {"PYTHONPATH": str(TREE), "PYTHONDONTWRITEBYTECODE": "1", "OMP_NUM_THREADS": "1"}
    os.environ["PYTEST_DISABLE_PLUGIN_AUTOLOAD"] = "1"  # some take longer to load than the tests
    sys.path[:] = [str(TREE), *(entry for entry in sys.path if Path(entry or ".").resolve() != HERE)]
    for name in WARM:
        with contextlib.suppress(ImportError):
            importlib.import_module(name)
    assert not any(name.partition(".")[0] == "gair_search" for name in sys.modules)
    gc.freeze()


def outcome(tests: Sequence[str], limit: float) -> tuple[TestOutcome, str]:
    """Run tests in a fork with what is in the tree now: whether one fails, and what pytest printed."""
    log = BUILD / "output.txt"
    pid = os.fork()
    if pid == 0:
        run_pytest(tests, log)
    began = time.monotonic()
    while time.monotonic() - began < limit:
        ended, status = os.waitpid(pid, os.WNOHANG)
        if ended:
            survived = os.waitstatus_to_exitcode(status) == 0
            return TestOutcome.SURVIVED if survived else TestOutcome.KILLED, log.read_text("utf-8", "replace")
        time.sleep(0.02)
    with contextlib.suppress(ProcessLookupError):
        os.killpg(pid, signal.SIGKILL)
    os.waitpid(pid, 0)
    return TestOutcome.KILLED, "timeout"


def run_pytest(tests: Sequence[str], log: Path) -> None:
    """In a fork: run tests and end the process with pytest's exit code."""
    code = 3
    try:
        os.setsid()
        resource.setrlimit(resource.RLIMIT_DATA, (MEMORY, MEMORY))
        out = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
        os.dup2(out, 1)
        os.dup2(out, 2)
        os.chdir(TREE)
        import pytest

        code = int(pytest.main([*OPTIONS, f"--rootdir={TREE}", *tests]))
    except BaseException:
        traceback.print_exc()
    finally:
        sys.stdout.flush()
        os._exit(code)


def clean_seconds(tests: Sequence[str]) -> float:
    """How long tests take on unchanged code. Exits where they fail."""
    began = time.monotonic()
    found, output = outcome(tests, 600)
    if found != TestOutcome.SURVIVED:
        raise SystemExit(f"the tests fail without any change: {' '.join(tests)}\n{output[-3000:]}")
    return time.monotonic() - began


def time_limit(seconds: float) -> float:
    """How long a fork may take, in seconds, where the tests take `seconds` on unchanged code."""
    return max(15.0, 10 * seconds)


def changed(module: str, original: str, code: str) -> Change:
    """What differs between two texts of a module."""
    before, after = original.splitlines(), code.splitlines()
    rest = min(len(before), len(after))
    first = next(i for i in range(rest) if before[i] != after[i])
    same = next((i for i in range(rest - first) if before[-1 - i] != after[-1 - i]), rest - first)
    was, became = before[first : len(before) - same], after[first : len(after) - same]
    return Change(module, " ".join(map(str.strip, was)), " ".join(map(str.strip, became)))


@contextlib.contextmanager
def applied(module: str, code: str) -> Iterator[None]:
    """The tree with a module's text replaced."""
    path = TREE / module
    original = path.read_text("utf-8")
    try:
        path.write_text(code, "utf-8")
        yield
    finally:
        path.write_text(original, "utf-8")


def run_named() -> list[Change]:
    """The changes of named.toml that no test notices."""
    failed = []
    for one in tomllib.loads((HERE / "named.toml").read_text("utf-8")).get("mutant", []):
        original = (TREE / one["module"]).read_text("utf-8")
        if original.count(one["was"]) != 1:
            raise SystemExit(f"named.toml: {one['module']} should have once: {one['was']}")
        limit = time_limit(clean_seconds(one["tests"]))
        with applied(one["module"], original.replace(one["was"], one["became"])):
            found, _ = outcome(one["tests"], limit)
        say(f"{found.value:8} {one['module']}: {one['was']} -> {one['became']}")
        if found == TestOutcome.SURVIVED:
            failed.append(Change(one["module"], one["was"], one["became"]))
    return failed


def run_module(module: str, tests: Sequence[str], every: int = 1) -> list[Change]:
    """Run a module's mutants that were not run yet; all that survive, those seen before included."""
    original = (TREE / module).read_text("utf-8")
    content = hashlib.sha256(original.encode())
    for test in tests:
        content.update((TREE / test).read_bytes())
    name = f"{module.replace('/', '.').removesuffix('.py')}-{content.hexdigest()[:12]}.sqlite"
    with use_db(str(BUILD / name), WorkDB.Mode.create) as work:
        if not work.num_work_items:
            os.chdir(TREE)
            init([Path(module)], work, {})
        items = [one for one in work.work_items if wanted(one.mutations[0], original)]
        items = sorted(items, key=lambda one: (one.mutations[0].start_pos, one.mutations[0].operator_name))[
            ::every
        ]
        done = dict(work.results)
        pending = [one for one in items if one.job_id not in done]
        seconds = clean_seconds(tests) if pending else 0.0
        for number, item in enumerate(pending, 1):
            mutant = make_mutant(module, original, item)
            if mutant is None:
                result = WorkResult(WorkerOutcome.NO_TEST)
            else:
                with applied(module, mutant.code):
                    found, output = outcome(tests, time_limit(seconds))
                result = WorkResult(WorkerOutcome.NORMAL, output[-2000:], found)
                if found == TestOutcome.SURVIVED:
                    say(f"\r  survives: {mutant.change.was}  ->  {mutant.change.became}")
            work.set_result(item.job_id, result)
            print(f"\r{module}: {number} of {len(pending)}", end="", flush=True)
        done = dict(work.results)
        survivors = [one for one in items if done[one.job_id].test_outcome == TestOutcome.SURVIVED]
        tested = [one for one in items if done[one.job_id].test_outcome is not None]
        ended = sum(done[one.job_id].output == "timeout" for one in tested)
        say(f"\r{module}: {len(tested)} mutants, {len(survivors)} survive, {ended} ran out of time")
        found_mutants = [make_mutant(module, original, one) for one in survivors]
        return [one.change for one in found_mutants if one]


def wanted(mutation: MutationSpec, original: str) -> bool:
    """Whether a mutation is of a kind that we run, and of code: annotations do nothing."""
    kind = mutation.operator_name.partition("/")[2]
    if not any(fnmatch.fnmatchcase(kind, pattern) for pattern in OPERATORS):
        return False
    line, column = mutation.start_pos
    text = original.splitlines()[line - 1]
    if text[:column].endswith(GUARDS) or "if TYPE_CHECKING" in text:
        return False
    return not any(first <= mutation.start_pos < last for first, last in annotations(original))


def annotations(code: str) -> list[tuple[tuple[int, int], tuple[int, int]]]:
    """Where annotations stand: (line, column) of the beginning and the end of each."""
    found = []
    for node in ast.walk(ast.parse(code)):
        given = [getattr(node, name, None) for name in ("annotation", "returns")]
        for one in given:
            if isinstance(one, ast.expr):
                end = (one.end_lineno or one.lineno, one.end_col_offset or one.col_offset)
                found.append(((one.lineno, one.col_offset), end))
    return found


def make_mutant(module: str, original: str, item: WorkItem) -> Mutant | None:
    """A mutant of a module; None where the change makes no difference to its syntax tree."""
    (mutation,) = item.mutations
    operator = get_operator(mutation.operator_name)(**mutation.operator_args)
    code = mutate_code(original, operator, mutation.occurrence)
    if code is None or same_code(original, code):
        return None
    return Mutant(changed(module, original, code), code)


def same_code(one: str, other: str) -> bool:
    """Whether two texts are the same program."""
    try:
        return ast.dump(ast.parse(one)) == ast.dump(ast.parse(other))
    except SyntaxError:
        return False


if __name__ == "__main__":
    sys.exit(main())
