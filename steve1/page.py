"""One HTML page that needs nothing from elsewhere: the frame that all our reports share."""

from __future__ import annotations

import base64
import html
from collections.abc import Mapping, Sequence

COLOURS = ("#0072B2", "#E69F00", "#009E73")  # that stay apart for colour-blind eyes (Okabe and Ito)
_STYLE = """
body { font: 15px/1.45 system-ui, sans-serif; color: #222; background: #fff; margin: 2em auto; max-width: 1120px;
  padding: 0 1em }
h1 { font-size: 1.5em } h2 { font-size: 1.25em; border-top: 2px solid #ddd; padding-top: 1em; margin-top: 2em }
h3 { font-size: 1em; margin: 0 0 .4em }
.tiles { display: flex; flex-wrap: wrap; gap: .6em; padding: 0; list-style: none }
.tiles li { background: #f3f5f7; border-radius: 6px; padding: .5em 1em }
.tiles b { display: block; font-size: 1.3em }
.charts { display: grid; grid-template-columns: repeat(auto-fit, minmax(500px, 1fr)); gap: 1.6em; margin: 1.5em 0 }
.caption, .note { color: #555; font-size: .87em; overflow-wrap: anywhere; margin: 0 0 .9em }
.bad { color: #a40000; font-weight: 600 }
table { border-collapse: collapse } td, th { text-align: left; padding: .15em .9em .15em 0; vertical-align: top }
td.n { text-align: right; font-variant-numeric: tabular-nums } td { overflow-wrap: anywhere }
svg { width: 100%; height: auto } svg text { font: 11px system-ui, sans-serif; fill: #444 }
"""


def document(title: str, body: str, style: str = "", script: str = "") -> str:
    """The whole page. ``title``: plain text. ``body``, ``style``, ``script``: as they go into it."""
    tail = f"<script>{script}</script>\n" if script else ""
    return (
        '<!DOCTYPE html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        '<meta name="viewport" content="width=device-width">\n'
        f"<title>{html.escape(title)}</title>\n<style>{_STYLE}{style}</style>\n</head>\n<body>\n"
        f"<h1>{html.escape(title)}</h1>\n{body}\n{tail}</body>\n</html>\n"
    )


def tiles(facts: Mapping[str, str]) -> str:
    """Facts in a row of boxes: names, and values that stand out."""
    items = "".join(
        f"<li><b>{html.escape(value)}</b>{html.escape(name)}</li>" for name, value in facts.items()
    )
    return f'<ul class="tiles">{items}</ul>'


def chart(title: str, note: str, svg: str) -> str:
    """A drawing under its title and a note, which may be empty; both are HTML."""
    words = f'<p class="note">{note}</p>' if note else ""
    return f"<div><h3>{title}</h3>{words}{svg}</div>\n"


def rows(heads: Sequence[str], lines: Sequence[Sequence[str]], numbers: int = 0) -> str:
    """A table of plain texts; the last ``numbers`` columns hold numbers."""
    first = len(heads) - numbers
    head = "".join(
        f"<th{' class=n' if i >= first else ''}>{html.escape(text)}</th>" for i, text in enumerate(heads)
    )
    body = "\n".join(
        "<tr>"
        + "".join(
            f"<td{' class=n' if i >= first else ''}>{html.escape(text)}</td>" for i, text in enumerate(line)
        )
        + "</tr>"
        for line in lines
    )
    return f"<table><thead><tr>{head}</tr></thead>\n<tbody>{body}</tbody></table>\n"


def data_uri(kind: str, content: bytes) -> str:
    """A file within the page; ``kind`` is its media type."""
    return f"data:{kind};base64,{base64.b64encode(content).decode()}"
