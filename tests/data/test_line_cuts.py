"""Lines that no action led to: what the game can do is never cut, and what it can't always is."""

import json
import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tiny_recordings import contractor_line, make_video, write_lines

from blockworld.players.director import play
from data.contractor import MISSING, Recording, parse_actions
from data.generation.blockworld_lines import LineWriter
from data.line_cuts import DEATH, JUMP, LineCuts, find_cuts, jumps
from data.recorder_lines import parse_recorder_lines
from data.recording_options import RecordingOptions
from steve1.envs import make_env


def at(*places):
    return [dict(zip(("xpos", "ypos", "zpos"), map(float, place), strict=True)) for place in places]


def along(moves, start=(100.0, 70.0, -100.0)):
    """Places float [n + 1, 3] of moves [n, 3], blocks a tick."""
    return np.array(start) + np.concatenate(
        (np.zeros((1, 3)), np.cumsum(np.array(moves, dtype=float), axis=0))
    )


def cut_at(places, ticks=None):
    return jumps(np.array(places), np.arange(len(places)) if ticks is None else np.array(ticks)).tolist()


def test_the_teleports_of_the_scripted_players_are_found_and_nothing_else():
    found, wanted = [], []
    for world in range(3):
        env = make_env("blockworld", world)
        env.observe = dict
        env.reset()
        moved, teleport = np.zeros(2), env.teleport

        def noting(x, y, z, env=env, moved=moved, teleport=teleport):
            moved += (x - env.player.x, z - env.player.z)
            teleport(x, y, z)

        env.teleport = noting
        writer, lines = LineWriter(env), []
        for move in play(env, np.random.default_rng(world)):
            if np.hypot(*moved) > 1:  # less is a step to a block's middle
                wanted.append((world, len(lines)))
            moved[:] = 0
            lines.append(writer.before(move.action))
            env.step(move.action)
            writer.after(lines[-1])
            if len(lines) == 700:
                break
        found += [(world, cut) for cut in parse_recorder_lines(lines, RecordingOptions(), "l").cuts[JUMP]]
    assert len(wanted) >= 10
    assert found == [cut for cut in wanted if cut[1] > 0]


# Blocks a tick, sideways and down, of the fastest that the game offers.
GAME = {
    "sprint-jump": [(0.36, dy, 0) for dy in (0.42, 0.33, 0.25, 0.17, 0.08, -0.08, -0.15, -0.23, -0.3, -0.37)],
    "fall": [(0.1, -min(3.92, 0.08 * t), 0) for t in range(90)] + [(0, 0, 0)] * 5,
    "minecart": [(0.4, 0, 0.4)] * 20,
    "boat on blue ice": [(3.64 * (1 - 0.98**t), 0, 0) for t in range(200)] + [(0, 0, 0)] * 5,
    "elytra with a rocket": [(1.67 * (1 - 0.5**t), -0.4, 0) for t in range(30)] + [(0.1, 0, 0)] * 5,
    "trident": [(0.2, 0, 0)] * 5 + [(3.0 * 0.91**t, 0, 0) for t in range(30)],
    "explosion": [(0, 0, 0)] * 5 + [(1.9 * 0.91**t, 1.2 - 0.08 * t, 0) for t in range(30)],
    "a step up on a horse": [(0.7, 0, 0)] * 3 + [(0.7, 1.0, 0)] + [(0.7, 0, 0)] * 3,
}


@pytest.mark.parametrize("what", GAME)
def test_what_the_game_can_do_is_no_cut(what):
    assert cut_at(along(GAME[what])) == []


@given(
    st.lists(st.tuples(*[st.floats(-0.4, 0.4)] * 3), min_size=4, max_size=40),
    st.floats(0, 2 * math.pi),
    st.floats(2.5, 1e5),
    st.data(),
)
def test_a_jump_out_of_any_walk_is_one_cut(moves, direction, distance, data):
    k = data.draw(st.integers(0, len(moves) - 1))
    moves = [list(move) for move in moves]
    moves[k] = [distance * math.cos(direction), 0.0, distance * math.sin(direction)]
    assert cut_at(along(moves)) == [k + 1]


