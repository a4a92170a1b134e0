"""The joint objective on the bundled text tower, with features made by hand."""

from dataclasses import replace

import pytest
import torch
from diffusers import DDPMScheduler, UNet2DConditionModel

from gair_search.encoder.clip import Encoder
from gair_search.learning import attributes
from gair_search.learning.config import PAPER, LearningConfig, Method
from gair_search.learning.joint import Denoiser, HeldOut, Losses, Objective, Problem, learn_vectors
from gair_search.learning.losses import classification_loss
from gair_search.learning.subspace import attribute_subspace, project
from gair_search.learning.templates import CLASSIFICATION, Slot

QUICK = LearningConfig(
    n_vectors=2, learning_rate=5e-3, steps=20, check_every=5, scale=30.0, held_out_noises=2
)
WORDS = ("red", "blue", "green", "old", "striped", "shiny")


def _text(encoder: Encoder, *texts: str) -> torch.Tensor:
    with torch.inference_mode():
        return torch.from_numpy(encoder.encode_texts(texts)).clone()


@pytest.fixture
def problem(encoder: Encoder) -> Problem:
    """A concept whose 'images' are what the tower says of a red striped dress; the others are other dresses."""
    concept = _text(
        encoder, "a photo of a red striped dress", "a red dress with stripes", "striped red dress"
    )
    others = _text(
        encoder, "a photo of a blue dress", "a green dress", "a dotted white dress", "a black dress"
    )
    embeddings = attributes.average_embeddings(encoder.text_tower, WORDS)
    return Problem(
        "dress",
        concept[:2],
        others[:3],
        attribute_subspace(embeddings),
        embeddings.mean(0).expand(2, -1).clone(),
        choose=HeldOut(concept[2:], others[3:], 1),
    )


@pytest.fixture(scope="module")
def denoiser() -> Denoiser:
    """A small UNet of the bundled tower's width, at random weights."""
    torch.manual_seed(0)
    unet = UNet2DConditionModel(
        sample_size=4,
        block_out_channels=(32,),
        layers_per_block=1,
        down_block_types=("CrossAttnDownBlock2D",),
        up_block_types=("CrossAttnUpBlock2D",),
        cross_attention_dim=256,
        attention_head_dim=4,
    )
    scheduler = DDPMScheduler(prediction_type="v_prediction")
    return Denoiser(unet.eval().requires_grad_(False), scheduler, torch.randn(4, 4, 4, 4))


def test_gradient_reaches_only_the_token(encoder: Encoder, problem: Problem, denoiser: Denoiser):
    objective = Objective(
        replace(problem, denoiser=denoiser), encoder.text_tower, replace(QUICK, lambda_ce=1.0)
    )
    free = objective.to_parameters(problem.first).requires_grad_(True)
    diffusion, classification = objective(objective.to_vectors(free), torch.Generator().manual_seed(0))
    (diffusion + classification).backward()
    assert free.grad.abs().sum() > 0
    frozen = [*encoder.text_tower.parameters(), *denoiser.unet.parameters()]
    assert all(parameter.grad is None and not parameter.requires_grad for parameter in frozen)


def test_the_classification_loss_is_that_of_the_paper_s_prompts(encoder: Encoder, problem: Problem):
    tower, vectors = encoder.text_tower, problem.first
    objective = Objective(problem, tower, QUICK.with_method("prompt tuning"))
    _, found = objective(vectors, torch.Generator())
    slot = Slot.from_template(tower, CLASSIFICATION, "dress")
    labels = torch.tensor([1.0, 1, 0, 0, 0])
    concept, parent = slot.encode(tower, vectors).features[0], _text(encoder, "image of a dress")[0]
    expected = classification_loss(
        torch.cat([problem.concept, problem.negatives]), labels, concept, parent, QUICK.scale
    )
    assert found.item() == pytest.approx(expected.item(), abs=1e-5)


def test_prompt_tuning_learns_and_stays_in_the_subspace(encoder: Encoder, problem: Problem):
    looks: list[Losses] = []
    learned = learn_vectors(
        problem, encoder.text_tower, QUICK.with_method("prompt tuning"), on_look=looks.append
    )
    assert [look.step for look in looks] == [5, 10, 15, 20]
    assert looks[-1].classification < looks[0].classification
    assert all(look.diffusion is None for look in looks)
    assert torch.allclose(project(learned.vectors, problem.subspace), learned.vectors, atol=1e-5)
    assert learned.losses == tuple(looks)
    assert not learned.stopped


