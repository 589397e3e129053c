"""BlockWorld: a small voxel world that speaks MineRL 1.0's interface. A stand-in for trying, testing and teaching.

It is not Minecraft: no mobs, no crafting beyond planks and sticks, no damage, no day and night, and every texture is
drawn by our own code.
"""
