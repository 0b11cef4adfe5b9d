"""The network that says what is in a picture: for marking samples, not for making them."""

from collections.abc import Mapping, Sequence

from torch import Tensor, nn

from minidiff import _validate as check

_GROUPS, _STRIDES, _MULTS = 8, (1, 2, 2, 2), (1, 2, 4, 4)


def convolutions(channels: int, size: int, width: int, features: int) -> nn.Sequential:
    """Returns the body: (B, channels, size, size) -> (B, features)."""
    layers: list[nn.Module] = []
    for stride, mult in zip(_STRIDES, _MULTS, strict=True):
        conv = nn.Conv2d(channels, width * mult, 3, stride=stride, padding=1)
        layers += [conv, nn.GroupNorm(_GROUPS, width * mult), nn.SiLU()]
        channels = width * mult
    layers += [nn.Flatten(), nn.Linear(channels * (size // 8) ** 2, features), nn.SiLU()]
    return nn.Sequential(*layers)


class Judge(nn.Module):
    """Convolutional network with one answer for every attribute of a picture.

    Four 3x3 convolutions, the last three with stride 2, then a layer of ``features`` numbers.
    Each answer is a linear function of these, so that they hold all that the judge looks at: the
    Fréchet distance is taken between them.

    Args:
        categories: The number of values of each categorical attribute, by name.
        numbers: The names of the continuous ones.
        channels: Channels of the picture.
        size: Its side in pixels, a multiple of 8.
        width: Channels after the first convolution, a multiple of 8.
        features: The length of the last layer.

    Raises:
        TypeError: A size is not an int.
        ValueError: A size is out of its range, or there is nothing to say.
    """

    def __init__(
        self,
        categories: Mapping[str, int],
        numbers: Sequence[str] = (),
        *,
        channels: int = 3,
        size: int = 32,
        width: int = 24,
        features: int = 128,
    ) -> None:
        super().__init__()
        for name, value in (("channels", channels), ("features", features)):
            check.integer(name, value, 1)
        for name, value in (("size", size), ("width", width)):
            check.integer(name, value, 8)
            if value % 8:
                raise ValueError(f"{name}: expected a multiple of 8, got {value}")
        for name, value in categories.items():
            check.integer(f"categories[{name!r}]", value, 2)
        answers = dict(categories) | dict.fromkeys(numbers, 1)
        if not answers:
            raise ValueError("categories, numbers: expected at least one attribute, got none")
        self.categories, self.numbers = dict(categories), tuple(numbers)
        self.shape = (channels, size, size)
        self.body = convolutions(channels, size, width, features)
        self.heads = nn.ModuleDict({name: nn.Linear(features, n) for name, n in answers.items()})

    def features(self, x: Tensor) -> Tensor:
        """Returns what the judge has seen, (B, features), before it names it.

        Args:
            x: (B, channels, size, size) pictures in [-1, 1].

        Raises:
            TypeError: ``x`` is not of the dtype of the parameters.
            ValueError: ``x`` has another shape.
        """
        check.dtype("x", x, "the network", next(self.parameters()))
        if x.ndim != 4 or x.shape[1:] != self.shape:
            shape = ", ".join(map(str, self.shape))
            raise ValueError(f"x: expected shape (B, {shape}), got {check.describe(x)}")
        seen: Tensor = self.body(x)
        return seen

    def forward(self, x: Tensor) -> dict[str, Tensor]:
        """Returns the logits (B, values) of each category and the numbers (B,), by name.

        Args and errors as ``features``.
        """
        seen = self.features(x)
        answers = {name: head(seen) for name, head in self.heads.items()}
        return answers | {name: answers[name][:, 0] for name in self.numbers}
