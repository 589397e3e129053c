"""A world that crashes or hangs costs the rest of its episode and no more, and the report says so."""

import numpy as np
import pytest
import torch
from minerl_standin import is_gone, use_standin
from tiny_agent import WIDTH, PictureWorld, load_script, make_models, play, records

from data.video import decode
from steve1.checkpoints import load_model_file
from steve1.embed_conditioned_policy import MinecraftAgentPolicy
from steve1.envs import WorldLost, game_python
from steve1.playing.measures import MEASURES

run_agent = load_script("run_agent.py")


@pytest.fixture(scope="module")
def models(tmp_path_factory):
    return make_models(tmp_path_factory.mktemp("models"))


@pytest.fixture
def standin(monkeypatch, tmp_path):
    game_python._ask.cache_clear()
    (tmp_path / "standin").mkdir()
    return use_standin(monkeypatch, tmp_path / "standin")


def run(models, folder, *flags):
    run_agent.main([*models, "--save_dirpath", str(folder), "--device", "cpu", "--env", "minerl", *flags])
    return {name: episode for name, (episode,) in records(folder).items()}


def test_a_crash_at_step_500_of_1000(models, standin, tmp_path, capsys):
    standin.tell(0, reset={"1": "java"}, step={"500": "kill"})
    standin.tell(1, length=3)
    films = tmp_path / "films"
    flags = ("--custom_text_prompt", "go", "stay", "--gameplay_length", "1000")
    notes = run(models, films, *flags)
    lost = notes["go_text_seed0"].measured
    words = "lost at step 500 of 1000: MineRL's process was ended by SIGKILL during step"
    assert lost["lost"] == words
    assert (lost["frames"], notes["go_text_seed0"].decides["world"]) == (500, "minerl")
    assert sum(1 for _ in decode(films / "go_text_seed0.mp4")) == 500
    assert lost["measures"]["logs_held"] == 0
    assert lost["measures"]["travel_distance"] > 0
    assert notes["stay_text_seed0"].measured["lost"] is None
    assert notes["stay_text_seed0"].measured["frames"] == 3
    said = capsys.readouterr()
    assert f"(go_text_seed0.mp4): {words}; left out of all figures" in said.out
    assert "to play a lost episode again, remove its JSON" in said.out
    assert f"go_text_seed0: {words}" in said.err
    assert "stay_text_seed0" not in said.out
    assert "2 videos made, 0 were there" in said.out
    assert all(is_gone(process) for process in (*standin.started(), standin.java()))
    run(models, films, *flags)
    assert words in capsys.readouterr().out
    assert len(standin.started()) == 2


def test_the_other_worlds_of_a_batch_go_on(models, standin, tmp_path, monkeypatch):
    flags = ("--custom_text_prompt", "go", "stay", "--num_seeds", "3", "--num_envs", "3")
    flags += ("--gameplay_length", "6")
    whole = run(models, tmp_path / "whole", *flags)
    monkeypatch.setenv("STEVE1_MINERL_STEP_TIMEOUT", "2")
    standin.tell(4, step={"3": "hang"})
    lost = run(models, tmp_path / "lost", *flags)
    assert len(standin.started()) == 3 + 3 + 1
    assert (
        lost["stay_text_seed0"].measured["lost"]
        == "lost at step 3 of 6: MineRL gave no answer to step for 2 s"
    )
    assert whole.keys() == lost.keys()
    for name in whole:
        ours, theirs = (list(decode(tmp_path / folder / f"{name}.mp4")) for folder in ("whole", "lost"))
        if name == "stay_text_seed0":
            # The encoder looks ahead, so that a shorter film's pictures differ a little.
            assert len(theirs) == 3
            assert np.abs(np.subtract(ours[:3], theirs, dtype=np.float32)).mean() < 2
        else:
            assert len(theirs) == 6
            assert np.array_equal(ours, theirs)


def test_a_world_that_never_begins_leaves_no_film_and_the_rest_is_played(models, standin, tmp_path, capsys):
    standin.tell(0, reset={"1": "exit"})
    standin.tell(1, reset={"1": "exit"})
    films = tmp_path / "films"
    flags = ("--custom_text_prompt", "go", "stay", "--gameplay_length", "2")
    assert list(run(models, films, *flags)) == ["stay_text_seed0"]
    assert sorted(path.name for path in films.iterdir()) == ["stay_text_seed0.json", "stay_text_seed0.mp4"]
    said = capsys.readouterr()
    assert "go_text_seed0: lost before its first step: MineRL's process ended with code 3" in said.err
    assert "world 0, sampling 0: lost before its first step" in said.out
    assert "1 videos made, 0 were there" in said.out
    assert run(models, films, *flags).keys() == {"go_text_seed0", "stay_text_seed0"}


def test_flags_of_the_world_are_checked_with_the_others(models, tmp_path, capsys):
    with pytest.raises(SystemExit) as stopped:
        run(models, tmp_path, "--minerl_python", "/no/python", "--num_seeds", "0")
    assert stopped.value.code == 2
    said = capsys.readouterr().err
    assert "--minerl_python /no/python is no program" in said
    assert "--num_seeds 0" in said


def test_lost_rows_are_told_with_their_figures(models):
    class Lost(PictureWorld):
        def step(self, action):
            if len(self.actions) == 1:
                raise WorldLost("a creeper")
            return super().step(action)

    class NeverThere(PictureWorld):
        def reset(self):
            raise WorldLost("no world")

    policy = MinecraftAgentPolicy(*load_model_file(models[1])).eval()
    worlds = [Lost(), PictureWorld(), NeverThere()]
    seen = []
    figures = play(
        policy, worlds, [1, 2, 3], torch.zeros(3, WIDTH), 4, watch=lambda row, pov: seen.append(row)
    )
    assert [measured.steps for measured in figures] == [1, 4, 0]
    assert [seen.count(row) for row in range(3)] == [2, 4, 0]
    assert [measured.lost for measured in figures] == [
        "lost at step 2 of 4: a creeper",
        None,
        "lost before its first step: no world",
    ]
    assert figures[2].result() == dict.fromkeys(MEASURES)
    assert play(policy, [NeverThere()], [1], torch.zeros(1, WIDTH), 4)[0].steps == 0
