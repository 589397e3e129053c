"""Playing and teaching in a live session: who holds the hands, and what is recorded; hangs itself on its server.

From a viewer come ``take`` (``from_another``: true also takes the hands out of another page's), ``hand_back``,
``input`` (see :meth:`~steve1.live.hands.Hands.input`), ``save_recording`` (``label``: a sentence, or "") and
``discard_recording``. A status says besides: ``holder``, the number of the viewer that plays, or null; and
``recording``, null where nothing is recorded, else ``ticks`` and ``human`` that are not saved yet, ``problem``, and
``saved``: ``name``, ``ticks``, ``human`` and ``label`` of the newest ones on the disk.

A page that goes away, or that says nothing for ten seconds of play, has let go of the hands.
"""

from __future__ import annotations

from typing import Any

from steve1.live.hands import Hands
from steve1.live.recordings import MAX_LABEL, Recordings
from steve1.live.server import LiveServer, Viewer, one_line
from steve1.live.tick import TickInfo
from steve1.live.view import View

_NEWEST = 5  # saved recordings that pages are told of


class Play:
    """The part for :func:`steve1.live.server.serve`. ``recordings``: where ticks go; None records nothing."""

    def __init__(self, recordings: Recordings | None) -> None:
        self.hands, self.recordings = Hands(), recordings

    def __call__(self, server: LiveServer) -> None:
        self._server, self._session = server, server.session
        shown = server.handlers["shown"]

        def heard(viewer: Viewer, message: dict[str, Any]) -> str:
            self.hands.heard(viewer)
            return shown(viewer, message)

        server.handlers |= {
            "shown": heard,
            "take": self._take,
            "hand_back": self._hand_back,
            "input": self.hands.input,
            "save_recording": self._save,
            "discard_recording": self._discard,
        }
        server.extras.append(self._says)
        server.on_leave.append(lambda viewer: self._hand_back(viewer, {}))
        self._session.after_tick.append(self._played)
        self._session.on_episode.append(self._new_world)
        if self.recordings is not None:
            self._session.at_end.append(self.recordings.close)

    # In the server's loop

    def _take(self, viewer: Viewer, message: dict[str, Any]) -> str:
        problem = self.hands.take(viewer, message.get("from_another") is True)
        if not problem:
            self._session.do(self._pass_on)
        return problem

    def _hand_back(self, viewer: Viewer, message: dict[str, Any]) -> str:
        if self.hands.hand_back(viewer):
            self._session.do(self._pass_on)
        return ""

    def _save(self, viewer: Viewer, message: dict[str, Any]) -> str:
        label, recordings = message.get("label", ""), self.recordings
        if not isinstance(label, str) or len(label) > MAX_LABEL:
            return f"a recording's sentence is a text of at most {MAX_LABEL} characters"
        if recordings is None:
            return "nothing is recorded in this session (--recordings_dir none)"
        if recordings.ticks == 0:
            return "nothing has been recorded since the last save"
        self._session.do(lambda: self._end_recording(one_line(label)))
        return ""

    def _discard(self, viewer: Viewer, message: dict[str, Any]) -> str:
        if self.recordings is not None:
            self._session.do(self.recordings.discard)
        return ""

    def _says(self, view: View) -> dict[str, Any]:
        holder, recordings = self.hands.holder, self.recordings
        return {
            "holder": None if holder is None else holder.number,
            "recording": None
            if recordings is None
            else {
                "ticks": recordings.ticks,
                "human": recordings.human,
                "problem": recordings.problem,
                "saved": [
                    {"name": one.folder.name, "ticks": one.ticks, "human": one.human, "label": one.label}
                    for one in recordings.saved[-_NEWEST:]
                ],
            },
        }

    # In the game's thread

    def _pass_on(self) -> None:
        self._session.hands = None if self.hands.holder is None else self.hands

    def _played(self, tick: TickInfo) -> None:
        self.hands.played(tick.action)
        if self.recordings is not None:
            self.recordings.add(tick, self.hands.slot)
        if self.hands.holder is None:
            self._pass_on()  # the holder has been silent for too long

    def _new_world(self) -> None:
        self.hands.new_world()
        if self.recordings is not None:
            self.recordings.new_world()

    def _end_recording(self, label: str) -> None:
        assert self.recordings is not None
        if self.recordings.ticks:  # another page may have saved it meanwhile
            try:
                self.recordings.save(label)
            except Exception as error:
                self.recordings.problem = f"the recording could not be saved: {error}"
