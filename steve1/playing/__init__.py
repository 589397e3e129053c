"""Playing episodes: what is played (prompts, seeds, goals), the play itself, and what is measured of it.

It knows nothing of films, verdicts or reports. Nothing is imported here.
"""
