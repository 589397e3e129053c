"""Converting contractor recordings on a Ray cluster: one task a recording, on whichever machine is free.

This process alone decides which recordings are converted and writes the report; the tasks download, convert
and write episodes. A task whose process or machine dies is given to another; what it left half-written is
removed when the episode is made again. Ray is imported here only, and is optional.
"""

from __future__ import annotations

import argparse
import functools
import os
import re
import socket
from pathlib import Path
from typing import Any

from data.generation.conversion import AGAIN, MADE, Ledger, Outcome, convert
from data.generation.episodes import EpisodeMaker, Summary, load_maker
from data.generation.recordings import Source, discard, obtain
from steve1.cli import UserError

MAX_RETRIES = 3  # of a recording whose process died; then it is taken to be the reason
_FOLDERS = ("output_dir", "cache_dir", "mineclip_weights", "mineclip_config")


def convert_there(ledger: Ledger, mineclip_hash: str, args: argparse.Namespace) -> None:
    """Convert what the ledger asks for on the cluster ``args.ray_address``.

    ``args``: the flags of convert_from_contractor. Raises :class:`~steve1.cli.UserError` when there is no such
    cluster, no machine of it is large enough for a task, or its weights are not those of ``mineclip_hash``.
    """
    import ray

    _connect(args.ray_address)
    try:
        # The tasks' processes have another working folder.
        settings = {
            **vars(args),
            **{key: str(Path(getattr(args, key)).absolute()) for key in _FOLDERS if getattr(args, key)},
            "working_dir": os.getcwd(),
        }
        flags = ray.put(settings)
        task = ray.remote(_convert).options(
            num_cpus=args.ray_cpus, num_gpus=args.ray_gpus, max_retries=MAX_RETRIES
        )
        under_way: dict[Any, Source] = {}
        while True:
            places = _places(args.ray_cpus, args.ray_gpus)
            while len(under_way) < places:
                source = ledger.next(len(under_way))
                if source is None:
                    break
                under_way[task.remote(source, flags, mineclip_hash)] = source
            if not under_way:
                return
            # Machines come and go, so the number of places is looked at now and then.
            done, _ = ray.wait(list(under_way), timeout=60)
            for reference in done:
                ledger.note(_outcome(reference, under_way.pop(reference)))
    finally:
        ray.shutdown()


def _connect(address: str) -> None:
    import ray

    try:
        host = re.fullmatch(r"(?:ray://)?(.+):(\d+)", address)
        if host:  # Ray itself would try for minutes
            socket.create_connection((host[1], int(host[2])), timeout=20).close()
        if address == "local":
            ray.init(address="local", include_dashboard=False, log_to_driver=False)
        else:
            ray.init(address=address, log_to_driver=False)
    except (OSError, OverflowError, ValueError, RuntimeError) as error:
        reason = str(error).strip().partition("\n")[0]
        raise UserError(
            f"--ray_address {address}: there is no such Ray cluster ({reason}); start one with "
            "`ray start --head`, or give local"
        ) from None


def _places(cpus: float, gpus: float) -> int:
    """How many tasks fit on the machines of the cluster at once."""
    import ray

    places = 0
    for node in ray.nodes():
        if node["Alive"]:
            resources = node["Resources"]
            fits = [
                int(resources.get(name, 0) / each) for name, each in (("CPU", cpus), ("GPU", gpus)) if each
            ]
            places += min(fits)
    if not places:
        raise UserError(
            f"no machine of the Ray cluster has {cpus:g} CPU cores and {gpus:g} GPUs; lower --ray_cpus, --ray_gpus"
        )
    return places


def _outcome(reference: Any, source: Source) -> Outcome:
    """The result of a finished task. A mistake of the user's in it, or a fault of ours, is raised."""
    import ray

    try:
        return ray.get(reference)
    except ray.exceptions.RayTaskError as error:
        cause = error.cause if isinstance(error.cause, (UserError, OSError)) else error
        raise cause from None
    except ray.exceptions.RayError as error:
        reason = str(error).strip().partition("\n")[0]
        return Outcome(
            source, AGAIN, f"the process that converted it died {MAX_RETRIES + 1} times ({reason}), memory?"
        )


def _convert(source: Source, settings: dict[str, Any], mineclip_hash: str) -> Outcome:
    """What a task does: convert one recording. Runs in a process of the cluster."""
    args = argparse.Namespace(**settings)
    output, cache = Path(args.output_dir), Path(args.cache_dir)
    maker = _maker(
        args.mineclip_weights, args.mineclip_config, args.batch_size, args.frame_format, args.min_timesteps
    )
    if maker.mineclip_hash != mineclip_hash:
        raise UserError(
            f"--mineclip_weights {args.mineclip_weights} is not the same file on all machines of the cluster; copy it"
        )
    if maker.exists(output / source.name):  # made by a task that died before it could say so
        discard(source, cache)
        return Outcome(source, MADE, summary=Summary(existing=1))
    here = source
    if not source.remote:
        video, actions = (os.path.join(args.working_dir, path) for path in (source.video, source.actions))
        here = Source(source.name, video, actions, remote=False)
    outcome = convert(
        source, lambda: obtain(here, cache), maker, output, args.legacy_int_camera, progress=False
    )
    if outcome.kind != AGAIN:
        discard(source, cache)
    return outcome


@functools.lru_cache(maxsize=1)
def _maker(
    mineclip_weights: str,
    mineclip_config: str | None,
    batch_size: int,
    frame_format: str,
    min_timesteps: int,
) -> EpisodeMaker:
    """MineCLIP is loaded once a process."""
    return load_maker(
        argparse.Namespace(
            mineclip_weights=mineclip_weights,
            mineclip_config=mineclip_config,
            batch_size=batch_size,
            frame_format=frame_format,
            min_timesteps=min_timesteps,
        )
    )
