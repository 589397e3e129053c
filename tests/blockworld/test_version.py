"""A version is one world: where this fails on purpose, raise blockworld.VERSION and record the new one.

python tests/blockworld/test_version.py    # writes tests/vectors/blockworld_VERSION.npz
"""

from pathlib import Path

import numpy as np

import blockworld
from blockworld.env import BlockWorldEnv

RECORD = Path(__file__).resolve().parents[1] / "vectors" / f"blockworld_{blockworld.VERSION}.npz"
SHOWN = (0, 40, 75, 100)  # ticks whose pictures are kept: a view, a hole with cracks, an open screen, placing


def scripted():
    """A hundred actions: walk and jump in a bow, dig, open the inventory and move a stack, place a block."""
    for tick in range(101):
        if tick < 20:
            yield {"forward": 1, "sprint": 1, "jump": tick % 2, "camera": [1.0, 3.0]}
        elif tick < 70:
            yield {"attack": 1, "camera": [5.0 if tick < 40 else 0.0, 0.0]}
        elif tick < 85:
            moves = {
                70: {"inventory": 1},
                72: {"camera": [10.0, -10.0]},
                74: {"attack": 1},
                84: {"inventory": 1},
            }
            yield moves.get(tick, {})
        else:
            yield {"use": 1, "hotbar.2": 1, "camera": [-3.0, 1.0], "jump": 1}


def play() -> dict[str, np.ndarray]:
    """``pictures`` uint8 [4, 120, 320, 3], ``places`` float64 [101, 5] and ``counts`` of what was mined and is held."""
    env = BlockWorldEnv(seed=11, items={"oak_log": 3, "dirt": 5})
    env.reset()
    pictures, places = [], []
    for tick, action in enumerate(scripted()):
        obs = env.step(action)[0]
        places.append(
            [float(obs["location_stats"][name]) for name in ("xpos", "ypos", "zpos", "yaw", "pitch")]
        )
        if tick in SHOWN:
            pictures.append(obs["pov"][1::3, ::2])
    counts = [int(count) for kind in ("mine_block", "use_item", "inventory") for count in obs[kind].values()]
    return {"pictures": np.array(pictures), "places": np.array(places), "counts": np.array(counts)}


def test_this_version_looks_moves_and_counts_as_recorded():
    with np.load(RECORD) as record:
        played = play()
        np.testing.assert_allclose(played["places"], record["places"], atol=1e-6)
        assert played["counts"].tolist() == record["counts"].tolist()
        # Another machine's sine may move a pixel's edge.
        same = (played["pictures"] == record["pictures"]).all(axis=-1).mean(axis=(1, 2))
        assert (same > 0.999).all(), same


def test_the_record_holds_what_it_is_to_guard():
    with np.load(RECORD) as record:
        assert record["counts"].sum() > 8  # blocks were mined and placed
        assert len({picture.tobytes() for picture in record["pictures"]}) == len(SHOWN)
        assert np.ptp(record["places"], axis=0).min() > 0.5


if __name__ == "__main__":
    np.savez_compressed(RECORD, **play())
    print(f"wrote {RECORD}")
