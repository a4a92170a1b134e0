"""`gair bench speed --parts text`: prompts with token weights, and queries, against encoding plain text."""

from collections.abc import Mapping
from pathlib import Path
from typing import ClassVar

from gair_search.benchmarks.costs.indexing import draw_pictures, index_pictures
from gair_search.benchmarks.harness.timing import Task, TimedPart
from gair_search.benchmarks.methods.prompts import compile_prompts, no_concept
from gair_search.encoder.clip import Encoder
from gair_search.query.compiler import query_vector

PLAIN_PROMPT = "a photo of a red striped dress on a beach"
WEIGHTED_PROMPT = "a photo of a (red:1.5) (striped:0.5) dress on a beach"


class TextCost(TimedPart):
    """Prompts with token weights, and queries."""

    title = "Table 7: text with token weights, and queries"
    baselines: ClassVar[Mapping[str, str]] = {
        "encoding with token weights": "encoding plain text",
        "encoding plain text, again": "encoding plain text",
        "a query: parse, encode, search": "encoding plain text",
    }
    """The second says how far apart equal things come out."""

    def __init__(self, encoder: Encoder, rounds: int, images: int) -> None:
        super().__init__(rounds)
        self.encoder, self.images = encoder, images

    def tasks(self, seed: int, folder: Path) -> dict[str, Task]:
        encoder = self.encoder
        (plain,), (weighted,) = (
            compile_prompts(encoder, [PLAIN_PROMPT]),
            compile_prompts(encoder, [WEIGHTED_PROMPT]),
        )
        searched = index_pictures(encoder, draw_pictures(folder, seed, self.images), folder / "searched")

        def query(_: int) -> None:
            vector, _tokens = query_vector(WEIGHTED_PROMPT, encoder, no_concept)
            searched.search(vector, 10)

        return {
            "encoding plain text": lambda _: encoder.encode_embeddings(plain.embeddings, plain.end),
            "encoding plain text, again": lambda _: encoder.encode_embeddings(plain.embeddings, plain.end),
            "encoding with token weights": lambda _: encoder.encode_embeddings(
                plain.embeddings, plain.end, weighted.token_weights
            ),
            "a query: parse, encode, search": query,
        }

    def note(self) -> str:
        return (
            f"{super().note()} The paper's table 7 (RTX A5000, mean of 28,000 runs) finds no significant difference "
            f"between plain and reweighted text; its milliseconds are not in the text that we have."
        )
