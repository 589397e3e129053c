"""What is shown of played episodes: ``film`` writes one mp4, ``side_by_side`` films a batch of episodes.

It decides nothing and measures nothing. Nothing is imported here.
"""
