"""The names of the policy's parts, as ``--freeze`` takes them; loads nothing heavy."""

from __future__ import annotations

from collections.abc import Sequence

# The parts of the policy, as --freeze takes them; parts of parts have dotted names (recurrent_layer.blocks.0).
PARTS = (
    *("img_process", "mineclip_embed_linear", "pre_lstm_ln", "recurrent_layer", "lastlayer", "final_ln"),
    "pi_head",
)


def plain_part(name: str) -> str:
    """A part's name without the ``policy.`` and ``net.`` that users copy from elsewhere."""
    return name.removeprefix("policy.").removeprefix("net.")


def unknown_parts(names: Sequence[str]) -> list[str]:
    """One sentence for each name that belongs to no part of any policy; the rest needs the model itself."""
    return [
        f"--freeze {name}: the policy has no such part; its parts are {', '.join(PARTS)}"
        for name in names
        if plain_part(name).partition(".")[0] not in (*PARTS, "value_head")
    ]
