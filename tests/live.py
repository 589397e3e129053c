"""A live session over a world of pictures, played by an agent that only notes what it was asked; and waiting for it."""

import threading

import numpy as np
from tiny_agent import WIDTH, PictureWorld

from steve1.envs.spaces import noop_action
from steve1.live import session as session_module
from steve1.live.recorder import Prompt, Recorder
from steve1.live.session import Session

PATIENCE = 30  # seconds that a test waits for what should come at once


class NotingAgent:
    """Stands for AgentBatch: does nothing, and notes the first number of every goal that it acts on."""

    def __init__(self, policy, generators, cond_scale=None, deterministic=False):
        self.goals, self.scales, self.resets, self.thought = [], [cond_scale], [], None

    def act(self, povs, goals):
        self.goals.append(float(goals[0, 0]))
        return [noop_action()]

    def reset(self, row, generator=None):
        self.resets.append((len(self.goals), generator is not None))

    def set_cond_scale(self, scale):
        self.scales.append(scale)


class ScriptedWorld(PictureWorld):
    """Calls ``hook(n)`` in its n-th step, counted over all worlds of one log."""

    def __init__(self, hook, log, length=10**9):
        super().__init__(length)
        self._hook, self._log = hook, log
        log["worlds"].append(self)

    def seed(self, seed):
        self._log["seeds"].append(seed)
        super().seed(seed)

    def step(self, action):
        action = noop_action() | {"forward": 1}  # the picture changes with every step
        number, self._log["steps"] = self._log["steps"], self._log["steps"] + 1
        self._hook(number)
        return super().step(action)


class Live:
    """A session, its script and what came of it. ``script``: what happens in which step of the world."""

    def __init__(self, folder, monkeypatch, prompt="", seed=3, length=10**9, make_world=None):
        monkeypatch.setattr(session_module, "AgentBatch", NotingAgent)
        self.script = {}
        self.log = {"worlds": [], "seeds": [], "steps": 0}
        self.asked = []
        self.changed = threading.Condition()
        self.recorder = Recorder(folder, {})
        self.session = Session(
            make_world
            or (lambda: ScriptedWorld(lambda step: self.script.get(step, lambda: None)(), self.log, length)),
            None,
            self._goal_of,
            self.recorder,
            Prompt(prompt, 6.0, seed),
            fps=0,
            on_change=self.notify,
        )

    def _goal_of(self, text, seed):
        import torch

        self.asked.append((text, seed))
        return torch.full((WIDTH,), float(len(text)))

    def notify(self):
        with self.changed:
            self.changed.notify_all()

    @property
    def agent(self):
        return self.session._agent

    def wait(self, condition):
        with self.changed:
            assert self.changed.wait_for(lambda: condition(self.session.view), PATIENCE), self.session.view

    def play(self):
        """Play to the end of the script, which must stop the session."""
        self.session.watch(1)
        self.session.start()
        self.end()

    def end(self):
        self.session.join()
        if self.session.failure is not None:
            raise self.session.failure


def strips(frames):
    """Which of a film's frames have which caption: a number for every different strip, in order of appearance."""
    known, found = [], []
    for frame in frames:
        strip = (frame[360:] > 128).astype(np.int8)
        for number, other in enumerate(known):
            if np.mean(strip != other) < 0.002:
                found.append(number)
                break
        else:
            found.append(len(known))
            known.append(strip)
    return found
