"""What is played and what it is called: names of prompts and files."""

from pathlib import Path

import pytest
from tiny_agent import load_script

from steve1.playing.plan import planned_episodes, slug, text_names, visual_names

run_agent = load_script("run_agent.py")


def planned(*flags):
    args = [*("--in_model", __file__, "--in_weights", __file__, "--mineclip_weights", __file__), *flags]
    args = run_agent.parse(args)
    return planned_episodes(args, run_agent.seed_list(args))


def test_names_of_prompts_differ_as_the_prompts_do():
    texts = ["look at the sky", "Look at the sky!", "天空を見る", "天空", "x" * 100, "x" * 101, "a/b", "a b"]
    names = text_names(texts)
    assert names[0] == "look_at_the_sky"
    assert len(set(names)) == len(names)
    assert all(name and set(name) <= set("abcdefghijklmnopqrstuvwxyz0123456789_") for name in names)
    assert max(map(len, names)) < 80


def test_names_stay_readable_in_any_script():
    assert text_names(["копай", "go", "看天空"]) == ["prompt_1", "go", "prompt_3"]
    assert slug("Café, über Größe").startswith("cafe_uber_gro")
    assert slug("sky 天空").startswith("sky_")
    files = {episode.video.stem for episode in planned("--custom_text_prompt", "копай", "prompt 1", "看天空")}
    assert {"prompt_1_text_seed0", "prompt_3_text_seed0"} < files
    assert len(files) == 3


@pytest.mark.parametrize(
    ("given", "names"),
    [
        (["a/goal.pkl", "b/goal.pkl"], ["a/goal", "b/goal"]),
        (["x/a/goal.pkl", "y/a/goal.pkl", "other.pkl"], ["x/a/goal", "y/a/goal", "other"]),
        (["a/walk:17", "b/walk:17", "a/walk:18"], ["a/walk frame 17", "b/walk frame 17", "walk frame 18"]),
        (["sky", "mine/sky.pkl"], ["folder/sky", "mine/sky"]),
        (["a/goal.pkl", "a/goal.bin"], ["a/goal.pkl", "a/goal.bin"]),
    ],
)
def test_visual_prompts_are_called_by_as_much_as_tells_them_apart(given, names):
    assert visual_names(given, Path("folder")) == names


def test_no_two_episodes_of_a_run_have_one_file():
    flags = (
        "--behaviours",
        "sky,dig",
        "--custom_text_prompt",
        "dig",
        "sky",
        "a-b",
        "a b",
        "no goal",
        "--no_goal",
    )
    episodes = planned(*flags, "--cond_scale", "0,2.5", "--num_seeds", "2")
    assert len({episode.video for episode in episodes}) == len(episodes) == (7 * 2 + 1) * 2
    assert all(episode.json.suffix == ".json" for episode in episodes)


def test_a_behaviour_is_what_is_asked_for_whatever_the_words():
    behaviours = {e.prompt: e.behaviour for e in planned("--custom_text_prompt", "look at the sky", "go up")}
    assert behaviours == {"look at the sky": "sky", "go up": "go_up"}
