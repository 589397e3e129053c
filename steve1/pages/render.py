"""From a template and what it shows to one HTML page that needs nothing from elsewhere."""

from __future__ import annotations

import base64
from pathlib import Path
from typing import Any

_HERE = Path(__file__).resolve().parent


def page(template: Path, **content: Any) -> str:
    """The page that the jinja2 ``template`` makes of ``content``; it extends ``base.html`` and may use ``parts.html``.

    Texts are escaped; what stands in the page as it is, charts say, is ``markupsafe.Markup``. A name that the template
    asks for and ``content`` lacks is an error.
    """
    import jinja2

    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader([template.resolve().parent, _HERE]),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    return environment.get_template(template.name).render(**content)


def data_uri(kind: str, content: bytes) -> str:
    """A file within the page; ``kind`` is its media type."""
    return f"data:{kind};base64,{base64.b64encode(content).decode()}"
