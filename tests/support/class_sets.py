"""What holds of every class set."""

from gair_search.benchmarks.datasets.labelled import ClassSet


def check_class_set(data: ClassSet) -> None:
    """Places are of the classes that they say, and no picture is on both sides."""
    learned = [place for own in data.train for place in own]
    assert len(data.labels) == len(data.pictures) == len({p.id for p in data.pictures})
    assert not set(learned) & set(data.test)
    assert [data.labels[own].tolist() for own in map(list, data.train)] == [
        [c] * len(own) for c, own in enumerate(data.train)
    ]
    assert set(data.labels[list(data.test)]) == set(range(len(data.classes)))
