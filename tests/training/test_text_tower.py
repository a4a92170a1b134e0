import numpy as np
import pytest
import torch


@pytest.fixture
def tower():
    from training.towers import text_tower

    torch.manual_seed(0)
    return text_tower().eval()


def test_the_loss_is_zero_where_the_target_is_met() -> None:
    from training.text_tower import distillation_loss

    met = torch.nn.functional.normalize(torch.randn(8, 16), dim=-1)
    assert distillation_loss(met, met).item() == pytest.approx(0, abs=1e-6)
    assert distillation_loss(met, -met).item() == pytest.approx(2, abs=1e-5)


def test_batches_hold_each_text_once_and_like_lengths_together() -> None:
    from training.text_tower import BATCH, token_batches

    lengths = np.random.default_rng(0).integers(1, 30, 3 * BATCH)
    batches = token_batches(lengths, np.random.default_rng(1))
    assert sorted(np.concatenate(batches)) == list(range(len(lengths)))
    assert max(np.ptp(lengths[batch]) for batch in batches) < np.ptp(lengths)


def test_a_pseudo_word_of_a_known_token_is_that_token(tower) -> None:
    """Vectors put in by place do what the token's own row would."""
    from training import text_tower

    ids, table = tower.token_ids("a red dress"), tower.token_table
    basis = text_tower.pseudo_basis(tower.width)
    detail = torch.randn(1, 2, text_tower.PSEUDO_DIM)
    with torch.no_grad():
        length = table.norm(dim=-1).mean()
        words = detail @ basis * (length / text_tower.PSEUDO_DIM**0.5)
        at = int(np.random.default_rng(0).integers(len(ids) + 1))
        rows = tower.token_embeddings(torch.tensor([[49406, *ids, 49407]]))
        by_hand = torch.cat([rows[:, : at + 1], words, rows[:, at + 1 :]], dim=1)
        expected = tower(by_hand, torch.tensor([len(ids) + 3])).features
        found = text_tower.encode_pseudo(tower, [ids], detail, np.random.default_rng(0))
    assert torch.nn.functional.cosine_similarity(found, expected).item() > 0.999  # bfloat16


def test_what_pseudo_words_add_does_not_grow_with_their_number() -> None:
    from training.text_tower import PSEUDO_DIM, PSEUDO_LENGTH, pseudo_target

    for n in (1, 4):
        lengths = pseudo_target(torch.randn(2_000, n, PSEUDO_DIM)).norm(dim=-1)
        assert lengths.mean().item() == pytest.approx(PSEUDO_LENGTH, rel=0.03)


def test_targets_keep_their_parts_apart() -> None:
    from training.codes import CODE_DIM, CODES, DETAIL
    from training.text_tower import joint
    from training.towers import SEMANTIC_DIM

    teacher = np.eye(3, SEMANTIC_DIM, dtype=np.float32)
    plain = joint(teacher)
    assert torch.equal(plain[:, :SEMANTIC_DIM], torch.from_numpy(teacher))
    codes = np.full((3, CODE_DIM), 0.1, np.float32)
    whole = joint(teacher, codes, torch.ones(3, 4))
    assert torch.allclose(whole.norm(dim=-1), torch.ones(3))
    ratio = whole[:, CODES].norm(dim=-1) / whole[:, :SEMANTIC_DIM].norm(dim=-1)
    assert ratio.tolist() == pytest.approx([0.8] * 3)
    assert whole[:, DETAIL][:, 4:].abs().max() == 0
