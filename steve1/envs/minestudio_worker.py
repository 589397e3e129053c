"""The side of MineStudio: plays its Minecraft in its own Python, and tells ``steve1/envs/minestudio.py`` what it saw.

See whether MineStudio works (in MineStudio's environment, not in this project's):
    ~/minestudio/bin/python steve1/envs/minestudio_worker.py --check

Otherwise it is started by ``steve1/envs/minestudio.py``:
    ~/minestudio/bin/python steve1/envs/minestudio_worker.py --files 3 4 5

How it talks is told in ``world_worker.py``.
"""

import contextlib
import os
import shutil
import signal
import sys

# It runs as a program, beside world_worker.py, in a Python that has no steve1.
sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))

from world_worker import Answers, main, plain

BLACK_FRAMES = 20  # after a reset the screen is black for so long; MineStudio's own simulator skips as many


class MineStudioAnswers(Answers):
    """Does what is asked with one world of MineStudio's."""

    title, distribution = "MineStudio", "minestudio"

    def make_world(self, settings):
        from minestudio.simulator.minerl.herobraine.env_specs.human_survival_specs import HumanSurvival

        return HumanSurvival(inventory={}, preferred_spawn_biome=None, **settings).make()

    def reset(self, request):
        old = self._saves()
        self._env.seed(request["seed"])
        self._env.reset()
        for folder in old:
            shutil.rmtree(folder, ignore_errors=True)
        # Where the connection breaks, MineStudio samples an observation, and fails in that instead of saying so.
        self._env.observation_space.sample = dict
        for _ in range(BLACK_FRAMES):
            obs, _, done, info = self._env.step(self.action({}))
            if "error" in info or done:
                raise RuntimeError(
                    f"the world ended within its first {BLACK_FRAMES} frames: {info.get('error')}"
                )
        return dict(self._see(obs, anew=True), info=plain(info))

    def action(self, told):
        """MineStudio's action: what is not told does nothing, and neither do chat, voxels and mobs."""
        import numpy as np

        whole = dict(self._env.action_space.no_op(), **told)
        return dict(whole, camera=np.array(whole["camera"], np.float32))

    def nothing(self):
        return {}

    def command(self, request):
        return self._told(self._env.execute_cmd(request["command"]))

    def close(self, request):
        # MineStudio waits for three seconds and then kills what is left; nothing of the world is wanted any more.
        for instance in getattr(self._env, "instances", []):
            instance.running = False
            with contextlib.suppress(AttributeError, OSError):
                os.killpg(instance.minecraft_process.pid, signal.SIGKILL)
            shutil.rmtree(instance.working_dir, ignore_errors=True)
        return {}

    def _saves(self):
        """The folders of the worlds that earlier resets have left."""
        found = []
        for instance in getattr(self._env, "instances", []):
            for saves in ("saves", os.path.join("run", "saves")):
                folder = os.path.join(instance.working_dir, saves)
                if os.path.isdir(folder):
                    found += [os.path.join(folder, name) for name in os.listdir(folder)]
        return found


if __name__ == "__main__":
    main(MineStudioAnswers, __doc__)
