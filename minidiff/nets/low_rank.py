"""An update of low rank to a network that stays as it is: what an edit of chapter 9 consists of."""

import torch
from torch import Tensor, nn
from torch.func import functional_call

from minidiff import _validate as check


class LowRank(nn.Module):
    """A network with each weight W replaced by W + B A; A and B are all its parameters.

    Weights are taken as matrices, (outputs, everything else). B starts at 0, so the network
    answers at first what the one below answers.

    Args:
        net: The network below; it is not changed, and its weights are not stored with these.
        rank: The number of rows of A, >= 1.

    Raises:
        TypeError: ``rank`` is not an int.
        ValueError: ``rank < 1``.

    Source: Hu et al. 2022 (LoRA).
    """

    def __init__(self, net: nn.Module, rank: int = 4) -> None:
        super().__init__()
        check.integer("rank", rank, 1)
        self._below = [net]  # in a list: not a submodule, so not in the state
        self.a, self.b = nn.ParameterDict(), nn.ParameterDict()
        for name, weight in net.named_parameters():
            if weight.ndim >= 2:
                key, width = name.replace(".", "/"), weight[0].numel()
                self.a[key] = nn.Parameter(torch.randn(rank, width) / width**0.5)
                self.b[key] = nn.Parameter(torch.zeros(len(weight), rank))

    def forward(self, *args: Tensor, **told: Tensor) -> Tensor:
        """Returns what the network answers with its updated weights."""
        (net,) = self._below
        weights = {name: x.detach() for name, x in net.named_parameters()}
        for key, a in self.a.items():
            name = key.replace("/", ".")
            weights[name] = weights[name] + (self.b[key] @ a).view_as(weights[name])
        answer: Tensor = functional_call(net, weights, args, told)
        return answer
