"""What two processes do together, for test_together.py: torchrun starts it twice.

``python together.py FOLDER``: each process writes what it saw to FOLDER/RANK.json. Started alone,
it is one process with the whole batch.
"""

import dataclasses
import json
import os
import sys
from pathlib import Path

import torch
import torch.distributed as dist
from test_zoo import TINY
from torch import nn

from minidiff import __main__ as cli
from minidiff import evaluate, zoo
from minidiff.train import fit, processes

STEPS = 30


def run(seed, checkpoint=None, stop=STEPS):
    """Trains on a share of 16 rows; returns the losses and the average at the end."""
    torch.manual_seed(0)
    # A convolution with its channels last, and a buffer.
    net = nn.Sequential(nn.Unflatten(1, (3, 1, 1)), nn.Conv2d(3, 8, 3, padding=1), nn.Flatten())
    net.extend([nn.Tanh(), nn.BatchNorm1d(8, momentum=0), nn.Linear(8, 1)])
    net = net.to(memory_format=torch.channels_last).eval()
    rank, together = processes()
    torch.manual_seed(seed)
    if rank:
        nn.init.zeros_(net[1].weight)  # undone: the first process's weights are everybody's

    def draw():
        return torch.randn(16, 3)[rank::together]

    def loss(net, x):
        return (net(x)[:, 0] - x.sum(1)).square()

    losses = {}
    for p in fit(net, loss, draw, steps=STEPS, lr=0.01, checkpoint=checkpoint, every=7):
        losses[p.step] = p.loss
        if p.step == stop:
            break
    return losses, [x.tolist() for x in p.ema.state_dict().values()], torch.rand(1).item()


def main(folder):
    seen = {}
    if dist.is_torchelastic_launched():
        # Over a file: the store that torchrun offers is left to the command, at the end.
        rank, size = int(os.environ["RANK"]), int(os.environ["WORLD_SIZE"])
        store = dist.FileStore(str(folder / "store"), size)
        dist.init_process_group("gloo", store=store, rank=rank, world_size=size)
    rank = processes()[0]
    seen["processes"] = processes()
    seen["one batch"] = run(0)
    if dist.is_torchelastic_launched():
        seen["own numbers"] = run(rank)
        seen["stopped"] = run(rank, folder / "a", stop=20)
        dist.barrier()
        seen["resumed"] = run(rank, folder / "a")
        dist.barrier()
        zoo.RECIPES["odd"] = dataclasses.replace(TINY, batch=9)
        try:
            zoo.train("odd")
        except ValueError as error:
            seen["odd"] = str(error)
        dist.destroy_process_group()
        zoo.RECIPES["tiny"] = TINY
        evaluate.QUALITY["tiny"] = lambda net: {}
        seen["status"] = cli.main(["train", "tiny", "--out", str(folder / "out")])
    (folder / f"{rank}.json").write_text(json.dumps(seen))


if __name__ == "__main__":
    main(Path(sys.argv[1]))