def test_the_rate_in_the_subspace(encoder: Encoder, problem: Problem):
    """As given, else such that the average direction is moved along as fast as without the subspace."""
    tower, spread = encoder.text_tower, problem.subspace.spread
    rate = Objective(problem, tower, QUICK).rate
    assert (rate * spread).square().mean().sqrt().item() == pytest.approx(QUICK.learning_rate)
    assert Objective(problem, tower, replace(QUICK, subspace_rate=0.1)).rate == 0.1
    assert Objective(replace(problem, subspace=None), tower, QUICK).rate == QUICK.learning_rate


def test_what_is_free_begins_at_the_first_vectors(encoder: Encoder, problem: Problem):
    inside = attributes.average_embeddings(encoder.text_tower, WORDS[:2])  # attributes are in their subspace
    outside = inside + torch.randn(inside.shape, generator=torch.Generator().manual_seed(0))
    objective = Objective(problem, encoder.text_tower, QUICK)
    assert torch.allclose(objective.to_vectors(objective.to_parameters(inside)), inside, atol=1e-5)
    found = objective.to_vectors(objective.to_parameters(outside))
    assert torch.allclose(found, project(outside, problem.subspace), atol=1e-5)
    unbound = Objective(replace(problem, subspace=None), encoder.text_tower, QUICK)
    assert torch.equal(unbound.to_vectors(unbound.to_parameters(outside)), outside)


def test_the_best_look_wins_not_the_last(encoder: Encoder, problem: Problem):
    wild = replace(QUICK, learning_rate=5.0, projection=False).with_method("prompt tuning")
    learned = learn_vectors(replace(problem, subspace=None), encoder.text_tower, wild)
    held_out = [look.held_out for look in learned.losses]
    assert learned.step == learned.losses[held_out.index(min(held_out))].step
    objective = Objective(replace(problem, subspace=None), encoder.text_tower, wild)
    assert objective.held_out(learned.vectors) == pytest.approx(min(held_out), abs=1e-6)


@pytest.mark.parametrize(
    ("held_out", "best", "step"),
    [((3.0, 1.0, 2.0, 1.5), (3.0, 1.0, 1.0, 1.0), 4), ((1.0, 2.0, 3.0, 0.5), (1.0, 1.0, 1.0, 0.5), 7)],
)
def test_looks_by_hand(
    encoder: Encoder,
    problem: Problem,
    monkeypatch: pytest.MonkeyPatch,
    held_out: tuple[float, ...],
    best: tuple[float, ...],
    step: int,
) -> None:
    """Seven steps, looked at after every second one and the last; the lowest so far goes on, and wins."""
    seen, left = [], list(held_out)

    def look(_: Objective, vectors: torch.Tensor) -> float:
        seen.append(vectors)
        return left.pop(0)

    monkeypatch.setattr(Objective, "held_out", look)
    config = replace(QUICK, steps=7, check_every=2).with_method("prompt tuning")
    learned = learn_vectors(problem, encoder.text_tower, config)
    assert [one.step for one in learned.losses] == [2, 4, 6, 7]
    assert tuple(one.held_out for one in learned.losses) == held_out
    assert tuple(one.best for one in learned.losses) == best
    assert learned.step == step
    assert torch.equal(learned.vectors, seen[[2, 4, 6, 7].index(step)])


@pytest.mark.parametrize("steps", [1, 4])
def test_the_last_step_wins_where_nothing_chooses(encoder: Encoder, problem: Problem, steps: int) -> None:
    """Every step moves the vectors by the rate, AdamW's first by just that; nothing shrinks them."""
    config = replace(QUICK, learning_rate=1e-3, steps=steps, check_every=steps + 1).with_method(
        "prompt tuning"
    )
    large = replace(problem, subspace=None, choose=None, first=problem.first + 10)
    learned = learn_vectors(large, encoder.text_tower, config)
    assert [(one.step, one.held_out, one.best) for one in learned.losses] == [(steps, None, None)]
    assert learned.step == steps
    moved = (learned.vectors - large.first).abs()
    assert moved.max() <= steps * 1e-3 * 1.01
    assert moved.median() >= (0.99e-3 if steps == 1 else 1.01e-3)


def test_some_images_of_a_denoiser(denoiser: Denoiser) -> None:
    """Photos 0, 1, 2 and then each mirrored: of photo 2 and 0 rows 2, 0, 5 and 3."""
    six = replace(denoiser, latents=torch.arange(6.0)[:, None, None, None])
    assert six.for_images([2, 0]).latents.flatten().tolist() == [2, 0, 5, 3]
    assert six.for_images([1]).latents.flatten().tolist() == [1, 4]


