"""A method's claims as text and as a page: the heat map, tables with intervals, films with their own figures.

Everything is read from the figures that ``claims.py`` made; nothing is worked out here but shares for colours.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from steve1.files import write_text
from steve1.judging.tables import RULE, guidance, spread
from steve1.judging.training_seeds import from_list
from steve1.pages import charts
from steve1.pages.render import data_uri, page
from steve1.playing.episode import PlayedEpisode
from steve1.playing.measures import MEASURES, own_measure

_TEMPLATE = Path(__file__).with_name("claims.html")
_NO_GOAL = "no_goal"
Table = list[list[str]]  # the first line holds the columns' names


def span(figures: Sequence[Any]) -> str:
    """``mean [low, high]`` of what JSON keeps as a list."""
    return spread(from_list(figures))


def matrix_heat(content: Mapping[str, Any]) -> charts.Heat:
    """The matrix: each cell's share of its column's maximum as its colour, its mean as its text."""
    measures = content["measures"]
    mean, shares = content["matrix"]["mean"], content["matrix"]["share_of_column"]
    prompts = [*measures, *(prompt for prompt in mean if prompt not in measures)]
    names = [one["name"] for one in measures.values()]
    return charts.Heat(
        [prompt.replace("_", " ") for prompt in prompts],
        [f"{name.replace('_', ' ')}\n({MEASURES[name].unit})" for name in names],
        [[shares[prompt].get(name, 0.0) for name in names] for prompt in prompts],
        [
            [f"{mean[prompt][name]:.3g}" if name in mean[prompt] else "-" for name in names]
            for prompt in prompts
        ],
        [(i, i) for i in range(len(measures))],
    )


def seeds_table(content: Mapping[str, Any]) -> Table:
    """A line a training seed: how many prompts win, which do not, which lose, which are not the highest."""
    behaviours = list(content["measures"])

    def missing(there: Sequence[str]) -> str:
        return ", ".join(name for name in behaviours if name not in there) or "none"

    lines = [
        ["training seed", "wins", "without a win", "does less than no goal", "highest", "not the highest"]
    ]
    for seed, one in enumerate(content["training_seeds"]):
        of = one["judged"]
        lines.append(
            [
                str(seed),
                f"{len(one['wins'])} of {of}",
                missing(one["wins"]),
                ", ".join(one["loses"]) or "none",
                f"{len(one['highest'])} of {of}",
                missing(one["highest"]),
            ]
        )
    return lines


def wins_sentence(content: Mapping[str, Any]) -> str:
    """Mean number of wins and its spread over training seeds, in a sentence."""
    wins, highest, loses = (content[name] for name in ("wins", "highest", "loses"))
    of = content["training_seeds"][0]["judged"]
    return (
        f"Of {of} sentences {span(wins['mean'])} win against no goal (mean over {len(wins['each'])} training seeds, "
        f"from {wins['least']} to {wins['greatest']}), {span(highest['mean'])} have the highest mean of their own "
        f"measure among all sentences and no goal (from {highest['least']} to {highest['greatest']}), and "
        f"{span(loses['mean'])} do less of it than no goal (from {loses['least']} to {loses['greatest']})."
    )


def matrix_table(content: Mapping[str, Any]) -> Table:
    """The matrix as text, each prompt's own measure starred."""
    table = matrix_heat(content)
    lines = [["mean of", *(name.replace("\n", " ") for name in table.columns)]]
    for i, (row, texts) in enumerate(zip(table.rows, table.texts, strict=True)):
        lines.append([row, *(f"{x}*" if (i, j) in table.framed else x for j, x in enumerate(texts))])
    return lines


def settings_table(content: Mapping[str, Any]) -> Table:
    """A line a setting: its normalised score, and its difference from the usual one, paired over training seeds."""
    lines = [["setting", "normalised score", "against", "difference", "verdict"]]
    for row in content["settings_played"]:
        apart = row["difference"]
        lines.append(
            [
                row["setting"],
                span(row["score"]),
                row["against"] or "-",
                "-" if apart is None else span(apart),
                row["word"] or "-",
            ]
        )
    return lines


