"""Learned token weights as data: a text classifier that can be read, and its file."""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from gair_search.errors import GairError, TokenWeightError
from gair_search.paths import write_atomically
from gair_search.query.language import MAX_WEIGHT
from gair_search.tokens.facts import pack, unpack

if TYPE_CHECKING:
    from gair_search.encoder.text_tower import TextTower

FORMAT = "gair-search token weights 1"


@dataclass(frozen=True)
class WeightedPrompt:
    """A prompt and its learned token weights.

    Attributes:
        prompt: as given, plain text.
        tokens: its BPE pieces.
        weights: a token weight for each.
        query: the prompt in the query language, with its weights.
        exact: whether `query` says all: pieces of one word can't be weighed apart there, and have their
            geometric mean.
    """

    prompt: str
    tokens: tuple[str, ...]
    weights: tuple[float, ...]
    query: str
    exact: bool


@dataclass(frozen=True)
class TokenWeights:
    """Prompts of classes with learned token weights: a text classifier that can be read.

    Attributes:
        classes: the names of the classes.
        prompts: of each class.
        classifier: `text_classifier` of them, float32 `[C, embed_dim]`.
        text_tower: hash of the token table that they were learned with (`TextTower.table_hash`).
        embedder: readable id of the model, whose image features it classifies.
        facts: how they were learned, as JSON values.
    """

    classes: tuple[str, ...]
    prompts: tuple[tuple[WeightedPrompt, ...], ...]
    classifier: NDArray[np.float32]
    text_tower: str
    embedder: str = ""
    facts: Mapping[str, Any] = field(default_factory=dict)

    def scores(self, features: NDArray[np.float32]) -> NDArray[np.float32]:
        """Cosine similarities of image features `[N, embed_dim]` to the classes: `[N, C]`.

        Raises:
            GairError: features of another width.
        """
        if features.ndim != 2 or features.shape[1] != self.classifier.shape[1]:
            raise GairError(
                f"expected image features [N, {self.classifier.shape[1]}], got {list(features.shape)}; they "
                f"must be those of {self.embedder or 'the model that the token weights were learned with'}"
            )
        scores: NDArray[np.float32] = features @ self.classifier.T
        return scores

    def classify(self, features: NDArray[np.float32]) -> NDArray[np.intp]:
        """The class of each image, `[N]`. Raises GairError, as `scores`."""
        nearest: NDArray[np.intp] = self.scores(features).argmax(axis=1)
        return nearest

    def to_json(self) -> dict[str, Any]:
        """All of it as JSON values; `load` reads them, whatever else stands beside them."""
        return {
            "format": FORMAT,
            "text_tower": self.text_tower,
            "embedder": self.embedder,
            "facts": dict(self.facts),
            "classes": [
                {
                    "name": name,
                    "prompts": [
                        {
                            "prompt": p.prompt,
                            "query": p.query,
                            "exact": p.exact,
                            "tokens": [
                                {"text": t, "weight": w} for t, w in zip(p.tokens, p.weights, strict=True)
                            ],
                        }
                        for p in prompts
                    ],
                    "features": pack(features),
                }
                for name, prompts, features in zip(self.classes, self.prompts, self.classifier, strict=True)
            ],
        }

    def save(self, path: Path) -> None:
        """Write as a JSON file, atomically. Raises TokenWeightError where it can't be written."""
        try:
            write_atomically(path, json.dumps(self.to_json(), ensure_ascii=False, indent=1).encode())
        except OSError as error:
            raise TokenWeightError(f"{path} can't be written: {error.strerror or error}") from error

    @classmethod
    def load(cls, path: Path, tower: "TextTower | None" = None) -> "TokenWeights":
        """Read what `save` or `gair explain --json` wrote.

        Args:
            tower: the text tower that they are for; None takes them as they are.

        Raises:
            TokenWeightError: it is something else, damaged, or of another text tower.
        """
        try:
            content = json.loads(path.read_text("utf-8"))
            if content["format"] != FORMAT:
                raise ValueError(f'its format is "{content["format"]}", expected "{FORMAT}"')
            loaded = cls._from_json(content)
        except OSError as error:
            raise TokenWeightError(f"{path} can't be read: {error.strerror or error}") from error
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            raise TokenWeightError(
                f"{path} holds no learned token weights, or damaged ones: {error!r}"
            ) from error
        if tower is not None and loaded.text_tower != tower.table_hash:
            raise TokenWeightError(
                f"{path} was learned with {loaded.embedder or 'another model'} (text tower {loaded.text_tower}), "
                f"and this model's text tower is {tower.table_hash}; learn them again with this model"
            )
        return loaded

    @classmethod
    def _from_json(cls, content: Mapping[str, Any]) -> "TokenWeights":
        """The inverse of `to_json`. Raises ValueError, KeyError, TypeError, AttributeError on anything else."""
        classes = content["classes"]
        prompts = tuple(tuple(_prompt_from_json(p) for p in own["prompts"]) for own in classes)
        names = tuple(str(own["name"]) for own in classes)
        classifier = np.stack([unpack(own["features"]) for own in classes])
        facts = dict(content["facts"])
        return cls(names, prompts, classifier, str(content["text_tower"]), str(content["embedder"]), facts)


def _prompt_from_json(content: Mapping[str, Any]) -> WeightedPrompt:
    weights = tuple(float(token["weight"]) for token in content["tokens"])
    if not all(0 <= weight <= 2 * MAX_WEIGHT for weight in weights):  # false of NaN, too
        raise ValueError(f"token weights {weights}: expected numbers from 0 to {MAX_WEIGHT:g}")
    tokens = tuple(str(token["text"]) for token in content["tokens"])
    return WeightedPrompt(
        str(content["prompt"]), tokens, weights, str(content["query"]), content["exact"] is True
    )
