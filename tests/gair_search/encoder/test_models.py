import json
import shutil
from pathlib import Path

import pytest

from gair_search.encoder import models
from gair_search.encoder.identity import EmbedderId
from gair_search.errors import ModelError


def test_the_bundled_model_is_an_ordinary_folder(tmp_path: Path) -> None:
    """Copied elsewhere and named by its path it is the same embedder: no code knows it by name."""
    spec = models.resolve("gair-mini")
    copy = shutil.copytree(Path(spec.architecture.removeprefix("local-dir:")), tmp_path / "copy")
    other = models.resolve(f"local-dir:{copy}")
    assert other.embedder_id.same_as(spec.embedder_id)
    assert other.embedder_id.name != spec.embedder_id.name


def test_embedder_ids_tell_weights_and_preprocessing_apart(tmp_path: Path) -> None:
    spec = models.resolve("gair-mini")
    copy = shutil.copytree(Path(spec.architecture.removeprefix("local-dir:")), tmp_path / "copy")
    config = json.loads((copy / "open_clip_config.json").read_text())
    config["preprocess_cfg"]["mean"] = [0.4, 0.4, 0.4]
    (copy / "open_clip_config.json").write_text(json.dumps(config))
    changed = models.resolve(f"local-dir:{copy}").embedder_id
    assert (changed.weights, changed.architecture) == (
        spec.embedder_id.weights,
        spec.embedder_id.architecture,
    )
    assert not changed.same_as(spec.embedder_id)
    with (copy / "open_clip_model.safetensors").open("ab") as file:
        file.write(b"x")
    assert models.resolve(f"local-dir:{copy}").embedder_id.weights != changed.weights
    assert EmbedderId.from_metadata(json.loads(json.dumps(changed.to_metadata()))) == changed


def test_openai_weights_mean_quickgelu(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """open_clip's config of ViT-L-14 says GELU; OpenAI's weights were trained with QuickGELU."""
    weights = tmp_path / "w.safetensors"
    weights.write_bytes(b"x")
    monkeypatch.setattr(models, "_cached_weights", lambda _: weights)
    spec = models.resolve("ViT-L-14/openai")
    assert spec.quick_gelu
    assert spec.preprocessing.size == (224, 224)
    assert spec.preprocessing.mean == pytest.approx((0.48145466, 0.4578275, 0.40821073))
    assert spec.embedder_id.same_as(models.resolve("ViT-L-14-quickgelu/openai").embedder_id)
    assert not models.resolve("ViT-B-32/laion2b_s34b_b79k").quick_gelu
    assert models.default_model() == "ViT-L-14/openai"


def test_openais_own_archives_are_not_taken_for_open_clips(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The `clip` package leaves TorchScript archives, which run code, where open_clip once looked."""
    monkeypatch.setenv("HOME", str(tmp_path))
    (tmp_path / ".cache" / "clip").mkdir(parents=True)
    (tmp_path / ".cache" / "clip" / "ViT-L-14.pt").touch()
    assert models._cached_weights("ViT-L-14/openai") is None


def test_the_default_is_bundled_unless_better_is_here_or_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(models, "_cached_weights", lambda _: None)
    assert models.default_model() == "gair-mini"
    monkeypatch.setenv("GAIR_MODEL", "ViT-B-32:/x")
    assert models.default_model() == "ViT-B-32:/x"


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("ViT-B-33/openai", "did you mean ViT-B-32"),
        ("ViT-B-32/nonsense", "ViT-B-32/laion2b_s34b_b79k"),
        ("ViT-B-32", "ViT-B-32/openai"),
        ("ViT-B-32:/no/such/file", "no such weights file: /no/such/file"),
        ("local-dir:/no/such/folder", "open_clip_config.json is missing"),
        ("hf-hub:nobody/nothing", "gair models pull hf-hub:nobody/nothing"),
        ("", "no architecture"),
        ("hf-hub:a/b/c", "is no repository"),
    ],
)
def test_unknown_models_are_refused_with_advice(name: str, said: str) -> None:
    with pytest.raises(ModelError) as caught:
        models.resolve(name)
    assert said in str(caught.value)


def test_listing() -> None:
    rows = {row.name: row for row in models.list_models()}
    assert rows["gair-mini"].state == "bundled"
    assert rows["ViT-L-14/openai"].state in ("can be pulled", "on this machine")
    assert sum(row.default for row in rows.values()) == 1
    assert len(list(models.list_models(every_tag=True))) > 100
