"""Charts are pieces of SVG that stand in a page, in its colours, the same for the same figures."""

import re
import xml.etree.ElementTree as ET

import pytest

from steve1.pages.charts import (
    COLOURS,
    Curve,
    Heat,
    Row,
    bars,
    columns,
    curves,
    heat,
    heat_png,
    intervals,
    sweep,
)

NASTY = '<b>$x$ & "y" 挖掘'
TABLE = Heat(
    ["sky", NASTY], ["up\n(share)", "dug"], [[1.0, 0.2], [0.0, 1.0]], [["0.9", "1"], ["0", "5"]], [(0, 0)]
)
CHARTS = {
    "intervals": lambda: intervals(
        [Row(NASTY, 0, 1.0, 0.5, 1.5, [0.5, 1.5]), Row("b", 1, -2.0, None, None, [-2.0])], "blocks"
    ),
    "sweep": lambda: sweep(
        [
            Curve("a", 0, [0, 2, 4], [1, 2, 3], [0.5, 1.5, None], [1.5, 2.5, None], 1.2),
            Curve("b", 1, [2], [0], [None], [None]),
        ],
        "guidance scale",
        "blocks",
    ),
    "curves": lambda: curves(
        [
            Curve("a", 0, [15, 16], [0.1, 0.2], [0.0, None], [0.2, None]),
            Curve("b", 1, [15], [0], [None], [None]),
        ],
        "frame",
        "cosine",
    ),
    "bars": lambda: bars([("attack", 0.25), (NASTY, 0.0)]),
    "no bars": lambda: bars([]),
    "columns": lambda: columns([0, 1, 2], {"episodes": [3, 1]}, "frames"),
    "heat": lambda: heat(TABLE),
    "one column": lambda: columns([39.5, 40.5], {"episodes": [2]}, "frames"),
    "shares": lambda: columns([0, 1, 2], {"a": [0.9, 0.1], "b": [0.0, 0.0]}, "", True, ["no", "yes"]),
}


@pytest.fixture(params=CHARTS)
def chart(request):
    return CHARTS[request.param]


def test_every_chart_is_one_svg_with_a_text_in_its_place(chart):
    svg = str(chart())
    root = ET.fromstring(svg.replace("xlink:href", "href"))
    assert root.tag == "svg"
    assert root.get("role") == "img"
    assert svg.count("<svg") == 1
    assert not re.search(r"http|<style|<metadata|<!--|<script", svg)


def test_the_same_figures_make_the_same_bytes(chart):
    assert chart() == chart()


def test_ids_are_used_and_no_other_charts():
    seen = set()
    for chart in CHARTS.values():
        svg = str(chart())
        ids, used = re.findall(r' id="([^"]+)"', svg), re.findall(r'(?:url\(#|href="#)([^")]+)', svg)
        assert len(ids) == len(set(ids))
        assert set(ids) == set(used)
        assert not seen & set(ids)
        seen |= set(ids)
    assert seen


def test_colours_follow_the_page_by_day_and_by_night():
    svg = str(CHARTS["intervals"]())
    assert "var(--ink)" in svg
    assert "var(--line)" in svg
    assert "var(--blue)" in svg  # the first agent
    assert COLOURS[1].lower() in svg  # the second
    assert not re.search(r"#0(10203|40506|70809)|#000000|#0072b2", svg)


def test_figures_are_said_and_texts_are_no_formulas():
    root = ET.fromstring(str(CHARTS["intervals"]()).replace("xlink:href", "href"))
    assert root.get("aria-label") == f"{NASTY}: 1 [0.5, 1.5] blocks; b: -2 blocks"
    assert NASTY in [text.text for text in root.iter("text")]
    assert "attack 25.00%" in CHARTS["bars"]()
    assert "a most at no : 90.0%" in CHARTS["shares"]()


def test_more_marks_for_more_values():
    few = intervals([Row("a", 0, 1.0, None, None, [1.0])], "blocks")
    many = intervals([Row("a", 0, 1.0, 0.5, 1.5, [0.5, 1.0, 1.5])], "blocks")
    assert many.count("<use") > few.count("<use")
    assert many.count("<path") > few.count("<path")


def test_marks_stay_in_the_drawing():
    for chart in CHARTS.values():
        svg = str(chart())
        width, height = map(float, re.search(r'viewBox="0 0 ([\d.]+) ([\d.]+)"', svg).groups())
        spots = re.findall(r'<use [^>]*x="(-?[\d.]+)" y="(-?[\d.]+)"', svg)
        assert all(0 <= float(x) <= width and 0 <= float(y) <= height for x, y in spots)


def test_a_heat_map_says_every_cell_in_words_and_is_a_picture_too():
    svg = str(heat(TABLE))
    assert "sky: up (share) 0.9, dug 1; " in svg
    assert heat_png(TABLE) == heat_png(TABLE)
    assert heat_png(TABLE).startswith(b"\x89PNG")
