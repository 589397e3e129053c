"""What is concluded from played episodes: verdicts by one rule, as lines for a terminal and as a page.

Everything here reads records (:class:`steve1.playing.episode.PlayedEpisode`) and nothing else.
"""
