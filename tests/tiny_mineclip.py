"""The sizes of a MineCLIP small enough for any test; it takes integer tokens below 100."""

TINY_MINECLIP = {
    "resolution": [32, 48],
    "patch_size": 16,
    "vision_width": 16,
    "vision_layers": 1,
    "vision_heads": 2,
    "embed_dim": 8,
    "context_length": 77,
    "vocab_size": 100,
    "text_width": 8,
    "text_layers": 1,
    "text_heads": 2,
    "temporal_layers": 1,
    "temporal_heads": 2,
    "temporal_head_dim": 4,
    "max_frames": 32,
    "window": 16,
}
