"""A stand-in for MineRL 1.0, without Java: the same spaces, settings and habits, and mishaps on command.

``$STANDIN_FOLDER`` is where it is told what to do and tells what it did: the n-th process that makes a world reads
``n.json``, ``{"step": {"3": "exit"}, ..}``, and counts itself by ``n.started``.
"""
