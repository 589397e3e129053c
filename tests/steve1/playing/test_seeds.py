"""Seed lists: the one that comes with the repository, and files that are none."""

import json
import re

import pytest

from data.generation.record_blockworld import WORLDS
from steve1.cli import UserError
from steve1.playing.seeds import EVALUATION_SEEDS, Seed, counted, read_seeds


def test_evaluation_worlds_are_apart_from_those_of_recorders_and_judges():
    listed = read_seeds("evaluation")
    judged = (EVALUATION_SEEDS.parents[1] / "quickstart.sh").read_text().partition("judge() {")[2]
    first_judged = int(re.search(r"--seed (\d+)", judged).group(1))
    worlds = [seed.world for seed in listed.seeds]
    assert listed.name == "steve1-evaluation-1"
    assert len(set(worlds)) == len({seed.sampling for seed in listed.seeds}) == 32
    assert first_judged >= WORLDS
    assert min(worlds) >= first_judged + 1_000_000


def test_the_list_is_the_one_that_was_published_under_its_name():
    rows = json.loads(EVALUATION_SEEDS.read_text())["seeds"]
    assert rows == [{"world": 2_000_000 + i, "sampling": 2_100_000 + i} for i in range(32)]


def test_the_first_of_a_list_say_so():
    some = read_seeds("evaluation", 3)
    assert some.seeds == read_seeds("evaluation").seeds[:3]
    assert some.name == "steve1-evaluation-1, the first 3 of 32"
    assert counted(5, 2).seeds == (Seed(5, 5), Seed(6, 6))
    assert (counted(5, 2).name, counted(5, 1).name) == ("seeds 5 to 6", "seed 5")


@pytest.mark.parametrize(
    ("content", "part"),
    [
        ("{", "is no list of seeds"),
        ('{"name": "a"}', "KeyError"),
        ('{"name": "a", "seeds": []}', "has no seeds"),
        (
            '{"name": "a", "seeds": [{"world": 1, "sampling": 2}, {"world": 1, "sampling": 2}]}',
            "a seed twice",
        ),
        ('{"name": "a", "seeds": [{"world": -1, "sampling": 2}]}', "-1 is no whole number"),
        ('{"name": "a", "seeds": [{"world": true, "sampling": 2}]}', "True is no whole number"),
        ('[{"world": 1, "sampling": 2}]', "TypeError"),
    ],
)
def test_what_is_no_list_is_refused(tmp_path, content, part):
    path = tmp_path / "seeds.json"
    path.write_text(content)
    with pytest.raises(UserError, match="seeds") as refused:
        read_seeds(str(path))
    assert part in str(refused.value)


def test_too_many_and_missing_are_refused():
    with pytest.raises(UserError, match="has 32 seeds, 33 were asked for"):
        read_seeds("evaluation", 33)
    with pytest.raises(UserError, match=r"--seeds none\.json is no file"):
        read_seeds("none.json")
