"""The U-Net of every image chapter: small, conditional, for images of any size."""

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from minidiff import _validate as check
from minidiff.nets.embedding import LevelEmbedding, check_level, zeroed

_GROUPS, _HEADS = 8, 4


class _Norm(nn.GroupNorm):
    """Group normalisation in the precision of its parameters.

    Under autocast it would be that of its input, bfloat16: less exact, and where the channels are
    last slower too on a CPU.
    """

    def __init__(self, channels: int) -> None:
        super().__init__(_GROUPS, channels)

    def forward(self, x: Tensor) -> Tensor:
        return super().forward(x.to(self.weight.dtype))


class _Block(nn.Module):
    """Two 3x3 convolutions, scaled and shifted by the embedding in between; residual."""

    def __init__(self, c_in: int, c_out: int, emb: int) -> None:
        super().__init__()
        self.norm1, self.conv1 = _Norm(c_in), nn.Conv2d(c_in, c_out, 3, padding=1)
        self.modulation = zeroed(nn.Linear(emb, 2 * c_out))
        self.norm2, self.conv2 = _Norm(c_out), zeroed(nn.Conv2d(c_out, c_out, 3, padding=1))
        self.skip = nn.Identity() if c_in == c_out else nn.Conv2d(c_in, c_out, 1)

    def forward(self, x: Tensor, emb: Tensor) -> Tensor:
        scale, shift = self.modulation(emb)[:, :, None, None].chunk(2, dim=1)
        h = self.conv1(F.silu(self.norm1(x)))
        h = self.conv2(F.silu(self.norm2(h) * (1 + scale) + shift))
        return self.skip(x) + h  # type: ignore[no-any-return]


