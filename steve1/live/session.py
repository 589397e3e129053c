"""Playing live: one agent in one world, in a thread of its own, asked things while it plays.

Knows nothing of pages or sockets. Whoever shows the game reads :attr:`Session.view` when told that it changed, and
calls the methods below from any thread; they are done between two steps, in the order in which they came, but for
those that a newer one of their kind has overtaken (:mod:`steve1.live.orders`).

Others take part by hanging themselves on a session before it starts: :attr:`Session.hands` plays instead of the agent,
``before_tick`` and ``after_tick`` are called around every step, ``on_episode`` when a world begins anew, ``at_end``
when the game has ended; all in the game's thread, and :meth:`Session.do` brings anything else into it.
"""

from __future__ import annotations

import contextlib
import threading
import time
from collections import deque
from collections.abc import Callable
from concurrent.futures import Future
from dataclasses import replace
from typing import Any

import cv2
import numpy as np
import torch

from steve1.cli import UserError
from steve1.config import FPS
from steve1.embed_conditioned_policy import MinecraftAgentPolicy
from steve1.live.orders import Orders
from steve1.live.recorder import Prompt, Recorder, SavedFilm
from steve1.live.tick import AGENT, HUMAN, Hands, TickInfo
from steve1.live.view import Asked, View
from steve1.MineRLConditionalAgent import AgentBatch, check_env
from steve1.streams import torch_stream

# The goal [E] of a text in a world with this seed; "" is no goal.
GoalOf = Callable[[str, int], torch.Tensor]
# Called, in the thread that asked for something newer, when what was asked will not be done.
Told = Callable[[], object]
JPEG_QUALITY = 85
_REMEMBERED_PROMPTS = 500
_RATE_OVER = 1.0  # seconds that the shown steps per second are counted over


