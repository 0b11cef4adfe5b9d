"""Stands in for torchvision, whose build for CUDA does not import beside torch for the CPU."""

import importlib.machinery
import sys
import types
from collections.abc import Iterator
from contextlib import contextmanager

NAMES = ("torchvision", "torchvision.transforms")


@contextmanager
def torchvision() -> Iterator[None]:
    """Lets ``from torchvision import transforms`` pass inside the block, and only there.

    smalldiffusion asks for it to say how it would flip and crop images, which no measurement here
    does. Outside the block the name is gone again, so that no other library finds half of it.
    """
    package, transforms = (_module(name) for name in NAMES)
    package.transforms = transforms
    for name in ("Compose", "RandomHorizontalFlip", "ToTensor", "Lambda"):
        setattr(transforms, name, _nothing)
    before = {name: sys.modules.get(name) for name in NAMES}
    sys.modules.update(zip(NAMES, (package, transforms), strict=True))
    try:
        yield
    finally:
        for name, module in before.items():
            if module is None:
                del sys.modules[name]
            else:
                sys.modules[name] = module


def _module(name: str) -> types.ModuleType:
    module = types.ModuleType(name)
    # accelerate looks for packages by their specification, and stumbles over one without.
    module.__spec__ = importlib.machinery.ModuleSpec(name, None)
    return module


def _nothing(*_: object) -> None:
    return None
