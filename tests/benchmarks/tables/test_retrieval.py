"""Table 4 in small, and on made trees."""

from dataclasses import replace
from pathlib import Path

import ir_measures
import pytest
import torch
from PIL import Image
from support.pervl import make_pervl
from support.photos import make_photos

import gair_search.benchmarks.tables.retrieval as table
from gair_search.benchmarks.datasets.dreambooth import TABLE
from gair_search.benchmarks.datasets.fashion import fashion_world
from gair_search.benchmarks.harness import summaries, token_cells
from gair_search.benchmarks.methods import polar
from gair_search.benchmarks.methods.concepts import (
    CONTROLS,
    OURS,
    POLAR,
    PROMPT_TUNING,
)
from gair_search.benchmarks.presentation import retrieval as presentation
from gair_search.benchmarks.tables.retrieval import RetrievalConfig, retrieval
from gair_search.encoder.clip import Encoder
from gair_search.errors import DatasetError, GairError
from gair_search.gair.options import GairConfig
from gair_search.generation.generator import Generator
from gair_search.generation.sampling import SamplingConfig

WORLD = {"concepts": 2, "views": 2, "distractors": 10, "kinds": 2, "size": 64, "elsewhere": False}
SMALL = RetrievalConfig(seeds=(0, 1), steps=2, shots=2, attributes=("red", "old", "striped"), world=WORLD)


