"""The trip of a prompt: what is read once, and the way from a text to its hits."""

import contextlib
import json
import sys
import warnings
from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from types import CodeType, FrameType
from typing import Any

import pytest
from support.gair import PROMPT, QUICK
from support.generator import tiny_token

from gair_search.cli.commands.query import query
from gair_search.encoder.clip import Encoder
from gair_search.engine import Engine
from gair_search.query.language import parse
from gair_search.query.terms import Text
from gair_search.tokens.custom_token import CustomToken

PACKAGE = "gair_search"
PARSE: CodeType = parse.__code__
LOAD: CodeType = CustomToken.load.__func__.__code__  # type: ignore[attr-defined]


def calls_during(ask: Callable[[], Any], take: Callable[[FrameType, str], None]) -> None:
    """Run `ask` and show `take` every call and return of Python functions in this thread."""

    def profile(frame: FrameType, event: str, argument: object) -> None:
        if event in ("call", "return"):
            take(frame, event)

    before = sys.getprofile()
    sys.setprofile(profile)
    try:
        ask()
    finally:
        sys.setprofile(before)


def reads(ask: Callable[[], Any]) -> tuple[Counter[str], Counter[str]]:
    """How often each text was parsed, and how often each concept's file was read."""
    texts: Counter[str] = Counter()
    files: Counter[str] = Counter()

    def take(frame: FrameType, event: str) -> None:
        if event == "call" and frame.f_code is PARSE:
            texts[frame.f_locals["prompt"]] += 1
        elif event == "call" and frame.f_code is LOAD:
            files[frame.f_locals["path"].stem] += 1

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        calls_during(ask, take)
    return texts, files


TWICE = "a * by a <my-dress>"

ASKED: dict[str, tuple[Callable[[Engine], Any], list[str], list[str]]] = {
    "plain": (lambda e: e.search("a dog", 3), ["a dog"], []),
    "weighted": (lambda e: e.search("a (dog:1.5)", 3), ["a (dog:1.5)"], []),
    "with a concept": (lambda e: e.search(PROMPT, 3), [PROMPT], ["my-dress"]),
    "a concept twice": (lambda e: e.search(TWICE, 3), [TWICE], ["my-dress"]),
    "two concepts": (lambda e: e.compile("a * by <other>"), ["a * by <other>"], ["my-dress", "other"]),
    "plus the same concept": (
        lambda e: e.search(PROMPT, 3, plus=[Text("a <my-dress>", 2)], minus=["a dog"]),
        [PROMPT, "a <my-dress>", "a dog"],
        ["my-dress"],
    ),
    "by hand": (
        lambda e: e.compile(PROMPT, mixing_weight=0.6, plus=["a *"]),
        [PROMPT, "a *"],
        ["my-dress"],
    ),
    "GAIR": (lambda e: e.search(PROMPT, 3, gair=True, config=QUICK), [PROMPT], ["my-dress"]),
    "GAIR plus": (
        lambda e: e.gair(PROMPT, QUICK, plus=["a <my-dress>"]),
        [PROMPT, "a <my-dress>"],
        ["my-dress"],
    ),
    "GAIR where it can be": (
        lambda e: e.search(PROMPT, 3, gair="auto", config=QUICK),
        [PROMPT],
        ["my-dress"],
    ),
    "GAIR where it can't be": (
        lambda e: e.search("a <bare> dress", 3, gair="auto", plus=["a dog"]),
        ["a <bare> dress", "a dog"],
        ["bare"],
    ),
    "visualize": (lambda e: e.visualize(PROMPT, QUICK), [PROMPT], ["my-dress"]),
    "visualize as it is": (lambda e: e.visualize("a <bare> dress", QUICK), ["a <bare> dress"], ["bare"]),
    "rerank": (lambda e: e.rerank(e.search("a dog", 3), PROMPT, QUICK), ["a dog", PROMPT], ["my-dress"]),
}


