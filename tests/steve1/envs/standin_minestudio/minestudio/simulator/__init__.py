"""A package of MineStudio's."""