class _Attention(nn.Module):
    """Every pixel looks at every other; residual."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.norm, self.qkv = _Norm(channels), nn.Conv2d(channels, 3 * channels, 1)
        self.out = zeroed(nn.Conv2d(channels, channels, 1))

    def forward(self, x: Tensor) -> Tensor:
        heads = self.qkv(self.norm(x)).flatten(2).unflatten(1, (3 * _HEADS, -1))
        q, k, v = heads.transpose(2, 3).chunk(3, dim=1)  # each (B, heads, pixels, features)
        # In bfloat16 the gradient of this is slow on a CPU.
        with torch.autocast(x.device.type, enabled=False):
            q, k, v = (part.to(self.out.weight.dtype) for part in (q, k, v))
            h = F.scaled_dot_product_attention(q, k, v).transpose(2, 3).reshape(x.shape)
        return x + self.out(h)  # type: ignore[no-any-return]


class UNet(nn.Module):
    """U-Net with one block a level on the way down, one on the way up, attention at the bottom.

    Level i works at 1/2^i of the image's size (rounded up) with ``width * mults[i]`` channels.
    Before it is trained it answers 0.

    Args:
        channels: Channels of the image that is denoised, and of the answer.
        width: Channels at full size, a multiple of 8 from 16 on: eight groups of at least two
            channels, so that a group has something to normalise even where one pixel is left.
        mults: Multiples of ``width``, one a level.
        classes: The number of classes, for a network that may be told a label.
        image_channels: Channels of the image that conditions the network; 0 for none.
        patch: Full size is 1/patch of the image's: patch x patch pixels count as channels of one.
        depth: Attentions, each with a block after it, at the bottom.

    Raises:
        TypeError: A size is not an int.
        ValueError: A size is out of its range, or ``mults`` is empty.
    """

    def __init__(
        self,
        channels: int = 1,
        width: int = 32,
        mults: Sequence[int] = (1, 2),
        *,
        classes: int | None = None,
        image_channels: int = 0,
        patch: int = 1,
        depth: int = 1,
    ) -> None:
        super().__init__()
        check.integer("channels", channels, 1)
        check.integer("width", width, 16)
        check.integer("image_channels", image_channels, 0)
        check.integer("patch", patch, 1)
        check.integer("depth", depth, 1)
        if width % _GROUPS:
            raise ValueError(f"width: expected a multiple of {_GROUPS}, got {width}")
        if not mults:
            raise ValueError("mults: expected at least one multiple, got none")
        for mult in mults:
            check.integer("mults", mult, 1)
        self.channels, self.classes, self.image_channels = channels, classes, image_channels
        self.patch = patch

        emb = 4 * width
        self.level = LevelEmbedding(emb)
        if classes is not None:
            check.integer("classes", classes, 1)
            self.label = nn.Embedding(classes + 1, emb)  # row 0: no label
        if image_channels:
            self.image_level = LevelEmbedding(emb)
            zeroed(self.image_level.layers[-1])  # or a parent's answers would be changed by it

        widths = [width * mult for mult in mults]
        bottom = widths[-1]
        self.input = nn.Conv2d(patch**2 * (channels + image_channels), width, 3, padding=1)
        self.down = nn.ModuleList(
            _Block(c_in, c, emb) for c_in, c in zip([width, *widths], widths, strict=False)
        )
        self.shrink = nn.ModuleList(nn.Conv2d(c, c, 3, stride=2, padding=1) for c in widths[:-1])
        self.attention, self.middle = nn.ModuleList(), nn.ModuleList()
        for _ in range(depth):
            self.attention.append(_Attention(bottom))
            self.middle.append(_Block(bottom, bottom, emb))
        self.up = nn.ModuleList(
            _Block(c_in + c, c, emb) for c_in, c in zip([*widths[1:], bottom], widths, strict=True)
        )
        self.expand = nn.ModuleList(nn.Conv2d(c, c, 3, padding=1) for c in widths[1:])
        self.norm = _Norm(width * mults[0])
        self.output = zeroed(nn.Conv2d(width * mults[0], patch**2 * channels, 3, padding=1))

    def forward(
        self,
        x: Tensor,
        level: Tensor,
        *,
        label: Tensor | None = None,
        image: Tensor | None = None,
        image_level: Tensor | None = None,
    ) -> Tensor:
        """Returns the answer, of the shape of ``x``: eps, v, x_0 or a score, as it was trained.

        Args:
            x: (B, channels, H, W) images at that noise level; H, W >= 4 patch, multiples of
                patch, odd ones too.
            level: (B,) floating point, in 0..pi/2: ``forward.noise_level`` of alpha_bar.
            label: (B,) int64 in -1..classes-1, where -1 says nothing; None says nothing to all.
            image: (B, image_channels, H, W), what the answer is conditioned on.
            image_level: (B,) floating point, how noisy ``image`` is, in 0..pi/2; None for clean.

        Raises:
            TypeError: A tensor has the wrong dtype.
            ValueError: A shape is off, a label leaves its range, or the network was not built
                for what it is given, or not given the image that it was built for.
        """
        self._check(x, level, label, image, image_level)
        emb = self.level(level)
        if self.classes is not None:
            row = torch.zeros_like(level, dtype=torch.int64) if label is None else label + 1
            emb = emb + self.label(row)
        if image is not None:
            clean = torch.zeros_like(level)
            emb = emb + self.image_level(clean if image_level is None else image_level)
            x = torch.cat([x, image], dim=1)
        emb = F.silu(emb)

        h, skips = self.input(F.pixel_unshuffle(x, self.patch)), []
        for i, block in enumerate(self.down):
            h = block(self.shrink[i - 1](h) if i else h, emb)
            skips.append(h)
        for attend, block in zip(self.attention, self.middle, strict=True):
            h = block(attend(h), emb)
        for i in reversed(range(len(self.up))):
            h = self.up[i](torch.cat([h, skips[i]], dim=1), emb)
            if i:
                # An odd size was rounded up on the way down: back, it is cropped to the skip's.
                height, width = skips[i - 1].shape[2:]
                h = F.interpolate(h, scale_factor=2.0)[..., :height, :width]
                h = self.expand[i - 1](h)
        return F.pixel_shuffle(self.output(F.silu(self.norm(h))), self.patch)

    def _check(
        self,
        x: Tensor,
        level: Tensor,
        label: Tensor | None,
        image: Tensor | None,
        image_level: Tensor | None,
    ) -> None:
        check.dtype("x", x, "the network", next(self.parameters()))
        sides, least = x.shape[2:], 4 * self.patch
        fits = all(side >= least and side % self.patch == 0 for side in sides)
        if x.ndim != 4 or x.shape[1] != self.channels or not fits:
            multiples = f", multiples of {self.patch}" if self.patch > 1 else ""
            raise ValueError(
                f"x: expected shape (B, {self.channels}, H, W) with H, W >= {least}{multiples}, "
                f"got {check.describe(x)}"
            )
        check_level("level", level, x)
        if label is not None:
            if self.classes is None:
                raise ValueError("label: expected none, the network has no classes, got one")
            check.times("label", label, x, -1, self.classes - 1)
        if self.image_channels == 0:
            if image is not None or image_level is not None:
                raise ValueError("image: expected none, the network has no image_channels")
            return
        shape = (len(x), self.image_channels, *x.shape[2:])
        if image is None or image.shape != shape:
            raise ValueError(f"image: expected shape {shape}, got {check.describe(image)}")
        check.dtype("image", image, "x", x)
        if image_level is not None:
            check_level("image_level", image_level, x)
