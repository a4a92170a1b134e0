"""The weightings against loops, and the whole table in small."""

from pathlib import Path

import ir_measures
import numpy as np
import pytest
import torch
from support.photos import make_photos

import gair_search.benchmarks.tables.preference as table
from gair_search.benchmarks.datasets.combinations import CUB_PHRASES
from gair_search.benchmarks.harness.combination_rankings import ALONE, OPPOSITE
from gair_search.benchmarks.methods.prompts import compile_prompts, modified_prompt_weighting, stori
from gair_search.benchmarks.tables.preference import PreferenceConfig, preference
from gair_search.encoder.clip import Encoder
from gair_search.encoder.reweighting import causal_mask
from gair_search.errors import DatasetError

SMALL = PreferenceConfig(seeds=(0, 1), limit=1, five=1, per_category=2)


def test_stori_is_the_librarys_own(encoder: Encoder) -> None:
    plain, weighted = compile_prompts(encoder, ["a red dress", "a (red:1.5) dress"])
    both = stori(encoder, [plain, weighted])
    assert both.shape == (2, encoder.embedder_id.dim)
    assert np.allclose(both[0], encoder.encode_texts(["a red dress"])[0], atol=1e-5)
    own = (
        encoder.encode_embeddings(weighted.embeddings, weighted.end, weighted.token_weights)
        .features[0]
        .numpy()
    )
    assert np.allclose(both[1], own, atol=1e-6)
    assert not np.allclose(both[0], both[1], atol=1e-3)


@pytest.mark.parametrize("prompt", ["a (red:1.5) dress", "a (red:0) dress", "a (red dress:3) on [grass]"])
def test_modified_prompt_weighting_block_by_block(encoder: Encoder, prompt: str) -> None:
    """The hooks against the tower run by hand: e + w (x - e) between the two halves."""
    (one,) = compile_prompts(encoder, [prompt])
    text, inner = encoder.text_tower, encoder.text_tower.transformer
    n = one.embeddings.shape[1]
    ids = torch.tensor([[text.tokenizer.sot_token_id] + [text.tokenizer.eot_token_id] * (n - 1)])
    with torch.inference_mode():
        states = []
        for rows in (one.embeddings, text.token_embeddings(ids)):
            x = rows + inner.positional_embedding[:n]
            for block in inner.transformer.resblocks[: text.start_block]:
                x = block(x, attn_mask=causal_mask(n))
            states.append(x)
        x = states[1] + one.token_weights[..., None] * (states[0] - states[1])
        for block in inner.transformer.resblocks[text.start_block :]:
            x = block(x, attn_mask=causal_mask(n))
        pooled = inner.ln_final(x)[0, n - 1] @ inner.text_projection
        wanted = torch.nn.functional.normalize(pooled, dim=-1).numpy()
    assert np.allclose(modified_prompt_weighting(encoder, [one])[0], wanted, atol=1e-5)


def test_modified_prompt_weighting_with_weights_1_changes_nothing_and_leaves_no_hook(
    encoder: Encoder,
) -> None:
    prompts = compile_prompts(encoder, ["a red dress", "a (red:2) dress"])
    first = modified_prompt_weighting(encoder, prompts)
    assert np.allclose(first[0], encoder.encode_texts(["a red dress"])[0], atol=1e-5)
    assert not np.allclose(first[0], first[1], atol=1e-3)
    assert np.allclose(stori(encoder, prompts)[0], first[0], atol=1e-5)
    assert not any(b._forward_pre_hooks for b in encoder.text_tower.blocks)


