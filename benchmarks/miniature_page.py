"""The miniature's figures as tables, as one page with films, and, where asked for, in docs/miniature.md.

    python benchmarks/miniature_page.py --output_dir data/miniature
    python benchmarks/miniature_page.py --output_dir data/miniature --write_docs

Reads what miniature.py made: miniature.json and the films. Writes miniature.md and miniature.html beside them. With
--write_docs it also fills the marked block of docs/miniature.md, and makes docs/pictures/miniature_heat.png and a
strip of each film, miniature_NAME.png; it measures nothing itself.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from steve1.cli import UserError, entry_point, not_there, report_all
from steve1.files import read_object, whole_file, write_text

if TYPE_CHECKING:
    import numpy as np

    from steve1.playing.episode import PlayedEpisode

ROOT = Path(__file__).resolve().parents[1]
BEGIN, END = "<!-- figures: benchmarks/miniature_page.py -->\n", "<!-- end of figures -->\n"
MOMENTS = 6  # of a film's strip
WIDTH, CAPTION = 200, 22  # pixels: of a moment, and below them all


def filled(text: str, figures: str, page: Path) -> str:
    """A document with ``figures`` in its marked block. Raises UserError where ``page`` has none."""
    before, begin, rest = text.partition(BEGIN)
    _, end, after = rest.partition(END)
    if not begin or not end:
        raise UserError(f"{page} has no block from {BEGIN.strip()} to {END.strip()}; put both lines into it")
    return f"{before}{BEGIN}\n{figures.strip()}\n\n{END}{after}"


def strip(frames: Sequence[np.ndarray], caption: str) -> bytes:
    """A PNG of MOMENTS frames in a row, from the first to the last, above the caption.

    ``frames``: uint8 [H, W, 3] RGB.
    """
    import cv2
    import numpy as np

    chosen = [frames[round(i * (len(frames) - 1) / (MOMENTS - 1))] for i in range(MOMENTS)]
    height = round(WIDTH * chosen[0].shape[0] / chosen[0].shape[1])
    row = np.hstack([cv2.resize(frame, (WIDTH, height), interpolation=cv2.INTER_AREA) for frame in chosen])
    below = np.full((CAPTION, row.shape[1], 3), 255, np.uint8)
    plain = caption.replace("“", '"').replace("”", '"')  # OpenCV's letters are ASCII
    cv2.putText(below, plain, (4, CAPTION - 7), cv2.FONT_HERSHEY_SIMPLEX, 0.45, (34, 34, 34), 1, cv2.LINE_AA)
    _, encoded = cv2.imencode(".png", cv2.cvtColor(np.vstack([row, below]), cv2.COLOR_RGB2BGR))
    return encoded.tobytes()


def films_of(folder: Path) -> list[PlayedEpisode]:
    """The filmed episodes of a folder, in the order of their names."""
    from steve1.playing.episode import read_episodes

    return [
        episode
        for path in sorted(folder.glob("*.json"))
        for episode in read_episodes(path)
        if episode.film is not None
    ]


def write_pictures(content: dict, films: Sequence[PlayedEpisode], folder: Path) -> dict[str, str]:
    """Make the heat map and a strip a film; the files' names, the heat map's first, with what each shows."""
    from data.video import decode
    from steve1.judging.claims_page import film_caption, matrix_heat
    from steve1.pages.charts import heat_png

    pictures = {
        "miniature_heat.png": ("What each sentence does, by each measure", heat_png(matrix_heat(content)))
    }
    for film in films:
        assert film.film is not None
        caption = film_caption(film)
        picture = strip(list(decode(film.film)), caption)
        pictures[f"miniature_{film.about['behaviour']}.png"] = (caption, picture)
    for name, (_, picture) in pictures.items():
        with whole_file(folder / name) as partial:
            partial.write_bytes(picture)
    return {name: what for name, (what, _) in pictures.items()}


@entry_point
def main(argv: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--output_dir", type=Path, required=True, help="miniature.py's --output_dir")
    parser.add_argument(
        "--write_docs",
        action="store_true",
        help="also fill docs/miniature.md and make its pictures (default: don't)",
    )
    parser.add_argument(
        "--docs_dir",
        type=Path,
        default=ROOT / "docs",
        help="where these are (default: the repository's docs)",
    )
    args = parser.parse_args(argv)
    report_all(not_there(args, "output_dir", "docs_dir", folder=True))
    source = args.output_dir / "miniature.json"
    if not source.exists():
        raise UserError(f"{source} is missing; run benchmarks/miniature.py to its end first")

    from steve1.judging.claims_page import markdown, write_page

    content, films = read_object(source), films_of(args.output_dir / "films")
    write_text(args.output_dir / "miniature.md", markdown(content))
    write_page(args.output_dir / "miniature.html", content, films)
    if args.write_docs:
        page = args.docs_dir / "miniature.md"
        names = write_pictures(content, films, args.docs_dir / "pictures")
        shown = [f"![{what}](pictures/{name})" for name, what in names.items()]
        figures = "\n\n".join([shown[0], markdown(content).strip(), *shown[1:]])
        write_text(page, filled(page.read_text(encoding="utf-8"), figures, page))


if __name__ == "__main__":
    main()
