"""A live session: the agent plays while a page shows it and sends it prompts.

``session`` plays (a thread of its own, no web in it), ``recorder`` films, ``server`` speaks to pages, ``page.html`` is
the page. The entry point is ``run_interactive.py``. Nothing is imported here.
"""