def test_lines_without_a_place_are_passed_over():
    places = along([(0.2, 0, 0)] * 6)
    places[3] = np.nan
    assert cut_at(places) == []
    places[4:] += 500
    assert cut_at(places) == [4]
    lines = at(*along([(0.2, 0, 0)] * 3), (900, 64, 0))
    for value in (None, "here", True, float("inf")):
        del lines[1]["xpos"]
        lines[1]["xpos"] = value
        assert find_cuts(lines)[JUMP].tolist() == [4]
    assert find_cuts([{"camera": [0, 1]}] * 3) == {}
    assert find_cuts([]) == {}


def test_ticks_without_a_line_let_the_player_move_further():
    places = along([(0.3, 0, 0), (6.0, 0, 0), (0.3, 0, 0)])
    assert cut_at(places) == [2]
    assert cut_at(places, [0, 1, 21, 22]) == []

    def lines(field, step):
        places = at(*along([(0.3, 0, 0)] * 19 + [(6.0, 0, 0)]))
        clock = [*range(20), 40]
        return [
            {**contractor_line(["w"]), **place, field: step * tick}
            for place, tick in zip(places, clock, strict=True)
        ]

    def found(lines):
        return parse_recorder_lines(lines, RecordingOptions(), "l").cuts[JUMP].tolist()

    assert found(lines("tick", 1)) == []
    assert found(lines("milli", 50)) == []
    # The game counted one tick: that its clock stood still moves nobody.
    assert found([{**line, "tick": i} for i, line in enumerate(lines("milli", 50))]) == [20]


def test_deaths_show_in_the_games_counts():
    deaths, alive = "minecraft.custom:minecraft.deaths", "minecraft.custom:minecraft.time_since_death"

    def died(*stats):
        cuts = find_cuts([{"stats": some} for some in stats])
        return cuts[DEATH].tolist() if DEATH in cuts else None

    jump = {"minecraft.custom:minecraft.jump": 4}
    assert died({deaths: 2}, {deaths: 2}, {deaths: 3}, {deaths: 3}) == [2]
    assert died(jump, {**jump, deaths: 1}) == [1]  # a count of 0 is not listed
    assert died({}, {**jump, deaths: 5}) == []  # the counts had not come yet
    assert died({alive: 80}, {alive: 81}, {alive: 0}, {alive: 1}) == [2]
    assert died({deaths: 0, alive: 80}, {deaths: 1, alive: 80}, {deaths: 1, alive: 0}) == [1]  # once
    assert died({}, {}) is None
    assert died(None, 3, []) is None


def test_a_cut_lands_on_the_next_frame_that_is_kept(tmp_path):
    places = at(*along([(0.2, 0, 0)] * 60))
    for line in places[25:]:
        line["xpos"] += 300
    lines = [{**contractor_line(["w"]), **place} for place in places[:60]]
    for i in range(20, 30):  # null: the jump is among them
        lines[i] = {**contractor_line(), **places[i]}
    for i in range(50, 60):
        lines[i] |= {"stats": {"minecraft.custom:minecraft.deaths": 1}}
    for i in range(50):
        lines[i] |= {"stats": {"minecraft.custom:minecraft.jump": 1}}
    path = write_lines(tmp_path / "v.jsonl", lines)
    video = make_video(tmp_path / "v.mkv", range(60))
    recording = Recording.read(video, path)
    assert len(list(recording.frames())) == 50
    assert recording.cuts_by == {MISSING: [], JUMP: [20], DEATH: [40]}
    assert recording.cuts == [20, 40]
    # As the first frame of all, it is no cut; and the same from pictures that are no video's.
    assert parse_actions(lines)[0].tolist() == [*range(20), *range(30, 60)]
    write_lines(path, lines[20:])
    recording = Recording.read(video, path, RecordingOptions(fps_as_ticks=True))
    list(recording.frames([np.zeros((8, 14, 3), np.uint8)] * 40))
    assert recording.cuts_by == {MISSING: [], JUMP: [], DEATH: [20]}


def test_lines_are_gathered_as_they_come():
    gathered = LineCuts()
    for line in at((0, 0, 0), (0.1, 0, 0), (50, 0, 0)):
        gathered.add(json.loads(json.dumps(line)))
    assert gathered.found()[JUMP].tolist() == [2]