def test_captions_go_with_their_own_image_and_the_full_context_with_all(
    encoder: Encoder, problem: Problem, denoiser: Denoiser, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A paraphrase is denoised with any image, a caption with its own alone; the generator sees all places."""
    seen: list[tuple[set[float], tuple[int, ...]]] = []

    def loss(
        unet: object,
        scheduler: object,
        latents: torch.Tensor,
        noise: object,
        steps: object,
        given: torch.Tensor,
    ) -> torch.Tensor:
        seen.append((set(latents.flatten().tolist()), tuple(given.shape)))
        return given.sum()

    monkeypatch.setattr("gair_search.learning.joint.diffusion_loss", loss)
    tower = encoder.text_tower
    own = replace(denoiser, latents=torch.arange(4.0)[:, None, None, None])  # photos 0 and 1, then mirrored
    captioned = replace(problem, denoiser=own, captions=(("a {} at home", 1),) * 10)
    objective = Objective(captioned, tower, replace(QUICK, batch_size=16))
    draws = torch.Generator().manual_seed(0)
    for _ in range(40):
        objective(problem.first, draws)
    assert {shape for _, shape in seen} == {(16, tower.n_ctx, tower.width)}
    kinds = [latents <= {1.0, 3.0} for latents, _ in seen]
    assert 5 < sum(kinds) < 35  # about half are captions, since there are ten paraphrases
    assert all(
        len(latents) > 2 for latents, alone in zip((one for one, _ in seen), kinds, strict=True) if not alone
    )
    seen.clear()
    diffusion, classification = Objective(captioned, tower, QUICK.with_method("prompt tuning"))(
        problem.first, draws
    )
    assert (diffusion, seen) == (None, [])
    assert classification is not None
    without = Objective(replace(captioned, denoiser=None), tower, QUICK)
    assert [without(problem.first, draws)[0] for _ in range(4)] == [None] * 4


def test_a_seed_gives_the_same_vectors_twice(encoder: Encoder, problem: Problem, denoiser: Denoiser):
    both = replace(problem, denoiser=denoiser, choose=replace(problem.choose, latents=denoiser.latents))
    settings = replace(QUICK, steps=4, check_every=2, lambda_ce=0.1)
    first, again, other = (
        learn_vectors(both, encoder.text_tower, settings, seed).vectors for seed in (3, 3, 4)
    )
    assert torch.equal(first, again)
    assert not torch.equal(first, other)
    plain, zero = (learn_vectors(both, encoder.text_tower, settings, *seed).vectors for seed in ((), (0,)))
    assert torch.equal(plain, zero)


def test_ctrl_c_keeps_the_best_so_far(encoder: Encoder, problem: Problem):
    def stop(look: Losses) -> None:
        if look.step == 10:
            raise KeyboardInterrupt

    learned = learn_vectors(problem, encoder.text_tower, QUICK.with_method("prompt tuning"), on_look=stop)
    whole = learn_vectors(problem, encoder.text_tower, replace(QUICK, steps=10).with_method("prompt tuning"))
    assert learned.stopped
    assert learned.step == 10
    assert torch.equal(learned.vectors, whole.vectors)


def test_ctrl_c_before_the_first_look_has_nothing_to_keep(encoder: Encoder, problem: Problem, monkeypatch):
    def stop(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(Objective, "__call__", stop)
    with pytest.raises(KeyboardInterrupt):
        learn_vectors(problem, encoder.text_tower, QUICK)


def test_a_slot_is_the_plain_prompt_where_the_vectors_are_words(encoder: Encoder):
    tower = encoder.text_tower
    rows = tower.token_embeddings(torch.tensor(tower.token_ids("striped red")))
    found = Slot.around(tower, "image of a", "dress").encode(tower, rows).features
    assert torch.allclose(found, _text(encoder, "image of a striped red dress"), atol=1e-5)


def test_the_full_context_changes_no_feature_and_is_the_generators(encoder: Encoder):
    tower = encoder.text_tower
    rows = tower.token_embeddings(torch.tensor(tower.token_ids("red")))
    slot = Slot.around(tower, "image of a", "dress")
    with torch.inference_mode():
        full = slot.encode(tower, rows, full_context=True)
        plain = tower.encode_ids([tower.token_ids("image of a red dress")], full_context=True)
    assert torch.allclose(full.conditioning, plain.conditioning, atol=1e-5)
    assert torch.allclose(full.features, slot.encode(tower, rows).features, atol=1e-5)
    both = slot.encode(tower, torch.stack([rows, rows])).features
    assert torch.allclose(both, full.features.expand(2, -1), atol=1e-5)


@pytest.mark.parametrize(
    ("method", "weights"), [("textual inversion", (1, 0)), ("prompt tuning", (0, 1)), ("joint", (1, 1e-5))]
)
def test_methods_are_ends_of_the_joint_loss(method: Method, weights: tuple[float, float]) -> None:
    config = PAPER.with_method(method)
    assert (config.lambda_sd, config.lambda_ce) == weights
    assert replace(config, lambda_sd=PAPER.lambda_sd, lambda_ce=PAPER.lambda_ce) == PAPER
