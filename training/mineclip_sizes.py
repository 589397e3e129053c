"""The sizes that a MineCLIP may be trained at: presets by name, or a JSON file."""

from __future__ import annotations

import json

from steve1.cli import UserError
from steve1.config import MINECLIP_CONFIG
from steve1.files import read_text

_TEMPORAL = {
    "temporal_layers": 2,
    "temporal_heads": 2,
    "temporal_head_dim": 32,
    "max_frames": 32,
    "window": 16,
}
_TEXT = {"context_length": 77, "vocab_size": 49408, "text_width": 64, "text_layers": 2, "text_heads": 2}
# benchmarks and docs name these; a JSON of the same keys may be given instead.
PRESETS: dict[str, dict] = {
    "small": {
        "resolution": [40, 64],
        "patch_size": 8,
        "vision_width": 96,
        "vision_layers": 3,
        "vision_heads": 4,
        "embed_dim": 128,
        **_TEXT,
        **_TEMPORAL,
    },
    "tiny": {
        "resolution": [32, 48],
        "patch_size": 16,
        "vision_width": 32,
        "vision_layers": 1,
        "vision_heads": 2,
        "embed_dim": 32,
        **_TEXT,
        "text_width": 16,
        "text_layers": 1,
        **_TEMPORAL,
        "temporal_layers": 1,
        "temporal_head_dim": 8,
    },
    "published": MINECLIP_CONFIG,
}


def load_config(name: str) -> dict:
    """A preset's sizes, or those of a JSON file (which may hold them under ``config``)."""
    if name in PRESETS:
        return dict(PRESETS[name])
    try:
        content = json.loads(read_text(name))
    except FileNotFoundError:
        raise UserError(
            f"--mineclip_config {name}: neither a file nor one of {', '.join(PRESETS)}; give one of these"
        ) from None
    except ValueError as error:
        raise UserError(f"--mineclip_config {name} is not JSON ({error}); mend it") from None
    if not isinstance(content, dict):
        raise UserError(f"--mineclip_config {name} is not a JSON object of sizes")
    return dict(content.get("config", content))
