"""Converting on a Ray cluster: one task a recording, on whichever machine is free.

This process alone decides what is converted and writes the report; the tasks download, convert
and write episodes. A task whose process or machine dies is given to another; what it left half-written is
removed when the episode is made again. Ray is imported here only, and is optional.
"""

from __future__ import annotations

import pickle
import re
import socket
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from data.generation.ledger import AGAIN, Ledger, Outcome
from data.generation.sources import Entry
from steve1 import hub
from steve1.cli import UserError

if TYPE_CHECKING:
    from data.generation.worker import Job

MAX_RETRIES = 3  # of an entry whose process died; then it is taken to be the reason
_PATHS = (
    *(
        "input_dir",
        "output_dir",
        "cache_dir",
        "mineclip_weights",
        "mineclip_config",
        "idm_model",
        "idm_weights",
    ),
    *("in_model", "in_weights_a", "in_weights_b"),
)


def convert_there(ledger: Ledger, job: Job, convert: Callable[[bytes, Entry], Outcome]) -> None:
    """Convert what the ledger asks for on the cluster ``job.args.ray_address``.

    ``convert``: what a task does with a pickled job and an entry; a function that can be imported there.

    Raises :class:`~steve1.cli.UserError` when there is no such cluster, no machine of it is large enough for a
    task, or its weights are not those of the job.
    """
    import ray

    args = job.args

    _connect(args.ray_address)
    try:
        pickled = ray.put(pickle.dumps(_absolute(job)))
        task = ray.remote(convert).options(
            num_cpus=args.ray_cpus, num_gpus=args.ray_gpus, max_retries=MAX_RETRIES
        )
        under_way: dict[Any, Entry] = {}
        while True:
            places = _places(args.ray_cpus, args.ray_gpus)
            while len(under_way) < places:
                entry = ledger.next(len(under_way))
                if entry is None:
                    break
                under_way[task.remote(pickled, entry)] = entry
            if not under_way:
                return
            # Machines come and go, so the number of places is looked at now and then.
            done, _ = ray.wait(list(under_way), timeout=60)
            for reference in done:
                entry = under_way.pop(reference)
                ledger.note(entry, _outcome(reference, entry))
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


def _outcome(reference: Any, entry: Entry) -> Outcome:
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
            entry.name,
            AGAIN,
            f"the process that converted it died {MAX_RETRIES + 1} times ({reason}), memory?",
        )


def _absolute(job: Job) -> Job:
    """The job with whole paths: the tasks' processes have another working folder."""
    paths = {
        key: type(value)(hub.absolute(value))
        for key, value in vars(job.args).items()
        if value and key in _PATHS
    }
    # The source keeps the same namespace of flags, so that it is pickled with them.
    vars(job.args).update(paths)
    return job
