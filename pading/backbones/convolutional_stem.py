"""A stem of convolutions before a vision transformer: what small ones need to learn shapes."""

from torch import nn


def convolutional_stem(width: int, patch_size: int, depth: int = 5) -> nn.Sequential:
    """Convolutions 3 x 3 with batch norm, the first ones of stride 2 until a patch is a pixel.

    Args:
        width: channels that it gives, (B, width, H / patch_size, W / patch_size).
        patch_size: a power of 2, at most 2 ** depth.
        depth: convolutions.
    """
    halvings = patch_size.bit_length() - 1
    layers: list[nn.Module] = []
    channels = 3
    for i in range(depth):
        out = width if i >= halvings - 1 else max(width >> (halvings - 1 - i), 8)
        stride = 2 if i < halvings else 1
        layers += [
            nn.Conv2d(channels, out, 3, stride=stride, padding=1, bias=False),
            nn.BatchNorm2d(out),
            nn.ReLU(),
        ]
        channels = out
    return nn.Sequential(*layers)
