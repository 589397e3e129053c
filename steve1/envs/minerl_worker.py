"""The side of MineRL: plays MineRL 1.0 in its own Python, and tells ``steve1/envs/minerl.py`` what it saw.

See whether MineRL works (in MineRL's environment, not in this project's):
    ~/minerl/bin/python steve1/envs/minerl_worker.py --check

Otherwise it is started by ``steve1/envs/minerl.py``:
    ~/minerl/bin/python steve1/envs/minerl_worker.py --files 3 4 5

How it talks is told in ``world_worker.py``.
"""

import os
import sys

# It runs as a program, beside world_worker.py, in a Python that has no steve1.
sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))

from world_worker import Answers, main


class MineRLAnswers(Answers):
    """Does what is asked with one world of MineRL 1.0."""

    title, distribution = "MineRL", "minerl"

    def make_world(self, settings):
        from minerl.herobraine.env_specs.human_survival_specs import HumanSurvival

        return HumanSurvival(**settings).make()


if __name__ == "__main__":
    main(MineRLAnswers, __doc__)
