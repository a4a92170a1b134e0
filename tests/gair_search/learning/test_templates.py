"""Prompts around a place for vectors, place by place."""

import torch

from gair_search.encoder.clip import Encoder
from gair_search.learning.templates import PARAPHRASES, Slot


def test_a_slot_by_hand(encoder: Encoder) -> None:
    """'image of a * dress': start token, three words, the vectors, one word, end token."""
    tower = encoder.text_tower
    slot = Slot.from_template(tower, "image of a {}", "dress")
    vectors = torch.full((2, tower.width), 7.0)
    rows, end = slot.fill(vectors)
    ids = [tower.start_id, *tower.token_ids("image of a")]
    assert len(ids) == 4
    table = tower.token_table
    assert torch.equal(rows[0, :4], table[torch.tensor(ids)])
    assert torch.equal(rows[0, 4:6], vectors)
    assert torch.equal(rows[0, 6:], table[torch.tensor([*tower.token_ids("dress"), tower.end_id])])
    assert slot.length(2) == rows.shape[1] == 8
    assert slot.length(0) == 6
    assert end.tolist() == [7]


def test_the_full_context_is_padded_with_the_end_token(encoder: Encoder) -> None:
    tower = encoder.text_tower
    slot = Slot.around(tower, "a", "dress on a beach")
    vectors = torch.zeros(3, 2, tower.width)
    short, end = slot.fill(vectors)
    whole, same = slot.fill(vectors, full_context=True)
    assert whole.shape == (3, tower.n_ctx, tower.width)
    assert torch.equal(whole[:, : short.shape[1]], short)
    assert torch.equal(whole[:, short.shape[1] :], slot.padding.expand(3, tower.n_ctx - short.shape[1], -1))
    assert end.tolist() == same.tolist() == [short.shape[1] - 1] * 3
    assert torch.equal(slot.padding, tower.token_table[tower.end_id])


def test_no_more_of_the_context_is_encoded_than_the_prompt_takes(encoder: Encoder) -> None:
    tower = encoder.text_tower
    slot = Slot.from_template(tower, "image of a {}", "dress")
    with torch.inference_mode():
        plain = slot.encode(tower, torch.zeros(0, tower.width))
        whole = slot.encode(tower, torch.zeros(0, tower.width), full_context=True)
        expected = torch.from_numpy(encoder.encode_texts(["image of a dress"]))
    assert plain.conditioning.shape[1] == slot.length(0)
    assert whole.conditioning.shape[1] == tower.n_ctx
    assert torch.allclose(plain.features, expected, atol=1e-5)
    assert torch.allclose(whole.features, expected, atol=1e-5)


def test_every_paraphrase_has_one_place() -> None:
    assert len(set(PARAPHRASES)) == len(PARAPHRASES) == 10
    assert all(text.count("{}") == 1 for text in PARAPHRASES)
