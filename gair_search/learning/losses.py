"""The losses of custom tokens (Perera et al., sections 3 and 4.2). Pure functions over tensors."""

import torch
from torch import Tensor, nn


def balanced_weights(labels: Tensor) -> Tensor:
    """Weights `[N]` that sum to 1, half on each side. Labels `[N]` in 0..1, both present."""
    positive = labels / labels.sum()
    negative = (1 - labels) / (1 - labels).sum()
    return (positive + negative) / 2


def classification_loss(
    features: Tensor, labels: Tensor, concept: Tensor, parent: Tensor, scale: float
) -> Tensor:
    """l_CE: balanced binary cross-entropy of f(x) . tau_* against f(x) . tau_parent (section 4.2).

    The two scores are one image's logits for concept and parent, as in CLIP's zero-shot classifier, so the
    probability of the concept is sigmoid(scale (f(x) . tau_* - f(x) . tau_parent)).

    Args:
        features: f(x'') of concept and negative images, `[N, embed_dim]`, normalised.
        labels: y, 1 for the concept, 0 for a negative image, `[N]`; both are there.
        concept: tau_*, text features `[embed_dim]` of 'image of a * c'.
        parent: tau_parent, of 'image of a c'.
        scale: CLIP's inverse temperature.

    Returns:
        a number; gradients flow to `concept`.
    """
    logits = scale * (features @ (concept - parent))
    weights = balanced_weights(labels)
    return nn.functional.binary_cross_entropy_with_logits(logits, labels, weight=weights, reduction="sum")


def discriminative_loss(features: Tensor, labels: Tensor, concepts: Tensor, scale: float) -> Tensor:
    """MC-TI's regulariser: each token classifies its own images against the other tokens.

    The published abstract (Wang et al. 2024) asks for a discriminative regularisation of the token update and
    leaves its form open; this is the cross-entropy of CLIP's own classifier, whose rows are the tokens' features.

    Args:
        features: image features `[N, embed_dim]`, normalised.
        labels: the concept of each image, 0..K-1, `[N]`.
        concepts: text features of every concept's prompt, `[K, embed_dim]`.
        scale: CLIP's inverse temperature.
    """
    return nn.functional.cross_entropy(scale * features @ concepts.T, labels)


def diffusion_loss(
    unet: nn.Module, scheduler: object, latents: Tensor, noise: Tensor, steps: Tensor, conditioning: Tensor
) -> Tensor:
    """l_SD: squared error of the frozen denoiser's prediction (section 3, l_DM).

    Args:
        unet: a diffusers `UNet2DConditionModel`.
        scheduler: a diffusers scheduler of the model's own configuration; its prediction type says what the
            UNet predicts: the noise, v, or the latents.
        latents: `[B, C, h, w]`, scaled as the UNet takes them.
        noise: like `latents`, standard normal.
        steps: of the noise schedule, `[B]`.
        conditioning: `[B, n_ctx, text_width]`.

    Raises:
        ValueError: an unknown prediction type.
    """
    noisy = scheduler.add_noise(latents, noise, steps)  # type: ignore[attr-defined]
    predicted = unet(noisy, steps, conditioning).sample
    kind = scheduler.config.prediction_type  # type: ignore[attr-defined]
    if kind == "v_prediction":
        target = scheduler.get_velocity(latents, noise, steps)  # type: ignore[attr-defined]
    elif kind in ("epsilon", "sample"):
        target = noise if kind == "epsilon" else latents
    else:
        raise ValueError(f"prediction type {kind}: expected epsilon, v_prediction or sample")
    return nn.functional.mse_loss(predicted.float(), target.float())


def joint_loss(
    diffusion: Tensor | None, classification: Tensor | None, lambda_sd: float, lambda_ce: float
) -> Tensor:
    """lambda_SD l_SD + lambda_CE l_CE (section 4.2); a loss whose weight is 0 may be None.

    (1, 0) is textual inversion, (0, 1) prompt tuning.
    """
    terms = [
        w * loss for w, loss in ((lambda_sd, diffusion), (lambda_ce, classification)) if loss is not None
    ]
    return torch.stack(terms).sum()