@pytest.mark.slow
def test_the_table_in_small_with_resume_and_runs(
    model: Encoder, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    quick = GairConfig(candidates=(0.0, 1.0), sampling=SamplingConfig("ddim", steps=2, guidance=1.0))
    for module in (token_cells, presentation):
        monkeypatch.setattr(module, "GairConfig", lambda: quick)
    monkeypatch.setattr(polar, "PAPER", polar.PolarConfig(steps=2))
    monkeypatch.setattr(summaries, "MIN_UNITS", 4)
    done: list[tuple[int, int]] = []
    report = retrieval(
        model, replace(SMALL, gair=True), tmp_path, save_run=True, on_progress=lambda *n: done.append(n)
    )
    found = report.values["methods"]
    assert list(found) == [*RetrievalConfig.METHODS, *CONTROLS, "prompt tuning + GAIR", "ours + GAIR"]
    assert done[-1] == (2 * 2 * len(found),) * 2
    assert report.values["skipped"] == {}
    report.save_runs(tmp_path / "runs")
    qrels = list(ir_measures.read_trec_qrels(str(tmp_path / "runs/retrieval.qrels")))
    for name, values in found.items():
        assert values["n"] == 8
        assert len(values["MRR"]["by seed"]) == 2
        assert values["Recall@1"]["mean"] <= values["MRR"]["mean"] <= 1
        run = list(ir_measures.read_trec_run(str(tmp_path / f"runs/retrieval-{name.replace(' ', '-')}.run")))
        asked = [ir_measures.RR, ir_measures.R @ 1, ir_measures.R @ 5]
        theirs = ir_measures.calc_aggregate(asked, qrels, run)
        ours = [values[measure]["mean"] for measure in ("MRR", "Recall@1", "Recall@5")]
        assert ours == pytest.approx([theirs[measure] for measure in asked], abs=1e-9)
    (gallery,) = report.values["galleries"]
    families = report.values["comparisons"][gallery]
    assert [one["a"] for one in families["prompt tuning"]] == [
        name for name in found if name != PROMPT_TUNING
    ]
    (compared,) = [one for one in families["ladder"] if (one["a"], one["b"]) == (OURS, PROMPT_TUNING)]
    difference = found[OURS]["MRR"]["mean"] - found[PROMPT_TUNING]["MRR"]["mean"]
    assert compared["difference"] == pytest.approx(difference, abs=1e-12)
    assert compared["n"] == 4  # two concepts of two seeds
    assert compared["p_holm"] >= compared["p"]
    assert {one["b"] for one in families["GAIR"] if one["a"] == "ours + GAIR"} == {
        OURS, "ours, constant w", "ours, random w"
    }  # fmt: skip
    assert found["ours, constant w"]["mixing weight"] == {"mean": 0.8, "sd": 0.0, "n": 8}
    assert 0 <= found["ours + GAIR"]["mixing weight"]["mean"] <= 1
    text = report.tables[0].markdown()
    assert "| ours (joint + projection) |" in text
    assert "| 56.6 ± 2.3 |" in text

    # figure 6 shows what GAIR selected, as GAIR saw it
    drawn: list[torch.Tensor] = []
    sample = Generator.sample

    def seen(self: Generator, told: torch.Tensor, seeds: list[int], sampling: SamplingConfig) -> torch.Tensor:
        assert set(seeds) <= set(quick.seeds)
        assert sampling == quick.sampling
        drawn.append(told)
        return sample(self, told, seeds, sampling)

    monkeypatch.setattr(Generator, "sample", seen)
    names = [file.name for file in report.save(tmp_path / "out")]
    for draw in report.pictures.values():
        draw()
    first = fashion_world(0, shots=2, **WORLD)
    assert [name for name in names if name.endswith((".png", ".svg"))] == [
        "retrieval-mrr.svg", *(f"retrieval-{concept.name}.png" for concept in first.concepts)
    ]  # fmt: skip
    assert [len(told) for told in drawn] == [2, 2]  # two queries of each concept, once

    # finished tokens are not learned again, whatever rows are asked for
    monkeypatch.setattr(token_cells, "learn_token_by", lambda *_: pytest.fail("learned again"))
    monkeypatch.setattr(token_cells, "learn_polar_update", lambda *_: pytest.fail("learned again"))
    monkeypatch.setattr(Encoder, "encode_images", lambda *_: pytest.fail("encoded again"))
    again = retrieval(model, replace(SMALL, seeds=(1,), methods=("Ours", "prompt tuning", "polar")), tmp_path)
    assert list(again.values["methods"]) == [POLAR, PROMPT_TUNING, OURS]
    assert again.values["methods"][POLAR]["MRR"]["mean"] == found[POLAR]["MRR"]["by seed"][1]
    assert again.values["methods"][OURS]["MRR"]["mean"] == found[OURS]["MRR"]["by seed"][1]


def test_without_a_generator_rows_are_left_out_and_said(
    model: Encoder, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(table, "load_own_generator", lambda *_: (None, "it has no generator"))
    named = ("text only", PROMPT_TUNING, OURS)
    report = retrieval(
        model, replace(SMALL, seeds=(0,), methods=named, gair=True, negatives="gallery"), tmp_path
    )
    assert list(report.values["methods"]) == [
        "text only", PROMPT_TUNING, *(name for name in CONTROLS if name.startswith(PROMPT_TUNING))
    ]  # fmt: skip
    assert report.values["negatives"]["concepts"] == 2
    assert "Transductive: negatives are of the gallery" in report.tables[0].markdown()
    assert "Left out: ours, " in report.tables[0].markdown()
    assert "since it has no generator" in report.tables[0].markdown()
    with pytest.raises(GairError, match="--negatives gallery, or --negatives FOLDER"):
        retrieval(model, replace(SMALL, seeds=(0,), methods=named), tmp_path)
    sheet = report.pictures[f"retrieval-{fashion_world(0, shots=2, **WORLD).concepts[0].name}"]()
    assert sheet.width < 150 + 6 * 134  # photo, truth and three hits: nothing is drawn


def test_the_sheet_frames_what_is_right(
    model: Encoder, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    frames: list[list[str]] = []
    captions: list[str] = []

    def seen(rows: list, *_: object, **__: object) -> None:
        frames.extend([cell.frame for cell in cells] for _, cells in rows)
        captions.extend(cells[1].caption for _, cells in rows)

    monkeypatch.setattr(presentation, "grid", seen)
    report = retrieval(model, replace(SMALL, seeds=(0,), methods=("average image",)), tmp_path, save_run=True)
    for draw in report.pictures.values():
        draw()
    wanted: list[list[str]] = []
    for query, scores in report.runs["average image"].items():
        order = sorted(scores, key=lambda name: (scores[name], name), reverse=True)
        right = [hit in report.qrels[query] for hit in order]
        wanted.append(["", "", *(presentation._RIGHT if flag else "" for flag in right[:3])])
        assert captions[len(wanted) - 1] == f"rank {right.index(True) + 1}"
    assert frames == wanted
    assert len(frames) == 4


def test_dreambooth_on_a_made_tree(model: Encoder, tmp_path: Path) -> None:
    """Photos that a subject was learned from are not ranked for it, though they are in the gallery."""
    photos = tmp_path / "photos"
    subjects = ("dog", "cat", "vase")
    for i, name in enumerate(subjects):
        make_photos(photos / name, 4, first=10 * i)
    rows = "".join(f"{name},{name}\n" for name in subjects)
    (photos / TABLE).write_text(f"Classes\n\nsubject_name,class\n{rows}\nPrompts\n")
    settings = RetrievalConfig("dreambooth", photos, (0,), limit=2, methods=("text only", "average image"))
    report = retrieval(model, settings, tmp_path / "work", save_run=True)
    assert report.values["methods"]["text only"]["n"] == 2
    for query, scores in report.runs["average image"].items():
        assert len(scores) == 3 * 4 - 3
        assert set(report.qrels[query]) <= set(scores)


def face(size: int = 112) -> Image.Image:
    """A square photo with a face in its middle."""
    data = pytest.importorskip("skimage.data").astronaut()
    return Image.fromarray(data[20:220, 120:320]).resize((size, size), Image.Resampling.LANCZOS)


def test_all_photos_are_learned_from_without_their_faces(model: Encoder, tmp_path: Path) -> None:
    tree = make_pervl(tmp_path / "pervl")
    photos = tree / "data/deep_fashion2/train/image"
    for name in ("110001.jpg", "110006.jpg", "1190.jpg"):  # two to learn from and a query's
        face().save(photos / name, quality=95)
    settings = RetrievalConfig(
        "pervl-deepfashion2", tree, (0,), 2, ("text only", "average image"), shots="all"
    )
    plain = retrieval(model, settings, tmp_path / "work")
    assert not plain.settings["redact_faces"]
    assert "redacted" not in plain.values
    assert plain.settings["shots"] == "all"
    hidden = retrieval(model, replace(settings, redact_faces=True), tmp_path / "work")
    assert hidden.settings["redact_faces"]
    assert hidden.values["redacted"] == {"faces": 2, "photos": 2, "of photos": 10}
    said = hidden.tables[0].markdown()
    assert ", all concept images, " in said
    assert "blacked out in the concept images: 2 in 2 of 10." in said
    own, black = (run.pictures["retrieval-11"]() for run in (plain, hidden))
    assert own.tobytes() != black.tobytes()


def test_only_concept_images_are_redacted(tmp_path: Path) -> None:
    tree = make_pervl(tmp_path / "pervl")
    photos = tree / "data/deep_fashion2/train/image"
    for name in ("110001.jpg", "1190.jpg"):
        face().save(photos / name, quality=95)
    data = RetrievalConfig("pervl-deepfashion2", tree, shots="all").load(0).limited(2)
    counts: dict[str, int] = {}
    clean = table._redact_concept_images(data, tmp_path / "work", counts)
    assert {name for name, n in counts.items() if n} == {"110001.jpg"}
    assert [picture.content_key for picture in clean.gallery] == [p.content_key for p in data.gallery]
    assert clean.queries == data.queries
    pairs = [
        (old, new)
        for a, b in zip(data.concepts, clean.concepts, strict=True)
        for old, new in zip(a.images, b.images, strict=True)
    ]
    assert [old.id for old, new in pairs if old.content_key != new.content_key] == ["110001.jpg"]
    (black,) = [new.image() for _, new in pairs if new.id == "110001.jpg"]
    assert black.getpixel((56, 54)) == (0, 0, 0)
    kept = sorted((tmp_path / "work/faces").glob("*/*.json"))
    with pytest.MonkeyPatch.context() as patch:  # boxes are kept: nothing is looked for again
        patch.setattr(table.faces, "find_faces", lambda *_: pytest.fail("looked for again"))
        again: dict[str, int] = {}
        table._redact_concept_images(data, tmp_path / "work", again)
    assert again == counts
    assert sorted((tmp_path / "work/faces").glob("*/*.json")) == kept


def test_what_has_no_faces_or_no_end_is_refused() -> None:
    with pytest.raises(GairError, match="no faces to redact"):
        RetrievalConfig(redact_faces=True)
    for dataset in ("fashion", "dreambooth"):
        with pytest.raises(GairError, match=f"{dataset}: all photos can't be learned from"):
            RetrievalConfig(dataset, shots="all")


def test_bad_settings(model: Encoder, tmp_path: Path) -> None:
    with pytest.raises(GairError, match='no method "Ideal Word"; there are: text only'):
        retrieval(model, replace(SMALL, methods=("Ideal Word",)), tmp_path)
    with pytest.raises(DatasetError, match="--data FOLDER"):
        retrieval(model, RetrievalConfig("dreambooth", methods=("text only",)), tmp_path)
    with pytest.raises(DatasetError, match="PerVL"):
        retrieval(model, RetrievalConfig("pervl-deepfashion2", tmp_path, methods=("text only",)), tmp_path)
    pervl = RetrievalConfig("pervl-deepfashion2")
    assert pervl.mixed_attributes == ("red", "old", "worn", "bright", "dark", "pink")
    assert pervl.attributes == ()  # the subspace is of the attributes nearest to the parent
    assert pervl.to_json(model)["shots"] == "all"
    assert replace(pervl, mixed=("new",)).mixed_attributes == ("new",)
    assert RetrievalConfig(attributes=("red", "old")).mixed_attributes == ()


def test_both_galleries_are_searched_and_the_smaller_one_is_a_part(model: Encoder, tmp_path: Path) -> None:
    world = {**WORLD, "elsewhere": True}
    config = replace(SMALL, seeds=(0,), methods=("text only", "average image"), world=world)
    report = retrieval(model, config, tmp_path, save_run=True)
    shown, hidden = report.values["galleries"]
    assert report.values["galleries"] == {shown: 12 * 12, hidden: 12 * 2}
    found = report.values["methods"]["text only"]["galleries"]
    assert found[shown]["MRR"]["mean"] <= found[hidden]["MRR"]["mean"]  # more rivals
    assert set(report.runs) == {
        "text only",
        f"text only, {hidden}",
        "average image",
        f"average image, {hidden}",
    }
    for query, scores in report.runs[f"text only, {hidden}"].items():
        whole = report.runs["text only"][query]
        assert len(scores) == 24
        assert all(whole[name] == score for name, score in scores.items())
    titles = [table.title for table in report.tables]
    assert titles == [f"Table 4: text-to-image retrieval of concepts, {name}" for name in (shown, hidden)]


def test_what_is_resampled_is_the_concept_not_its_draw() -> None:
    fashion, photos = RetrievalConfig(), RetrievalConfig("dreambooth")
    assert fashion.unit("seed1/dog") != fashion.unit("seed2/dog")
    assert photos.unit("seed1/dog") == photos.unit("seed2/dog")
    record = table.MethodRecord(photos.unit)
    for seed, value in ((1, 0.2), (2, 0.6)):
        own = [
            table.Answer(f"seed{seed}/{name}", f"seed{seed}/{name}", dict.fromkeys(table.MEASURES, value))
            for name in "ab"
        ]
        record.add(own, {"seconds": 1.0})
    assert record.by_unit("") == pytest.approx({"a": 0.4, "b": 0.4})
    assert record.values()["interval"]["n"] == 2
