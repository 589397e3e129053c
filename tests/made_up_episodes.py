"""Records of played episodes whose figures are made up, for what judges them."""

from steve1.playing.episode import PlayedEpisode
from steve1.playing.measures import MEASURES
from steve1.playing.prompts import PUBLISHED_PROMPTS


def episode(
    name="sky", seed=0, lost=None, scale=2.0, label="mine", film=None, world="BlockWorldEnv", **known
):
    """An episode of a published prompt ("no_goal": of none). ``known``: its measures, or other parts of a record."""
    kind = "no_goal" if name == "no_goal" else "text"
    prompt = known.pop("prompt", PUBLISHED_PROMPTS.get(name, "" if kind == "no_goal" else name))
    scores, strip = known.pop("scores", None), known.pop("goal_strip", None)
    timeline = known.pop("timeline", None)
    return PlayedEpisode(
        {
            "kind": kind,
            "prompt": prompt,
            "goal_hash": f"{prompt} {seed}",
            "weights_hash": f"{label}'s tensors",
            "prior_hash": None if kind == "no_goal" else "prior",
            "mineclip_hash": None if kind == "no_goal" else "mineclip",
            "world": world,
            "world_version": "1",
            "world_seed": seed,
            "sampling_seed": seed,
            "cond_scale": None if kind == "no_goal" else scale,
            "gameplay_length": 200,
            "deterministic": False,
            "precision": "fp32",
            "device": "cpu",
            "score_every": 0,
            "version": "1",
        },
        {
            "name": name,
            "behaviour": name,
            "caption": "no goal" if kind == "no_goal" else prompt,
            "label": label,
            "in_weights": f"w/{label}.weights",
            "prior_weights": "w/prior.pt",
            "seeds": "0 and on",
            **({} if strip is None else {"goal_strip": strip}),
        },
        {
            "frames": 200,
            "lost": lost,
            "measures": {**dict.fromkeys(MEASURES), **known},
            "scores": scores,
            "actions_hash": "0",
            **({} if timeline is None else {"timeline": timeline}),
        },
        film,
    )


def played(name, measure, values, **more):
    """An episode a value of ``measure``, on the seeds from 0 on."""
    return [episode(name, seed, **{measure: value}, **more) for seed, value in enumerate(values)]
