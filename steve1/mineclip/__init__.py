"""MineCLIP: goal embeddings of 16-frame clips and of texts, in one space."""

from steve1.mineclip.embed import FrameEmbedder, embed_frames
from steve1.mineclip.model import MineCLIP

__all__ = ["FrameEmbedder", "MineCLIP", "embed_frames"]
