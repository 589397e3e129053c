"""Sum up datasets or a sampling: frames, hours, size, what was pressed, how the camera moved, the embeddings.

Real:
    python data/sampling/dataset_summary.py --dataset_dirs data/dataset_contractor,data/dataset_custom
    python data/sampling/dataset_summary.py --sampling neurips --html neurips.html

Tiny:
    python data/sampling/dataset_summary.py --dataset_dirs data/dataset_custom --max_episodes 10

The page is one file that needs no network. The same episodes and seed make the same figures and the same page.
"""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from data.parallel import cores
from steve1.cli import UserError, comma_list, count, entry_point, out_of_range, report_all
from steve1.config import data_root


def text_table(title: str, summary: dict[str, Any]) -> str:
    """Return a summary as lines of text, at most 100 wide."""
    from steve1.vpt.actions import BIN_ANGLES

    lengths, embeddings = summary["length"], summary["embeddings"]
    norm, cosine = embeddings["norm"], embeddings["cosine"]
    lines = [
        title,
        f"  {summary['episodes']:,} episodes of {summary['sessions']:,} sessions, {summary['frames']:,} frames, "
        f"{summary['hours']:.2f} h, {summary['gigabytes']:.3g} GB",
        f"  frames an episode: {lengths['min']:,} to {lengths['max']:,}, median {lengths['median']:,.0f}",
        f"  nothing pressed and camera still: {summary['doing_nothing']:.1%} of frames",
        "  pressed, share of frames:",
    ]
    ordered = sorted(summary["pressed"].items(), key=lambda pair: -pair[1])
    lines += [f"    {name:<10} {share:>7.2%} {'#' * round(40 * share)}".rstrip() for name, share in ordered]
    lines.append("  camera, share of frames by degrees a frame:")
    lines.append("    " + " ".join(f"{'':>7}" if a is None else f"{a:>7.2f}" for a in (None, *BIN_ANGLES)))
    for axis, shares in summary["camera"].items():
        lines.append(f"    {axis:<7} " + " ".join(f"{share:>7.2%}" for share in shares))
    buttons, camera = summary["entropy"]["buttons"], summary["entropy"]["camera"]
    lines.append(
        f"  entropy of the actions' histogram: buttons {buttons:.3f} + camera {camera:.3f} = {buttons + camera:.3f} "
        "nats a frame"
    )
    lines.append(
        f"  embeddings: width {', '.join(map(str, embeddings['width'])) or 'unknown'}, norm {norm['mean']:.3f} "
        f"(std {norm['std']:.3f}, {norm['min']:.3f} to {norm['max']:.3f})"
    )
    lines.append(
        f"    mean cosine {cosine['neighbours']:.3f} of neighbours, {cosine['same_episode']:.3f} within an episode, "
        f"{cosine['other_episode']:.3f} between two"
    )
    known = ", ".join(value[:12] for value in embeddings["mineclip_hashes"]) or "unknown"
    lines.append(f"    made by MineCLIP {known}")
    if embeddings["not_finite"]:
        share, first = embeddings["not_finite_share"], embeddings["first_not_finite"]
        lines.append(
            f"    {embeddings['not_finite']:,} rows are not finite ({share:.2%}): make those episodes again"
        )
        lines.append(f"      the first: frame {first['frame']} of {first['episode']}")
    return "\n".join(lines)


@entry_point
def main(argv: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "--dataset_dirs",
        type=comma_list,
        default=[],
        metavar="A,B",
        help="folders of episodes (default: none)",
    )
    parser.add_argument("--sampling", help="name of a sampling whose two lists are summed up (default: none)")
    parser.add_argument(
        "--sampling_dir", type=Path, default=data_root() / "samplings", help="default: data/samplings"
    )
    parser.add_argument(
        "--max_episodes",
        type=count,
        default=0,
        help="look at this many random episodes of each (default 0: all)",
    )
    parser.add_argument("--json", type=Path, help="also write the figures to this file (default: no file)")
    parser.add_argument(
        "--html", type=Path, help="also write a page with charts and pictures to this file (default: no file)"
    )
    parser.add_argument(
        "--pictures",
        type=count,
        default=6,
        help="episodes of each that the page shows frames of (default 6; 0: none)",
    )
    parser.add_argument(
        "--workers",
        type=count,
        default=cores(),
        help="processes that read side by side; 1: this one alone (default: a core each, %(default)s here)",
    )
    parser.add_argument("--seed", type=count, default=0, help="of what is sampled (default 0)")
    args = parser.parse_args(argv)
    problems = []
    if not args.dataset_dirs and not args.sampling:
        problems.append("give --dataset_dirs A,B or --sampling NAME")
    problems += out_of_range(args, "max_episodes", least=0, note="0: all")
    problems += out_of_range(args, "workers", least=1)
    report_all(problems + out_of_range(args, "pictures", "seed", least=0))

    from data.minecraft_dataset import load_sampling
    from data.sampling.sessions import read_dataset, read_episodes
    from data.sampling.split import shuffled
    from data.sampling.summary_figures import summarize
    from data.sampling.summary_page import contact_sheet, page
    from steve1.files import write_json, write_text

    groups = {folder: read_dataset(folder) for folder in args.dataset_dirs}
    if args.sampling:
        lists = load_sampling(args.sampling_dir, args.sampling)
        for side, paths in zip(("train", "val"), lists, strict=True):
            if paths:
                groups[f"{args.sampling} ({side})"] = read_episodes(paths)
    summaries, sheets = {}, {}
    for title, episodes in groups.items():
        if args.max_episodes:
            episodes = shuffled(episodes, args.seed, 0)[: args.max_episodes]
            title = f"{title}, {len(episodes)} of {len(groups[title])} episodes"
        if not any(episode.frames for episode in episodes):
            raise UserError(f"{title} holds no frames; check it with data/EpisodeStorage.py --validate")
        summaries[title] = summarize(episodes, args.seed, len(episodes) > 20, args.workers)
        print(text_table(title, summaries[title]))
        if args.html:
            sheets[title] = contact_sheet(shuffled(episodes, args.seed, 1)[: args.pictures])
    if args.json:
        write_json(args.json, summaries)
    if args.html:
        write_text(args.html, page(summaries, sheets))
        print(f"wrote {args.html}")


if __name__ == "__main__":
    main()
