"""BlockWorld: a small voxel world that speaks MineRL 1.0's interface. A stand-in for trying, testing and teaching.

It is not Minecraft: no mobs, no crafting beyond planks and sticks, no damage, no day and night, and every texture is
drawn by our own code. It knows of no policy; only ``players`` knows how one acts.
"""

# Goes up whenever the same seed and actions give other pictures, places or counts: figures of two versions are not
# of one world.
VERSION = "1"
