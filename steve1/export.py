"""Write weights in a form that others read: the hub's, with a model card, as MineStudio's ``from_pretrained`` takes it.

Real (a folder to upload with ``hf upload OWNER/NAME DIR``):
    python -m steve1.export --to hub DIR --in_weights data/weights/steve1/mine_best.weights \\
        --prior_weights data/weights/steve1/steve1_prior.pt --report data/generated_videos/report.json

Tiny (policy and prior alone, from the quickstart's weights):
    python -m steve1.export --to hub /tmp/small --in_weights data/quickstart/weights/steve1/small.weights \\
        --prior_weights data/quickstart/weights/steve1/small_prior.pt

The folder is written whole or not at all. What is left out (prior, MineCLIP) is said: MineStudio fills it with random
numbers.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from steve1 import hub
from steve1.cli import UserError, entry_point, report_all
from steve1.flags import add_model_flags, complete_models, missing_files

if TYPE_CHECKING:
    from torch import Tensor

# What MineStudio's MineCLIP is built by; it builds the published one and no other.
MINECLIP_KWARGS: dict[str, Any] = {
    "arch": "vit_base_p16_fz.v2.t2",
    "resolution": [160, 256],
    "pool_type": "attn.d2.nh8.glusw",
    "image_feature_dim": 512,
    "mlp_adapter_spec": "v0-2.t0",
    "hidden_dim": 512,
}
CARD = "README.md"


def parse(argv: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "--to",
        nargs=2,
        metavar=("FORM", "DIR"),
        required=True,
        help="the form, hub, and the folder to write; one that an export wrote is replaced, others are left alone",
    )
    add_model_flags(parser)
    parser.add_argument(
        "--report",
        type=Path,
        help="figures of run_agent.py's report, its .json, for the card's evaluation table (default: no table)",
    )
    args = parser.parse_args(argv)
    args.form, args.folder = args.to[0], Path(args.to[1])
    given = args.mineclip_weights is not None
    beside = args.in_weights.with_suffix(".json")
    if args.in_model is None and not hub.is_hub(args.in_weights) and beside.is_file():
        args.in_model = beside
    complete_models(args)
    if args.mineclip_weights == Path("none") or not (given or hub.is_hub(args.mineclip_weights)):
        # The published MineCLIP belongs to the export where it is there; its absence is said, not refused.
        published = args.mineclip_weights != Path("none") and args.mineclip_weights.is_file()
        args.mineclip_weights = args.mineclip_weights if published else None
    report_all(_problems(args))
    return args


def _problems(args: argparse.Namespace) -> list[str]:
    problems = missing_files(args)
    if args.form != "hub":
        problems.append(f"--to {args.form}: write --to hub DIR")
    if args.folder.exists():
        known = {*hub.FILES, CARD}
        others = (
            sorted(p.name for p in args.folder.iterdir() if p.name not in known)
            if args.folder.is_dir()
            else []
        )
        if others or not args.folder.is_dir():
            problems.append(
                f"--to hub {args.folder} is there and no export ({', '.join(others) or 'a file'}); name another"
            )
        elif args.folder.resolve() in (args.in_weights.resolve(), args.in_weights.resolve().parent):
            problems.append(f"--to hub {args.folder} is where --in_weights is; name another folder")
    if args.report is not None and not args.report.is_file():
        problems.append(f"--report {args.report} does not exist; give the .json beside a report's page")
    return problems


@entry_point
def main(argv: Sequence[str] | None = None) -> None:
    args = parse(argv)

    from safetensors.torch import save_file

    from steve1 import model_card
    from steve1.files import whole_folder, write_json, write_text

    # ---- what is exported
    tensors, config, notes = collect(args)
    missing = [part for part in ("prior", "mineclip") if part not in notes]
    table = model_card.evaluation(args.report, notes["policy"]["tensors_hash"]) if args.report else None
    card = model_card.write(args.folder.name, notes, table, missing)

    # ---- the folder
    with whole_folder(args.folder) as partial:
        save_file(tensors, partial / hub.TENSORS, metadata={"format": "pt"})
        write_json(partial / hub.CONFIG, config)
        write_json(partial / hub.OURS, notes)
        write_text(partial / CARD, card)
    size = (args.folder / hub.TENSORS).stat().st_size
    print(f"{args.folder}: {', '.join(notes)} in {len(tensors)} tensors, {size / 1e6:,.1f} MB")
    for part in missing:
        print(
            f"it holds no {part}: MineStudio fills it with random numbers; give --{part}_weights to have it there"
        )
    temperature = notes["policy"]["pi_head_kwargs"].get("temperature", 1.0)
    if temperature != 1.0:
        print(
            f"the head's temperature is {temperature} ({hub.OURS}); MineStudio has no place for it and plays with 1.0"
        )


def collect(args: argparse.Namespace) -> tuple[dict[str, Tensor], dict[str, Any], dict[str, Any]]:
    """The tensors by the hub's names, ``config.json``, and what is noted of each part (``steve1_notes.json``).

    Everything is loaded first, so that what is written fits together. Raises :class:`~steve1.cli.UserError`.
    """
    import torch

    from steve1.checkpoints import load_mineclip, load_model_file, load_weights, read_metadata, tensors_hash
    from steve1.embed_conditioned_policy import MinecraftAgentPolicy
    from steve1.playing.goals import check_goals_fit
    from steve1.prior import load_prior

    policy_kwargs, head = load_model_file(args.in_model)
    policy = MinecraftAgentPolicy(policy_kwargs, head)
    if load_weights(policy, args.in_weights):
        raise UserError(
            f"{args.in_weights} has no goal layer (a VPT file), so that it is no STEVE-1 policy; train it first"
        )
    width = policy.net.mineclip_embed_dim
    tensors = dict(policy.state_dict())
    notes = {"policy": {**_noted(read_metadata(args.in_weights)), "pi_head_kwargs": head}}
    notes["policy"]["tensors_hash"] = tensors_hash(policy)
    config = {
        "policy_kwargs": policy_kwargs,
        "prior_kwargs": {"input_dim": width, "hidden_dim": 512, "latent_dim": 512},
        "mineclip_kwargs": MINECLIP_KWARGS,
        "freeze_mineclip": True,
    }
    prior = None if args.prior_weights is None else load_prior(args.prior_weights)
    if prior is not None:
        tensors |= {f"prior.{name}": tensor for name, tensor in prior.state_dict().items()}
        config["prior_kwargs"] = {
            name: getattr(prior, name) for name in ("input_dim", "hidden_dim", "latent_dim")
        }
        notes["prior"] = {
            **_noted(read_metadata(args.prior_weights, "prior")),
            "tensors_hash": tensors_hash(prior),
        }
    if args.mineclip_weights is not None:
        mineclip = load_mineclip(args.mineclip_weights, args.mineclip_config)
        prior_width = None if prior is None else prior.input_dim
        models = (mineclip, args.mineclip_weights, width, args.in_weights, prior_width, args.prior_weights)
        check_goals_fit(*models, args.allow_other_mineclip)
        tensors |= {_mineclip_name(name): tensor for name, tensor in mineclip.state_dict().items()}
        noted = _noted(read_metadata(args.mineclip_weights, "mineclip"))
        notes["mineclip"] = {**noted, "config": dict(mineclip.config), "tensors_hash": tensors_hash(mineclip)}
    return {name: torch.clone(tensor).contiguous() for name, tensor in tensors.items()}, config, notes


def _mineclip_name(name: str) -> str:
    """The name in ``attn.pth``, and so on the hub, under which a tensor of our MineCLIP is stored once."""
    return f"mineclip.{'clip_model.' if name.startswith('text_model.') else ''}{name}"


def _noted(metadata: Any) -> Any:
    """What stood beside weights, with files named without the folders of the machine that they were made on."""
    if isinstance(metadata, dict):
        return {name: _noted(value) for name, value in metadata.items() if name != "model"}
    if isinstance(metadata, list):
        return [_noted(value) for value in metadata]
    return Path(metadata).name if isinstance(metadata, str) and metadata.startswith("/") else metadata


if __name__ == "__main__":
    main()
