"""What the fashion world is made of, and the words that name it.

The first word of each entry is its name; the others are paraphrases that captions use too.
"""

from __future__ import annotations

KINDS: dict[str, tuple[str, ...]] = {
    "dress": ("dress", "gown", "frock"),
    "t-shirt": ("t-shirt", "tee shirt", "shirt"),
    "skirt": ("skirt",),
    "coat": ("coat", "long coat", "overcoat"),
    "trousers": ("trousers", "pants"),
    "shorts": ("shorts", "short pants"),
    "hat": ("hat", "sun hat"),
    "bag": ("bag", "handbag"),
    "boot": ("boot", "ankle boot"),
    "mug": ("mug", "cup", "coffee mug"),
    "umbrella": ("umbrella", "parasol"),
    "vase": ("vase", "flower vase"),
}
"""Twelve kinds: nine to wear or carry, and three things."""

PLURAL_KINDS = frozenset({"trousers", "shorts"})
"""Kinds whose names are plural: 'a pair of red trousers'."""

GENERIC_NOUNS = ("thing", "object", "item")
"""What a caption may call any kind."""

COLORS: dict[str, tuple[int, int, int]] = {
    "red": (208, 32, 40),
    "orange": (244, 130, 26),
    "yellow": (248, 216, 44),
    "green": (44, 150, 62),
    "turquoise": (64, 206, 200),
    "blue": (38, 76, 196),
    "purple": (126, 52, 160),
    "pink": (246, 140, 184),
    "brown": (116, 70, 36),
    "black": (26, 26, 28),
    "white": (244, 244, 242),
    "gray": (136, 138, 142),
}
"""The eleven basic colour terms of English (Berlin and Kay, 1969) and turquoise, as sRGB."""

PATTERNS: dict[str, tuple[tuple[str, ...], tuple[str, ...]]] = {
    "plain": (("plain", "solid", "single-colored"), ()),
    "striped": (("striped", "stripy"), ("stripes", "horizontal stripes")),
    "dotted": (("dotted", "spotted", "polka-dot"), ("dots", "polka dots", "spots")),
    "checked": (("checked", "checkered", "plaid"), ("checks", "squares")),
    "zigzag": (("zigzag", "chevron"), ("zigzags", "zigzag lines")),
}
"""Pattern -> (its adjectives, the nouns that a second colour goes with)."""

BACKGROUNDS: dict[str, tuple[str, ...]] = {
    "beach": ("on a beach", "at the beach", "on the sand by the sea"),
    "brick wall": ("on a brick wall", "against a brick wall", "in front of a brick wall"),
    "snow": ("in the snow", "on a snowy field", "on white snow"),
    "forest": ("in a forest", "in the woods", "among the trees"),
    "grass": ("on the grass", "on a lawn", "in a green meadow"),
    "city street": ("on a city street", "in a city", "in front of tall buildings"),
    "desert": ("in the desert", "among sand dunes", "on desert dunes"),
    "night sky": ("under a night sky", "at night under the stars", "under the moon and stars"),
    "wooden floor": ("on a wooden floor", "on wooden boards", "on a floor of planks"),
    "tiles": ("on tiles", "on a tiled wall", "against bathroom tiles"),
    "bookshelf": ("in front of a bookshelf", "against a bookshelf", "by a shelf of books"),
    "underwater": ("underwater", "under water", "at the bottom of the sea"),
}
"""Background -> phrases that place something there."""
