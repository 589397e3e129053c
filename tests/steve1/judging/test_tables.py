"""Verdicts and figures in words and columns."""

from made_up_episodes import episode, played

from steve1.judging.tables import (
    figures_table,
    losses,
    matrix_table,
    sentence,
    spread,
    summary,
    verdict_table,
)
from steve1.judging.verdicts import groups_of, judge

HIGH, LOW = [0.9, 0.8, 0.95, 0.85, 0.9, 0.7, 0.8, 0.9], [0.0, 0.1, 0.0, 0.2, 0.0, 0.0, 0.1, 0.0]


def two_prompts(**more):
    return [
        *played("sky", "looking_up", HIGH, inventory_open=0.2, **more),
        *(
            episode("inventory", seed, looking_up=0.1, inventory_open=share, **more)
            for seed, share in enumerate(LOW)
        ),
        *(
            episode("no_goal", seed, looking_up=0.05, inventory_open=share, **more)
            for seed, share in enumerate(LOW[::-1])
        ),
    ]


def test_one_sentence_a_verdict():
    sky, inventory = judge(two_prompts())
    assert sentence(sky) == (
        f"“look at the sky” at guidance 2 wins against no goal in looking up (share): {spread(sky.ours)} against "
        "0.05 [0.05, 0.05], 8 worlds, p = 0.0078; its mean lies above that of the other prompt at this guidance, 0.75 "
        "over “open inventory”."
    )
    assert "is not told apart from no goal in inventory open" in sentence(inventory)
    assert sentence(inventory).endswith(
        "; yet of the other prompt at this guidance “look at the sky” has 0.15 more of it."
    )
    few = judge([e for e in two_prompts() if e.decides["world_seed"] < 3])[0]
    assert "has too few worlds to be compared with no goal" in sentence(few)
    assert "3 worlds;" in sentence(few)
    lost = [episode("sky", s, lost="gone") for s in range(8)]
    (gone,) = judge([*lost, *two_prompts()[-8:]])
    assert sentence(gone) == (
        "“look at the sky” at guidance 2 can't be compared with no goal in looking up (share): too few worlds, "
        "0 worlds (8 left out, lost or not played)."
    )


def test_the_table_of_verdicts_says_the_rule_and_counts():
    lines = verdict_table(judge(two_prompts())).splitlines()
    assert lines[0].split("  ")[0] == "prompt"
    assert lines[1].endswith("wins")
    assert lines[2].endswith("not told apart")
    assert lines[3] == "in all: agent mine, against no goal, guidance 2, worlds 8"
    assert "not corrected for how many comparisons" in lines[4]
    assert lines[5] == (
        "1 of 2 prompts win their own measure against no goal; 1 of 2 have more of it than every other prompt"
    )
    assert "agent" not in lines[0]
    assert verdict_table([]) == ""


def test_the_table_names_what_differs_from_line_to_line():
    both = judge([*two_prompts(label="base"), *two_prompts()])
    heads, *lines = verdict_table(both).splitlines()
    assert "agent" in heads
    assert "against" in heads
    assert "in all: guidance 2, worlds 8" in lines
    assert [line.split(":")[0] for line in summary(both)] == ["base", "mine"]


def test_figures_name_agents_scales_and_losses_where_there_are_any():
    groups = groups_of(two_prompts())
    said = figures_table(groups, ["logs_held"])
    assert "agent" not in said
    assert "lost" not in said
    assert f"looking_up {spread(groups[0].figures(['looking_up'])['looking_up'])} (share)" in said
    more = [*two_prompts(label="base"), *two_prompts(), *two_prompts(scale=4.0)[:8]]
    more.append(episode("sky", 99, lost="gone"))
    head, *rows = figures_table(groups_of(more), ["logs_held"]).splitlines()
    assert head.split()[:5] == ["prompt", "agent", "guidance", "lost", "seeds"]
    assert any("look at the sky  mine   2         1     9" in row for row in rows)


def test_the_matrix_has_every_prompt_by_every_own_measure():
    head, sky, inventory, no_goal, _ = matrix_table(groups_of(two_prompts())).splitlines()
    assert head.split() == ["mean", "of", "looking_up", "inventory_open"]
    assert sky.split() == ["sky", "0.85*", "0.2"]
    assert inventory.split() == ["inventory", "0.1", "0.05*"]
    assert no_goal.split() == ["no", "goal", "0.05", "0.05"]
    assert matrix_table(groups_of(two_prompts()[:8])) == ""


def test_losses_name_prompt_and_seeds():
    (line,) = losses([*two_prompts(), episode("dig", 3, lost="lost at step 3 of 5: gone")])
    assert line.startswith("“dig as far as possible”, mine, world 3, sampling 3: lost at step 3 of 5: gone")
