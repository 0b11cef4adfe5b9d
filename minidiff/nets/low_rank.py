"""An update of low rank to a network that stays as it is: what an edit of chapter 9 is."""

from typing import Any

import torch
from torch import Tensor, nn
from torch.func import functional_call

from minidiff import _validate as check


class LowRank(nn.Module):
    """A network whose weights W are replaced by W + B A; A and B are all its parameters.

    A weight is taken as a matrix, (outputs, everything else); biases and scales stay. B starts
    at 0, so that at first the answers are those of the network below. (eq-clip-rank)

    Args:
        net: The network below. It is not changed, and its weights are not stored with these.
        rank: The rows of A, >= 1.

    Raises:
        TypeError: ``rank`` is not an int.
        ValueError: ``rank`` < 1, or the network has no weight matrix.

    Source: Hu et al. 2022 (LoRA).
    """

    def __init__(self, net: nn.Module, rank: int = 4) -> None:
        super().__init__()
        check.integer("rank", rank, 1)
        self._below = (net,)  # not a submodule: its weights are none of this one's
        self.a, self.b = nn.ParameterDict(), nn.ParameterDict()
        for name, weight in net.named_parameters():
            if weight.ndim > 1:
                key, width = name.replace(".", "/"), weight[0].numel()
                self.a[key] = nn.Parameter(torch.randn(rank, width) / width**0.5)
                self.b[key] = nn.Parameter(torch.zeros(len(weight), rank))
        if not self.a:
            raise ValueError(f"net: expected one with weight matrices, got {type(net).__name__}")

    def forward(self, *args: Tensor, **told: Any) -> Tensor:  # noqa: ANN401 (as the one below)
        """Returns what the network below answers with the updated weights."""
        (net,) = self._below
        weights = {name: weight.detach() for name, weight in net.named_parameters()}
        for key, a in self.a.items():
            name = key.replace("/", ".")
            weights[name] = weights[name] + (self.b[key] @ a).view_as(weights[name])
        answer: Tensor = functional_call(net, weights, args, told)
        return answer
