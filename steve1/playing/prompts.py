"""The published text prompts and the behaviours that BlockWorld's players show, by name. Plain data."""

from __future__ import annotations

# STEVE-1's evaluation prompts; data/visual_prompt_embeds/NAME.pkl is the visual prompt of the same name.
PUBLISHED_PROMPTS: dict[str, str] = {
    "dig": "dig as far as possible",
    "dirt": "get dirt, dig hole, dig dirt, gather a ton of dirt, collect dirt",
    "sky": "look at the sky",
    "leaves": "break leaves",
    "wood": "chop down the tree, gather wood, pick up wood, chop it down, break tree",
    "seeds": "break tall grass, break grass, collect seeds, punch the ground, run around in circles getting seeds "
    "from bushes",
    "flower": "break a flower",
    "explore": "go explore",
    "swim": "go swimming",
    "underwater": "go underwater",
    "inventory": "open inventory",
}

# What BlockWorld's players show, in the published texts; tree is wood's, and judged as it is.
BEHAVIOURS: dict[str, str] = {
    "sky": PUBLISHED_PROMPTS["sky"],
    "dig": PUBLISHED_PROMPTS["dig"],
    "tree": PUBLISHED_PROMPTS["wood"],
    "seeds": PUBLISHED_PROMPTS["seeds"],
    "explore": PUBLISHED_PROMPTS["explore"],
    "swim": PUBLISHED_PROMPTS["swim"],
    "inventory": PUBLISHED_PROMPTS["inventory"],
}
