"""Your own recordings become episodes, and the episodes a sampling: what prepare_custom_data.sh runs.

    python data/generation/prepare_custom_data.py --input_dir data/recordings --output_dir data/dataset_custom \
        --name custom
    python data/generation/prepare_custom_data.py --input_dir my_clips --output_dir /tmp/episodes --name mine \
        --mineclip_weights tiny_mineclip.pth --val_frames 100 --sampling_dir /tmp/samplings

Takes the flags of data/generation/convert_custom_data.py and of data/sampling/generate_sampling.py; each goes to the
step that has it, and one that neither has is refused before anything is done. --output_dir is the folder of episodes,
which the second step reads; --sampling_dir is that step's own --output_dir. Recordings that can't be used are said, and
the others go on (--skip_broken False: not beyond the first step).
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence

from data.generation import convert_custom_data
from data.generation.convert import convert_all
from data.sampling import generate_sampling
from steve1.cli import entry_point, report_all
from steve1.config import data_root


@entry_point
def main(argv: Sequence[str] | None = None) -> None:
    """Sort the flags, then run the two steps."""
    given = list(sys.argv[1:] if argv is None else argv)
    own = argparse.ArgumentParser(
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
        add_help=False,
    )
    own.add_argument(
        "--sampling_dir",
        default=str(data_root() / "samplings"),
        help="folder of the lists (default: data/samplings)",
    )
    convert, sample = convert_custom_data.build_parser(), generate_sampling.build_parser()
    if {"-h", "--help"} & set(given):
        for parser in (own, convert, sample):
            parser.print_help()
        return
    for parser in (convert, sample):
        parser.allow_abbrev = False

    # ---- which flag is whose: all mistakes before any work
    its, rest = own.parse_known_args(given)
    converting, rest = convert.parse_known_args(["--skip_broken", *rest])
    sampling = [
        "--type",
        "custom",
        "--dataset_dirs",
        converting.output_dir,
        "--output_dir",
        its.sampling_dir,
        *rest,
    ]
    sample.prog = "prepare_custom_data.sh"  # which names a flag that neither step has
    sample.parse_args(sampling)
    report_all(convert_custom_data.problems(converting))

    # ---- the two steps
    convert_all(convert_custom_data.OwnRecordings(converting), converting)
    generate_sampling.main(sampling)


if __name__ == "__main__":
    main()