@pytest.mark.parametrize("way", ASKED)
def test_a_text_is_parsed_once_and_a_concept_s_file_read_once(
    engine: Engine, tiny: Encoder, way: str
) -> None:
    engine.tokens.save(tiny_token(tiny, "other"))
    engine.tokens.save(tiny_token(tiny, "bare", attributes="", concept_features=""))
    engine.tokens.use("my-dress")
    ask, texts, files = ASKED[way]
    assert reads(lambda: ask(engine)) == (Counter(texts), Counter(files))


def test_gair_goes_on_with_what_was_compiled(engine: Engine) -> None:
    """At w = 1 its query is the plain one, as compiled: the same array."""
    plain = engine.compile(PROMPT)
    result = engine.gair(PROMPT, replace(QUICK, mixing_weight=1.0))
    assert result.query.compiled is not None
    assert result.query.tokens == plain.tokens
    assert [token.name for token in result.query.compiled.concepts] == ["my-dress"]


def room_of(module: str) -> str:
    """`gair_search.query.language` -> `query`."""
    return module.split(".")[1]


def doors(ask: Callable[[], Any]) -> list[str]:
    """The modules through which rooms are entered, in order.

    A stay begins where a function of a module is called by a function of another room, and it lasts as long as
    only this room is entered, however many of its functions the same caller calls. What a room does within itself
    (the store reads a token file, CLIP asks its text tower) is not counted, nor are returns to a caller, nor the
    constructors that `dataclass` writes: a value is no visit. Modules of one room that have different jobs, as
    `query.language` and `query.compiler`, are one door each.
    An engine is its parts and searches: `parts` and `searching` count as `engine`.
    """
    entered: list[str] = []
    stack: list[str] = []

    def take(frame: FrameType, event: str) -> None:
        module = str(frame.f_globals.get("__name__", ""))
        for part in ("parts", "searching"):
            module = module.replace(f"{PACKAGE}.{part}", f"{PACKAGE}.engine")
        if not module.startswith(f"{PACKAGE}.") or frame.f_code.co_filename == "<string>":
            return
        if event == "return":
            stack.pop()
            return
        caller = stack[-1] if stack else None
        stack.append(module)
        if caller and room_of(caller) == room_of(module):
            return
        last = entered[-1] if entered else None
        if last and room_of(last) == room_of(module) and room_of(module) != "query":
            return
        if last != module:
            entered.append(module)

    calls_during(ask, take)
    assert not stack
    return [module.removeprefix(f"{PACKAGE}.") for module in entered]


TRIP = [
    "cli.commands.query",
    "engine",
    "query.language",
    "query.compiler",
    "tokens.store",
    "encoder.clip",
    "gallery.embedded",
]
"""As docs/architecture.md draws it."""


def test_the_trip_of_a_prompt_enters_no_module_twice(engine: Engine) -> None:
    """From the engine to the hits.

    What is done once an engine (loading the model, checking the gallery) has been done before.
    """
    engine.search("a dog", 1)
    assert doors(lambda: engine.search("a * dress on grass", 3)) == TRIP[1:]
    without = [name for name in TRIP[1:] if name != "tokens.store"]
    assert doors(lambda: engine.search("a dog", 3)) == without
    assert doors(lambda: engine.search("a (dog:1.5)", 3)) == without


def test_the_trip_begins_in_the_shell(
    engine: Engine, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """From what was typed to the hits; how they are printed then is not part of the trip."""
    engine.search("a dog", 1)
    monkeypatch.setattr("gair_search.cli.options.open_engine", lambda *_: contextlib.nullcontext(engine))
    trip = doors(lambda: query("a * dress on grass", k=3, as_json=True))
    assert trip[: len(TRIP)] == TRIP
    assert len(json.loads(capsys.readouterr().out)["hits"]) == 3
    assert not {room_of(f"{PACKAGE}.{name}") for name in trip[len(TRIP) :]} - {"engine", "gallery"}
    assert len(TRIP) == len(set(TRIP)) <= 8