def own_measures_table(content: Mapping[str, Any]) -> Table:
    """A line a setting: each behaviour's own measure."""
    measures = content["measures"]
    lines = [["setting", *(f"{name}: {one['name']} ({one['unit']})" for name, one in measures.items())]]
    for row in content["settings_played"]:
        lines.append([row["setting"], *(span(row["own_measures"][name]) for name in measures)])
    return lines


def claims_table(content: Mapping[str, Any]) -> Table:
    """A line a claim: what is compared, and whether it is told apart."""
    lines = [["claim", "compared", "difference of normalised scores", "verdict"]]
    for one in content["claims"]:
        compared = f"{one['setting']} against {one['against']}"
        lines.append([one["sentence"], compared, span(one["difference"]), one["word"]])
    return lines


def notes(content: Mapping[str, Any]) -> list[str]:
    """What the figures are of, a sentence each."""
    s = content["settings"]
    first, n, few = s["reporting_worlds_from"], s["worlds"], s["setting_worlds"]
    arms = f"; the arms (what is trained on) {s['arms_frames']:,} frames each" if s["arms_frames"] else ""
    return [
        f"{s['training_seeds']} training seeds of {s['n_frames']:,} frames{arms}. Guidance "
        f"{guidance(s['guidance'])} unless another is named.",
        f"Reporting worlds {first:,} to {first + n - 1:,} for the matrix and the wins, {first:,} to "
        f"{first + few - 1:,} for all other settings, {s['frames_played']} frames each; nothing was chosen in them. "
        f"Choosing worlds are those from {s['choosing_worlds_from']:,} on.",
        f"Wins and losses: {RULE}.",
        "The normalised score of a run is the mean over behaviours of the own measure as a share of the most that "
        "any sentence, or no goal, has of it in the matrix. Intervals over training seeds are 95 % by Student's t; "
        "differences are paired over training seeds. Nothing is corrected for how many comparisons there are.",
    ]


def markdown(content: Mapping[str, Any]) -> str:
    """Everything but the films, as Markdown."""
    parts = [
        wins_sentence(content),
        _markdown_table(matrix_table(content))
        + "\n\n\\* the sentence's own measure; means over training seeds.",
        _markdown_table(seeds_table(content)),
        _markdown_table(claims_table(content)),
        _markdown_table(settings_table(content)),
        _markdown_table(own_measures_table(content)),
        "\n".join(f"- {note}" for note in notes(content)),
    ]
    return "\n\n".join(parts) + "\n"


def _markdown_table(table: Table) -> str:
    heads, *lines = [[cell.replace("|", "\\|") for cell in line] for line in table]
    rows = [heads, ["---"] * len(heads), *lines]
    return "\n".join("| " + " | ".join(row) + " |" for row in rows)


def film_caption(episode: PlayedEpisode) -> str:
    """A film's sentence, and what it has of the sentence's own measure."""
    name = own_measure(episode.about["behaviour"], episode.measured["measures"])
    if name is None:
        return f"“{episode.about['caption']}”"
    value, measure = episode.measured["measures"][name], MEASURES[name]
    return f"“{episode.about['caption']}”: {name.replace('_', ' ')} {value:.3g} ({measure.unit})"


def write_page(path: Path, content: Mapping[str, Any], films: Sequence[PlayedEpisode]) -> None:
    """Write the page ``path``; the films are put into it."""
    made_by = content["made_by"]
    write_text(
        path,
        page(
            _TEMPLATE,
            wins=wins_sentence(content),
            heat=charts.heat(matrix_heat(content)),
            matrix=matrix_table(content),
            seeds=seeds_table(content),
            claims=claims_table(content),
            settings=settings_table(content),
            own_measures=own_measures_table(content),
            films=[
                {"source": data_uri("video/mp4", film.film.read_bytes()), "caption": film_caption(film)}
                for film in films
                if film.film is not None
            ],
            notes=notes(content),
            seconds=[[stage, f"{took:,.0f}"] for stage, took in content["seconds"].items()],
            made_by=[[name, _said(value)] for name, value in made_by.items()],
        ),
    )


def _said(value: Any) -> str:
    return ", ".join(str(one)[:12] for one in value) if isinstance(value, list) else str(value)
