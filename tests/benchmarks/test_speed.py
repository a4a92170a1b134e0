import time

from gair_search.benchmarks.speed import BASELINES, in_turns, speed

from gair_search.clip import Clip


def test_tasks_take_turns_and_are_timed_apart() -> None:
    order: list[str] = []

    def task(name: str, seconds: float) -> None:
        order.append(name)
        time.sleep(seconds)

    rounds: list[int] = []
    seconds = in_turns(
        {"a": lambda: task("a", 0), "b": lambda: task("b", 0.01)}, 5, 0, lambda: rounds.append(1)
    )
    assert order[:2] == ["a", "b"]  # untimed
    turns = [sorted(order[i : i + 2]) for i in range(2, 12, 2)]
    assert turns == [["a", "b"]] * 5
    assert len({order[i] for i in range(2, 12, 2)}) == 2  # in no fixed order
    assert (len(seconds["a"]), len(rounds)) == (5, 5)
    assert min(seconds["b"]) >= 0.01


def test_the_table_in_small(clip: Clip) -> None:
    steps: list[tuple[int, int]] = []
    report = speed(clip, (0,), rounds=3, images=32, on_progress=lambda *step: steps.append(step))
    assert steps[-1] == (6, 6)
    ratios = report.values["ratios"]
    assert set(ratios) == set(BASELINES)
    assert all(facts["mean"] > 0 for facts in ratios.values())
    assert ratios["indexing"]["baseline"] == "image tower alone"
    assert "table 7" in report.tables[0].markdown()
