"""Actions for a video that has none, by VPT's inverse dynamics model (IDM)."""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Iterable
from typing import TYPE_CHECKING

import numpy as np

from steve1.config import FRAME_SIZE

if TYPE_CHECKING:
    from steve1.inverse_dynamics import InverseActionPolicy

WINDOW = 128


def load_idm(model_path: str | os.PathLike, weights_path: str | os.PathLike) -> InverseActionPolicy:
    """The IDM of a ``.model`` and a ``.weights`` file, in eval mode, on the GPU where there is one."""
    import torch

    from steve1.checkpoints import load_model_file, load_weights
    from steve1.inverse_dynamics import InverseActionPolicy

    idm = InverseActionPolicy(*load_model_file(model_path))
    load_weights(idm, weights_path)
    return idm.eval().to("cuda" if torch.cuda.is_available() else "cpu")


def label_frames(
    idm: InverseActionPolicy, images: Iterable[np.ndarray], window: int = WINDOW
) -> dict[str, np.ndarray]:
    """MineRL actions of all frames, arrays [T], the three keys that are never predicted being 0.

    ``images`` are uint8 [H, W, 3] RGB of any size. The model sees windows of ``window`` frames that overlap
    by half, and of each only the centre half is used, where both past and future are known; the video's ends
    take what the first and the last window say. A shorter video is one window. At most ``window`` frames are
    held.
    """
    import cv2

    from steve1.vpt.actions import BUTTONS, UNPREDICTED, bins_to_camera

    recent: deque[np.ndarray] = deque(maxlen=window)
    buttons: list[np.ndarray] = [np.zeros((0, len(BUTTONS)), dtype=np.int64)]
    camera: list[np.ndarray] = [np.zeros((0, 2), dtype=np.int64)]
    seen = done = 0

    def label(stop: int) -> None:
        """Label the frames ``done .. stop-1`` from the window that ends at ``seen``."""
        nonlocal done
        start = seen - len(recent)
        window_buttons, window_camera = _predict(idm, np.stack(recent))
        buttons.append(window_buttons[done - start : stop - start])
        camera.append(window_camera[done - start : stop - start])
        done = stop

    for image in images:
        # A full window is labelled when a further frame comes: the last one is used up to its end.
        if seen >= window and (seen - window) % (window // 2) == 0:
            label(seen - window // 4)
        recent.append(cv2.resize(image, (FRAME_SIZE, FRAME_SIZE), interpolation=cv2.INTER_LINEAR))
        seen += 1
    if done < seen:
        label(seen)
    pressed = np.concatenate(buttons)
    actions = {name: pressed[:, column] for column, name in enumerate(BUTTONS)}
    actions.update({name: np.zeros(seen, dtype=np.int64) for name in UNPREDICTED})
    return {**actions, "camera": bins_to_camera(np.concatenate(camera))}


def _predict(idm: InverseActionPolicy, frames: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Buttons [T, 20] and camera bins [T, 2] of one window, uint8 [T, H, W, 3]."""
    import torch

    device = next(idm.parameters()).device
    actions, _ = idm.predict(torch.from_numpy(frames)[None].to(device))
    return actions["buttons"][0].cpu().numpy(), actions["camera"][0].cpu().numpy()