class Session:
    """The game, from :meth:`start` to :meth:`stop`.

    Args:
        make_world: makes a world with MineRL's interface; called again after a world has crashed.
        goal_of: see :data:`GoalOf`. prompt: what is asked at first, and the first world's seed.
        fps: steps a second aimed at; 0 plays as fast as the machine can.
        on_change: called, in the game's thread, when :attr:`view` has changed.

    Plays while :meth:`watch` says that somebody is there. An error of the world ends the world, not the session:
    :meth:`reset_world` makes another. Any other error ends the thread, and is in :attr:`failure`; :attr:`ended` is
    true once everything is put away.
    """

    def __init__(
        self,
        make_world: Callable[[], Any],
        policy: MinecraftAgentPolicy,
        goal_of: GoalOf,
        recorder: Recorder,
        prompt: Prompt,
        fps: float = FPS,
        deterministic: bool = False,
        on_change: Callable[[], object] = lambda: None,
    ) -> None:
        # A daemon, so that a second Ctrl-C can leave though a world hangs.
        self._thread = threading.Thread(target=self._run, name="game", daemon=True)
        self.view = View(prompt=prompt)
        self.failure: BaseException | None = None
        self.ended = False
        self.history: deque[Asked] = deque(maxlen=_REMEMBERED_PROMPTS)
        self.on_change = on_change
        self.hands: Hands | None = None  # None: the agent plays; set it in the game's thread, by `do`
        self.before_tick: list[Callable[[TickInfo], object]] = []
        self.after_tick: list[Callable[[TickInfo], object]] = []
        self.on_episode: list[Callable[[], object]] = []
        self.at_end: list[Callable[[], object]] = []
        self.remarks_of: list[
            Callable[[str, torch.Tensor], list[str]]
        ] = []  # what to say of a text and its goal
        self._make_world, self._goal_of, self._recorder, self._prompt = make_world, goal_of, recorder, prompt
        self._period = 1 / fps if fps else 0.0
        self._agent = AgentBatch(
            policy, [torch_stream("actions", prompt.seed)], prompt.cond_scale, deterministic
        )
        self._orders = Orders()
        self._next_text: str | None = None  # of the prompt that waits
        self._next_seed: int | None = None  # of the world that waits
        self._viewers = 0
        self._paused = self._stopping = False
        self._filming = True
        self._env: Any = None
        self._obs: Any = None  # None while there is no world to act in
        self._info: Any = {}  # what the world said with it
        self._jpeg: bytes | None = None
        self._world_name = self._problem = ""
        self._step = self._news = self._asked = self._tick_number = self._episode = 0
        self._tick: TickInfo | None = None
        self._by = AGENT  # who played last
        self._unanswered: list[tuple[Asked, float]] = []
        self._ticks: deque[float] = deque()
        self._began = self._resumed = time.monotonic()

    @property
    def films(self) -> list[SavedFilm]:
        """The films that are on the disk, in order."""
        return self._recorder.saved

    def start(self) -> None:
        """Begin to play."""
        self._thread.start()

    def join(self) -> None:
        """Wait for the end, after :meth:`stop`."""
        self._thread.join()

    # What others ask, from any thread

    def ask(self, text: str, overtaken: Told | None = None) -> None:
        """Follow another prompt from the next step on; "" is no goal."""
        came = time.monotonic()
        self._next_text = text
        self._orders.put(lambda: self._ask(text, came), "prompt", overtaken)

    def set_cond_scale(self, scale: float, overtaken: Told | None = None) -> None:
        """Change the guidance scale; 0 turns it off."""
        self._orders.put(lambda: self._set_cond_scale(scale), "cond_scale", overtaken)

    def pause(self, paused: bool, overtaken: Told | None = None) -> None:
        """Let the game stand still, or go on."""
        self._orders.put(lambda: self._pause(paused), "pause", overtaken)

    def reset_agent(self, overtaken: Told | None = None) -> None:
        """Wipe the agent's memory."""
        self._orders.put(self._reset_agent, "reset_agent", overtaken)

    def reset_world(self, seed: int | None = None, overtaken: Told | None = None) -> None:
        """Begin again, memory wiped: in the world of ``seed``, or (None) of the same seed.

        The same is the one that was asked for last, though that world be overtaken before it is made.
        """
        if seed is not None:
            self._next_seed = seed
        self._orders.put(self._next_world, "reset_world", overtaken)

    def save(self, overtaken: Told | None = None) -> None:
        """Finish the film so far, which comes to :attr:`films`, and begin the next."""
        self._orders.put(self._save, "save", overtaken)

    def watch(self, viewers: int) -> None:
        """Somebody more (1) or fewer (-1) is watching."""
        self._orders.put(lambda: self._watch(viewers))

    def do(self, command: Callable[[], object]) -> None:
        """Call something in the game's thread, between two steps; what is seen is shown anew after it."""
        self._orders.put(command)

    def stop(self) -> None:
        """End the session after the step that is being played; the film so far is finished."""
        self._orders.put(self._end_playing)

    @property
    def waiting(self) -> str | None:
        """The prompt that was asked and is not in force yet, as while a world is made; None where none is."""
        return self._next_text

    # The thread

    def _run(self) -> None:
        try:
            self._goal = self._goal_of("warm up", self._prompt.seed)
            self._goal = self._goal_of(self._prompt.text, self._prompt.seed)
            if self._prompt.text:
                self._ask(self._prompt.text, time.monotonic())
            self._reset_world(None)
            self._publish()
            due = time.monotonic()
            while not self._stopping:
                newest = self._orders.waiting(None if self._idle else due - time.monotonic())
                # No more than have come by now, so that the game goes on however fast they come.
                while not self._stopping and (order := self._orders.take(newest)) is not None:
                    order()
                    self._publish()
                if self._stopping or self._idle or time.monotonic() < due:
                    continue
                self._play_step()
                now = time.monotonic()
                # A late step may be made up for by one early one, no more.
                due = max(due + self._period, now - self._period)
        except BaseException as error:
            self.failure = error
        finally:
            self._put_away()
            self.ended = True
            self.on_change()

    @property
    def _idle(self) -> bool:
        return self._paused or self._obs is None or self._viewers == 0

    def _play_step(self) -> None:
        tick = self._decide()
        frame = self._film()
        for look in self.before_tick:
            look(tick)
        try:
            self._obs, _, done, self._info = self._env.step(tick.action)
        except Exception as error:
            self._world_failed(error)
            return
        self._step += 1
        self._tick_number += 1
        self._tick = tick = replace(tick, next_obs=self._obs, next_info=self._info)
        for look in self.after_tick:
            look(tick)
        if tick.by == AGENT:
            self._answer(frame)
        self._show()
        now = time.monotonic()
        self._ticks.append(now)
        while self._ticks[0] < now - _RATE_OVER:
            self._ticks.popleft()
        if done:
            self._recorder.event("episode_ended")
            self._save()
            self._reset_world(None, self._episode + 1)
        self._publish()

    def _decide(self) -> TickInfo:
        """What is played now, and by whom. An agent that plays again begins with an empty memory."""
        thought = None
        if self.hands is not None:
            by, action = HUMAN, self.hands.action(self._tick_number)
        else:
            if self._by == HUMAN:
                self._reset_agent()
            by, action = AGENT, self._agent.act([self._obs["pov"]], self._goal[None])[0]
            thought = self._agent.thought
        if by != self._by:
            self._recorder.event(f"{by}_plays")
            self._resumed = time.monotonic()
        self._by = by
        return TickInfo(
            self._tick_number,
            self._step,
            self._obs,
            action,
            by,
            thought,
            self._prompt,
            self._goal,
            self._world_name,
            self._env,
            self._info,
        )

    def _film(self) -> int | None:
        """Film the picture that is acted on; its place in the film, or None where filming has failed."""
        if not self._filming:
            return None
        frame = self._recorder.frames
        try:
            self._recorder.add(self._obs["pov"], self._prompt)
            return frame
        except Exception as error:
            self._recorder.abandon(error)
            self._filming = False
            self._problem = f"filming stopped: {error}. Save to try again with a new film"
            return None

    def _answer(self, frame: int | None) -> None:
        """Note of the prompts that waited that the agent has acted on them."""
        if not self._unanswered:
            return
        now = time.monotonic()
        for asked, came in self._unanswered:
            asked.step, asked.frame = self._step - 1, frame
            # A prompt that stood in a game that stood still has no latency to speak of.
            asked.latency = now - came if came > self._resumed else None
        self._unanswered.clear()
        self._news += 1

    def _show(self) -> None:
        picture = cv2.cvtColor(np.ascontiguousarray(self._obs["pov"]), cv2.COLOR_RGB2BGR)
        self._jpeg = cv2.imencode(".jpg", picture, [cv2.IMWRITE_JPEG_QUALITY, JPEG_QUALITY])[1].tobytes()

    # What is done between two steps

    def _ask(self, text: str, came: float) -> None:
        self._prompt = Prompt(text, self._prompt.cond_scale, self._prompt.seed)
        self._goal = self._goal_of(text, self._prompt.seed)
        if self._next_text == text:
            self._next_text = None
        self._asked += 1
        remarks = (
            [remark for remarks_of in self.remarks_of for remark in remarks_of(text, self._goal)]
            if text
            else []
        )
        asked = Asked(self._asked, text, self._prompt.cond_scale, came - self._began, remarks)
        self.history.append(asked)
        self._unanswered = [(asked, came)]  # one that was replaced before a step was never acted on
        self._news += 1

    def _set_cond_scale(self, scale: float) -> None:
        self._prompt = Prompt(self._prompt.text, scale, self._prompt.seed)
        self._agent.set_cond_scale(scale)

    def _pause(self, paused: bool) -> None:
        self._paused = paused
        self._resume()

    def _watch(self, viewers: int) -> None:
        self._viewers += viewers
        self._resume()

    def _resume(self) -> None:
        self._resumed = time.monotonic()
        self._ticks.clear()

    def _reset_agent(self) -> None:
        self._agent.reset(0)
        self._recorder.event("reset_agent")

    def _next_world(self) -> None:
        seed, self._next_seed = self._next_seed, None
        self._reset_world(seed)

    def _reset_world(self, seed: int | None, episode: int = 0) -> None:
        """Begin the ``episode``-th episode of a seed, or (None) of the same one."""
        if seed is not None and seed != self._prompt.seed:
            self._prompt = Prompt(self._prompt.text, self._prompt.cond_scale, seed)
            # The prior is sampled once an episode, by the episode's seed.
            self._goal = self._goal_of(self._prompt.text, seed)
        self._obs, self._problem, self._step, self._filming, self._tick = None, "", 0, True, None
        self._publish()
        try:
            if self._env is None:
                self._env = self._make_world()
                check_env(self._env)
                self._world_name = self._env.name
                self._recorder.note(world=self._env.name, world_version=self._env.version)
            self._env.seed(self._prompt.seed)
            self._obs, self._info = self._env.reset(), {}
        except Exception as error:
            if not self._world_name and isinstance(error, UserError):
                raise  # there is no such world here, and never will be
            self._world_failed(error)
            return
        self._recorder.event("reset_world")
        # What ended by itself would otherwise be played again, action by action.
        self._episode = episode
        self._agent.reset(0, torch_stream("actions", self._prompt.seed, *([episode] if episode else [])))
        for told in self.on_episode:
            told()
        self._show()
        self._resume()

    def _world_failed(self, error: Exception) -> None:
        """Put away a world that can't be played on; another is made when one is asked for."""
        said = str(error) if isinstance(error, UserError) else f"{type(error).__name__}: {error}"
        self._problem = f"the world stopped: {said}. Reset the world to go on"
        self._recorder.event("world_failed")
        env, self._env, self._obs = self._env, None, None
        with contextlib.suppress(Exception):
            env.close()
        self._publish()

    def _save(self) -> None:
        if self._obs is not None:
            self._filming, self._problem = True, ""
        if self._recorder.frames:
            # The film is finished in another thread, and word of it comes back as a command.
            film = self._recorder.finish()
            film.add_done_callback(lambda done: self._orders.put(lambda: self._saved(done)))

    def _saved(self, done: Future[SavedFilm]) -> None:
        error = done.exception()
        if error is not None:
            self._problem = f"the film could not be saved: {error}"
        self._news += 1

    def _end_playing(self) -> None:
        self._stopping = True

    def _publish(self) -> None:
        span = self._ticks[-1] - self._ticks[0] if len(self._ticks) > 1 else 0.0
        if self._env is None and self._problem:
            phase = "failed"
        elif self._obs is None:
            phase = "starting"
        elif self._paused:
            phase = "paused"
        else:
            phase = "playing" if self._viewers else "waiting"
        self.view = View(
            self._jpeg,
            phase,
            self._step,
            (len(self._ticks) - 1) / span if span and phase == "playing" else 0.0,
            self._prompt,
            self._world_name,
            self._recorder.frames,
            self._problem,
            self._news,
            AGENT if self.hands is None else HUMAN,
            self._tick,
            self.history[-1].remarks if self.history else [],
        )
        self.on_change()

    def _put_away(self) -> None:
        for end in (self._recorder.close, *self.at_end):
            try:
                end()
            except BaseException as error:
                self.failure = self.failure or error
        if self._env is not None:
            with contextlib.suppress(Exception):
                self._env.close()