@pytest.mark.slow
def test_the_table_in_small_with_resume_and_runs(
    encoder: Encoder, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    done: list[tuple[int, int]] = []
    report = preference(encoder, SMALL, tmp_path, on_progress=lambda *steps: done.append(steps))
    assert done[-1][0] == done[-1][1] == 2 * 2 * (16 + 32)
    ours = report.values["SToRI"]
    assert (ours["table 3"]["n"], ours["table 6"]["n"], ours["table 3"]["seeds"]) == (6, 10, 2)
    assert ours["figure 5"]["n curves"] == 2 * 2 * 3 * 2
    assert ours["table 3"]["AP"]["up - plain"]["mean"] > 0 > ours["table 3"]["AP"]["down - plain"]["mean"]
    for method in report.values.values():
        curves = {marks: np.array(areas) for marks, areas in method["figure 5"]["curves"].items()}
        # all categories are of one size, so that at every weight their areas have the mean of a random order
        assert np.allclose(np.mean(list(curves.values()), axis=0), 1 / 2, atol=1e-12)
        assert np.allclose(curves["+-+"], curves["-++"][::-1], atol=1e-12)
        assert len(method["figure 6b"]["curve"]) == len(ALONE)
        assert len(curves["+-+"]) == len(OPPOSITE)
    plain = [v["table 3"]["AP"]["plain"] for v in report.values.values()]
    assert plain[0] == pytest.approx(plain[1])
    apart = ours["table 3"]["separation"]
    assert apart["up - plain"]["mean"] > 0 > apart["down - plain"]["mean"]
    assert "paper, CLIP: AP" in report.tables[0].markdown()

    saved = preference(encoder, SMALL, tmp_path, save_run=True)
    assert saved.values == report.values
    files = {file.suffix: file for file in saved.save_runs(tmp_path / "runs")}
    assert len(saved.runs) == 5
    qrels = list(ir_measures.read_trec_qrels(str(files[".qrels"])))
    run = list(ir_measures.read_trec_run(str(tmp_path / "runs/preference-SToRI-1.5.run")))
    told = {m.query_id: m.value for m in ir_measures.iter_calc([ir_measures.AP], qrels, run)}
    five = {query.rsplit("/", 1)[0] for query in told if query.endswith("/second_color")}
    three = [value for query, value in told.items() if query.rsplit("/", 1)[0] not in five]
    assert np.mean(three) == pytest.approx(ours["table 3"]["AP"]["up"]["mean"], abs=1e-9)

    # with everything kept, no picture is looked at again
    monkeypatch.setattr(Encoder, "encode_images", lambda *_: pytest.fail("encoded again"))
    assert preference(encoder, SMALL, tmp_path).values == report.values


def test_a_data_set_that_is_not_there(encoder: Encoder, tmp_path: Path) -> None:
    with pytest.raises(DatasetError, match="--data FOLDER"):
        preference(encoder, PreferenceConfig(dataset="celeba"), tmp_path)
    with pytest.raises(DatasetError, match=r"list_attr_celeba\.txt"):
        preference(encoder, PreferenceConfig(dataset="celeba", data=tmp_path), tmp_path)
    with pytest.raises(DatasetError, match=r"CUB_200_2011\.tgz"):
        preference(encoder, PreferenceConfig(dataset="cub", data=tmp_path), tmp_path)


def test_celeba_on_a_made_tree(encoder: Encoder, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Eight photos, one a category; whatever the model tells of the two attributes is taken."""
    monkeypatch.setattr(table, "ZERO_SHOT_AUC", 0.0)
    monkeypatch.setattr(
        table, "CELEBA_PHRASES", {name: table.CELEBA_PHRASES[name] for name in ("Smiling", "Bangs")}
    )
    files = [path.name for path in make_photos(tmp_path / "img_align_celeba", 8)]
    flags = [" ".join("1" if i >> bit & 1 else "-1" for bit in range(3)) for i in range(8)]
    lists = [f"{file} {row}" for file, row in zip(files, flags, strict=True)]
    (tmp_path / "list_attr_celeba.txt").write_text("\n".join(["8", "Male Smiling Bangs", *lists]))
    (tmp_path / "list_eval_partition.txt").write_text("".join(f"{file} 2\n" for file in files))
    settings = PreferenceConfig("celeba", tmp_path, (0,), limit=5, per_category=1)
    report = preference(encoder, settings, tmp_path / "work")
    assert report.values["SToRI"]["table 3"]["n"] == 2 * 3  # a woman and a man
    assert "table 6" not in report.values["SToRI"]
    with pytest.raises(DatasetError, match="smaller --per-category"):
        preference(encoder, PreferenceConfig("celeba", tmp_path, (0,), per_category=2), tmp_path / "work")
    monkeypatch.setattr(table, "ZERO_SHOT_AUC", 1.1)
    with pytest.raises(DatasetError, match="no combination of attributes"):
        preference(encoder, settings, tmp_path / "other")


def test_cub_on_a_made_tree(encoder: Encoder, tmp_path: Path) -> None:
    root = tmp_path / "CUB_200_2011"
    (root / "attributes").mkdir(parents=True)
    make_photos(root / "images/001.Bird", 6)
    (root / "attributes.txt").write_text("".join(f"{i} {name}\n" for i, name in enumerate(CUB_PHRASES, 1)))
    (root / "images.txt").write_text("".join(f"{i + 1} 001.Bird/{i:03d}.jpg\n" for i in range(6)))
    (root / "train_test_split.txt").write_text("".join(f"{i + 1} 0\n" for i in range(6)))
    rng = np.random.default_rng(0)
    rows = [f"{i} {a} {rng.integers(2)} 3 1.0" for i in range(1, 7) for a in range(1, len(CUB_PHRASES) + 1)]
    (root / "attributes/image_attribute_labels.txt").write_text("\n".join(rows))
    report = preference(encoder, PreferenceConfig("cub", root, (0,), limit=2), tmp_path / "work")
    found = report.values["SToRI"]["table 3"]
    assert found["n"] == 6
    assert "P@k" not in found
    assert "0.154 ± 0.070" in report.tables[0].markdown()
