"""Recordings' lines, damaged in every way: a clear error or a documented repair, never a crash, nothing lost unsaid.

The repairs are: a torn last line ends the recording with a warning; turns that are not finite or beyond 180 degrees
become 0; unknown keys and mouse buttons count as not pressed; a mouse far outside of the window shows no cursor.
"""

import copy
import json
import math
import re
import warnings

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from tiny_recordings import contractor_line

from data.action_lines import BINARY_KEYS, parse_action_lines
from data.contractor import Recording, RecordingWarning, parse_actions, read_lines
from steve1.cli import UserError

GOOD = [
    contractor_line(["w"], [0], dx=float(i), dy=-1.0, hotbar=i % 9, gui=i % 3 == 0, x=10.0 * i)
    for i in range(6)
]
CONTENT = "".join(json.dumps(line) + "\n" for line in GOOD).encode()
WHERE = re.compile(r"r\.jsonl, line (\d+)[:]|r\.jsonl has no lines")


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    return tmp_path_factory.mktemp("recording") / "r.jsonl"


def outcome(path):
    """(lines read, warnings) of a file, or (None, the error); any other exception is the test's failure."""
    with warnings.catch_warnings(record=True) as said:
        warnings.simplefilter("always")
        try:
            lines = list(read_lines(path))
            parse_actions(lines, name=path)
        except UserError as error:
            return None, str(error)
    assert all(issubclass(one.category, RecordingWarning) for one in said)
    return lines, [str(one.message) for one in said]


@given(st.integers(0, len(CONTENT)))
@example(0)
@example(len(CONTENT))
def test_a_file_cut_anywhere_keeps_its_whole_lines_and_says_what_it_lost(place, cut):
    place.write_bytes(CONTENT[:cut])
    lines, said = outcome(place)
    whole = CONTENT[:cut].count(b"\n")
    rest = CONTENT[:cut].rpartition(b"\n")[2]
    if rest and rest == CONTENT.split(b"\n")[whole]:
        whole, rest = whole + 1, b""  # only the line's end is missing
    assert lines == GOOD[:whole]
    assert len(said) == bool(rest)
    assert all(f"its last line ({whole + 1}) is torn" in text for text in said)


@given(st.data())
def test_damaged_bytes_are_named_or_change_nothing_but_their_line(place, data):
    first = data.draw(st.integers(0, len(CONTENT) - 1))
    length = data.draw(st.integers(0, 12))
    noise = data.draw(st.binary(max_size=12))
    content = CONTENT[:first] + noise + CONTENT[first + length :]
    place.write_bytes(content)
    lines, said = outcome(place)
    if lines is None:
        assert WHERE.search(said), said
        return
    # Every line of the file was read, or its loss was said.
    given_lines = [line for line in content.split(b"\n") if line.strip()]
    assert len(lines) + len(said) == len(given_lines)
    untouched = set(CONTENT.split(b"\n")) & set(given_lines)
    for raw, line in zip(given_lines, lines, strict=False):
        if raw in untouched:
            assert line == json.loads(raw)


WRONG = st.one_of(
    st.none(),
    st.booleans(),
    st.sampled_from([math.nan, math.inf, -math.inf, 1e308, -1e308, 10**400, -(10**400), 2**63, -0.0, 1e-320]),
    st.integers(),
    st.floats(),
    st.text(max_size=6),
    st.lists(st.integers(-3, 12) | st.text(max_size=12) | st.none() | st.floats(), max_size=4),
    st.dictionaries(st.text(max_size=6), st.integers(), max_size=3),
)
FIELDS = ["mouse", "keyboard", "hotbar", "isGuiOpen"]
FIELDS += [f"mouse.{name}" for name in ("x", "y", "dx", "dy", "buttons", "newButtons", "scaledX", "dwheel")]
FIELDS += [f"keyboard.{name}" for name in ("keys", "newKeys", "chars")]
REMOVE = object()
CHANGES = st.lists(
    st.tuples(st.integers(0, len(GOOD) - 1), st.sampled_from(FIELDS), WRONG | st.just(REMOVE)), max_size=4
)


def changed(changes):
    lines = copy.deepcopy(GOOD)
    touched = set()
    for number, field, value in changes:
        holder, _, key = field.rpartition(".")
        target = lines[number].get(holder) if holder else lines[number]
        if isinstance(target, dict):
            target.pop(key, None) if value is REMOVE else target.update({key: value})
            touched.add(number)
    return lines, touched


@given(CHANGES)
@example([(0, "mouse.x", 1e308), (3, "mouse.y", -1e308)])
@example([(0, "mouse.x", 10**400), (3, "mouse.y", math.nan)])
@example([(2, "mouse.dx", 10**400)])
@example([(1, "isGuiOpen", REMOVE)])
def test_wrong_fields_are_named_with_their_line_or_repaired(place, changes):
    lines, touched = changed(changes)
    place.write_text("".join(json.dumps(line) + "\n" for line in lines))
    images = (np.zeros((36, 64, 3), np.uint8) for _ in lines)
    try:
        recording = Recording.read(place.with_suffix(".mp4"), place)
        frames = list(recording.frames(images))
    except UserError as error:
        refused = str(error)
    else:
        refused = ""
    if refused:
        found = WHERE.search(refused)
        assert found, refused
        assert int(found[1]) - 1 in touched
        assert any(field.rpartition(".")[2] in refused for _, field, _ in changes)
        return
    actions = recording.actions
    assert recording.warnings == []
    assert actions.n_lines == len(lines)
    assert len(frames) == len(actions.kept) == len(actions.cursor)
    camera = actions.env_actions["camera"]
    assert (np.abs(camera) <= 180).all()
    _, expected = parse_actions(GOOD)
    # What was not touched came through exactly, but for hotbar presses, which compare with the line before.
    for row, number in enumerate(actions.kept):
        if number not in touched:
            assert camera[row].tolist() == expected["camera"][number].tolist()
            assert actions.env_actions["forward"][row] == actions.env_actions["attack"][row] == 1
    assert set(range(len(lines))) - touched <= set(actions.kept.tolist())


@given(
    st.lists(WRONG | st.just(REMOVE), min_size=2, max_size=2),
    st.sampled_from(["camera", "buttons", *BINARY_KEYS]),
)
def test_our_own_lines_are_read_exactly_or_named(place, values, key):
    lines = [{"camera": [0.5, -0.25 * i], "buttons": {"forward": 1, "jump": i % 2}} for i in range(4)]
    for number, value in zip((1, 3), values, strict=True):
        target = lines[number] if key in ("camera", "buttons") else lines[number]["buttons"]
        target.pop(key, None) if value is REMOVE else target.update({key: value})
    raw = [json.dumps(line) for line in lines]
    try:
        read = parse_action_lines(raw, "r.jsonl")
    except UserError as error:
        refused = str(error)
    else:
        refused = ""
    if refused:
        assert re.search(r"r\.jsonl, line [24]: ", refused)
        return
    for row, line in enumerate(json.loads(text) for text in raw):
        assert read["camera"][row].tolist() == [float(angle) for angle in line["camera"]]
        assert {name: int(read[name][row]) for name in BINARY_KEYS} == {
            name: int(line["buttons"].get(name, 0)) for name in BINARY_KEYS
        }
        assert np.isfinite(read["camera"]).all()
