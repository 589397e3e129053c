"""What people may call each behaviour of the scripted players. Plain data, shared by recorder and trainers.

The first wording of each behaviour is STEVE-1's own published prompt for it.
"""

from __future__ import annotations

# Written into recordings' labels, so MineCLIP and the prior are trained on these.
WORDINGS: dict[str, list[str]] = {
    "sky": [
        "look at the sky",
        "look up",
        "gaze at the clouds",
        "watch the sky above",
        "raise your head and look at the clouds",
        "stare up into the blue sky",
    ],
    "dig": [
        "get dirt, dig hole, dig dirt, gather a ton of dirt, collect dirt",
        "dig as far as possible",
        "dig down",
        "dig a deep hole in the ground",
        "dig straight down",
        "dig into the earth below",
    ],
    "tree": [
        "chop down the tree, gather wood, pick up wood, chop it down, break tree",
        "chop a tree",
        "chop down a tree",
        "get wood from a tree",
        "punch the tree trunk",
        "break the logs of a tree",
    ],
    "seeds": [
        "break tall grass, break grass, collect seeds, punch the ground, "
        "run around in circles getting seeds from bushes",
        "collect seeds",
        "break tall grass",
        "get seeds from the grass",
        "cut the tall grass",
        "gather wheat seeds",
    ],
    "explore": [
        "go explore",
        "explore the world",
        "run far away",
        "sprint across the land",
        "travel a long way",
        "run and see new places",
    ],
    "swim": [
        "go swimming",
        "swim in the water",
        "swim in the lake",
        "go into the water and swim",
        "take a swim",
        "swim across the lake",
    ],
    "inventory": [
        "open inventory",
        "open the inventory",
        "look into the inventory",
        "show the inventory screen",
        "see what you are carrying",
        "check your items in the inventory",
    ],
    "leaves": [
        "break leaves",
        "break the leaves of a tree",
        "strip the leaves off a tree",
        "tear down the leaves",
        "clear away the leaves",
        "remove leaves from the branches",
    ],
}

# Never written into labels: they test whether MineCLIP understands wordings that it was not trained on.
HELD_OUT_WORDINGS: dict[str, list[str]] = {
    "sky": ["look up at the clouds", "watch the clouds in the sky"],
    "dig": ["dig a hole", "dig down into the ground"],
    "tree": ["chop the tree", "gather wood from the trees"],
    "seeds": ["break grass to get seeds", "collect seeds from tall grass"],
    "explore": ["go and explore", "run far across the world"],
    "swim": ["swim around in the lake", "go for a swim in the water"],
    "inventory": ["open your inventory", "check the inventory"],
    "leaves": ["pluck leaves", "break some tree leaves"],
}

# What is recorded unless it is said otherwise. The rest is for fine-tuning on something new.
USUAL = tuple(name for name in WORDINGS if name != "leaves")
