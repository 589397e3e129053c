"""What the world is made of: block numbers, and for each block its name, hardness, drops and pictures."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

AIR, GRASS_BLOCK, DIRT, STONE, SAND, WATER, OAK_LOG, OAK_LEAVES, BIRCH_LOG, BIRCH_LEAVES = range(10)
TALL_GRASS, POPPY, DANDELION, BEDROCK, COBBLESTONE, OAK_PLANKS, OAK_SAPLING, BIRCH_PLANKS = range(10, 18)

UNBREAKABLE = -1


@dataclass(frozen=True)
class Block:
    """One kind of block.

    ``ticks``: how long attack must be held, by hand, at 20 ticks a second; 0 breaks at once.
    ``drops``: the item that comes of it, or None; ``drop_one_in``: how often it does.
    ``faces``: names of the textures of the sides, the top and the bottom.
    """

    name: str
    ticks: int
    drops: str | None
    faces: tuple[str, str, str]
    drop_one_in: int = 1
    solid: bool = True
    plant: bool = False


# Times by hand follow Minecraft: 1.5 x hardness seconds, 5 x where the wrong tool yields nothing.
BLOCKS: dict[int, Block] = {
    AIR: Block("air", UNBREAKABLE, None, ("stone",) * 3, solid=False),
    GRASS_BLOCK: Block("grass_block", 15, "dirt", ("grass_side", "grass_top", "dirt")),
    DIRT: Block("dirt", 15, "dirt", ("dirt",) * 3),
    STONE: Block("stone", 150, None, ("stone",) * 3),
    SAND: Block("sand", 15, "sand", ("sand",) * 3),
    WATER: Block("water", UNBREAKABLE, None, ("water",) * 3, solid=False),
    OAK_LOG: Block("oak_log", 60, "oak_log", ("oak_side", "oak_top", "oak_top")),
    OAK_LEAVES: Block("oak_leaves", 6, "oak_sapling", ("oak_leaves",) * 3, drop_one_in=20),
    BIRCH_LOG: Block("birch_log", 60, "birch_log", ("birch_side", "birch_top", "birch_top")),
    BIRCH_LEAVES: Block("birch_leaves", 6, None, ("birch_leaves",) * 3),
    TALL_GRASS: Block("grass", 0, "wheat_seeds", ("tall_grass",) * 3, drop_one_in=8, solid=False, plant=True),
    POPPY: Block("poppy", 0, "poppy", ("poppy",) * 3, solid=False, plant=True),
    DANDELION: Block("dandelion", 0, "dandelion", ("dandelion",) * 3, solid=False, plant=True),
    BEDROCK: Block("bedrock", UNBREAKABLE, None, ("bedrock",) * 3),
    COBBLESTONE: Block("cobblestone", 200, None, ("cobblestone",) * 3),
    OAK_PLANKS: Block("oak_planks", 60, "oak_planks", ("planks",) * 3),
    OAK_SAPLING: Block("oak_sapling", 0, "oak_sapling", ("sapling",) * 3, solid=False, plant=True),
    BIRCH_PLANKS: Block("birch_planks", 60, "birch_planks", ("birch_planks",) * 3),
}
COUNT = len(BLOCKS)

SOLID = np.array([BLOCKS[i].solid for i in range(COUNT)])
PLANT = np.array([BLOCKS[i].plant for i in range(COUNT)])
BY_NAME = {block.name: number for number, block in BLOCKS.items()}
LOGS = (OAK_LOG, BIRCH_LOG)
LEAVES = (OAK_LEAVES, BIRCH_LEAVES)

# Items that `use` can put into the world, and the block that they become.
PLACEABLE = {
    "dirt": DIRT,
    "sand": SAND,
    "oak_log": OAK_LOG,
    "birch_log": BIRCH_LOG,
    "cobblestone": COBBLESTONE,
    "oak_planks": OAK_PLANKS,
    "birch_planks": BIRCH_PLANKS,
    "stone": STONE,
    "oak_leaves": OAK_LEAVES,
    "poppy": POPPY,
    "dandelion": DANDELION,
    "oak_sapling": OAK_SAPLING,
}
