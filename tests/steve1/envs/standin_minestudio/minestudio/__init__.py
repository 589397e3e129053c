"""A stand-in for MineStudio's Python package, without Java: its spaces and habits, on top of the stand-in for MineRL.

It needs the stand-in for MineRL on its path, is told what to do as that is, and counts itself in the same folder.
"""
