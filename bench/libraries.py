"""The four libraries, each doing the same three things in the way its documentation tells.

The task is the same for all. One network, ``net(x_t, level)``, predicts the velocity v, which each
of them knows under a name of its own, and is told the noise level, the angle
atan(sigma / alpha). One schedule, azula's ``VPSchedule``: azula takes a function of continuous
time, and the others take any list of numbers. DDIM walks it with eta = 0. What turns a library's
own way of telling the time into the level is the shortest line that does it.
"""

import math
import os
from collections import deque
from collections.abc import Callable, Iterator
from typing import Protocol

os.environ["TQDM_DISABLE"] = "1"  # before tqdm is imported: a progress bar is no part of the task

import azula.denoise
import azula.noise
import azula.sample
import stub
import torch
from accelerate import Accelerator
from diffusers import DDIMScheduler, DDPMScheduler
from diffusers.optimization import get_cosine_schedule_with_warmup
from torch import Tensor, nn
from torch.nn import functional as F

from minidiff import ddpm
from minidiff.forward import eps_fn, noise_level
from minidiff.sampling import last, sample
from minidiff.schedule import Schedule
from minidiff.train import fit

with stub.torchvision():
    import smalldiffusion

T = 1000
ALPHA_MIN = 1e-3  # azula's default
# From 0, where nothing is noise, to T; float64, for each library to round as it does.
ALPHA_BAR = torch.exp(2 * math.log(ALPHA_MIN) * torch.linspace(0, 1, T + 1).double() ** 2)

Net = Callable[[Tensor, Tensor], Tensor]  # (x_t (B, ...), level (B,)) -> v (B, ...)
Walk = Callable[[Tensor], Tensor]  # x_T -> x_0
Draw = Callable[[], Tensor]  # a batch


class Library(Protocol):
    """What is asked of each library."""

    name: str
    bare: str  # imports the package, and no more than that
    needed: str  # imports what a sampler needs; elsewhere than in ``bare`` only if that is lazy

    def sampler(self, net: nn.Module, steps: int) -> Walk:
        """Returns DDIM with eta = 0 and that many steps, by the library's own loop.

        Objects that serve many walks are made here, what each walk needs anew in the walk.
        """

    def idle(self, answer: Tensor, steps: int) -> Walk:
        """Returns the same loop around a network that computes nothing.

        It answers at once what the library's sampler asks for natively: the noise, or in azula
        the clean data. Nothing has to be read or told, so what is left is the loop.
        """

    def train(self, net: nn.Module, draw: Draw, steps: int, lr: float) -> Iterator[nn.Module]:
        """Trains by the library's own loop; yields the network to sample from, at every step."""


class Minidiff:
    """The package of this repository, as chapters 3 and 4 of the book use it."""

    name = "minidiff"
    bare = "import minidiff"
    needed = "from minidiff import ddim, forward, sampling, schedule"

    def __init__(self) -> None:
        self.schedule = Schedule(ALPHA_BAR)

    def sampler(self, net: nn.Module, steps: int) -> Walk:
        """See ``Library``."""
        return self._walk(eps_fn(net, self.schedule), steps)

    def idle(self, answer: Tensor, steps: int) -> Walk:
        """See ``Library``."""
        return self._walk(lambda x, t: answer, steps)

    def _walk(self, predict: Net, steps: int) -> Walk:
        return lambda x: last(sample(predict, x, self.schedule, self.schedule.grid(steps)))

    def train(self, net: nn.Module, draw: Draw, steps: int, lr: float) -> Iterator[nn.Module]:
        """See ``Library``: with clipping, a rising and falling rate, and an average of weights."""
        weight = 1 / self.schedule.alpha_bar

        def loss(net: nn.Module, x0: Tensor) -> Tensor:
            return ddpm.loss(eps_fn(net, self.schedule), x0, self.schedule, weight=weight)

        for progress in fit(net, loss, draw, steps=steps, lr=lr):
            yield progress.ema


class Diffusers:
    """Hugging Face's diffusers, as its pages on pipelines and on training a model use it."""

    name = "diffusers"
    bare = "import diffusers"
    needed = "from diffusers import DDIMScheduler"

    def __init__(self) -> None:
        self.levels = noise_level(ALPHA_BAR[1:]).float()  # its timestep i is t = i + 1
        self.accelerator = Accelerator(cpu=True)
        self.betas = (1 - ALPHA_BAR[1:] / ALPHA_BAR[:-1]).tolist()

    def sampler(self, net: nn.Module, steps: int) -> Walk:
        """See ``Library``."""

        def ask(x: Tensor, t: Tensor) -> Tensor:
            return net(x, self.levels[t].expand(len(x)))

        return self._walk(ask, steps, "v_prediction")

    def idle(self, answer: Tensor, steps: int) -> Walk:
        """See ``Library``."""
        return self._walk(lambda x, t: answer, steps, "epsilon")

    def _walk(self, ask: Net, steps: int, predicts: str) -> Walk:
        scheduler = DDIMScheduler(
            T,
            trained_betas=self.betas,
            clip_sample=False,
            prediction_type=predicts,
            timestep_spacing="trailing",
        )

        def walk(x: Tensor) -> Tensor:
            scheduler.set_timesteps(steps)
            for t in scheduler.timesteps:
                with torch.no_grad():
                    answer = ask(x, t)
                x = scheduler.step(answer, t, x).prev_sample
            return x

        return walk

    def train(self, net: nn.Module, draw: Draw, steps: int, lr: float) -> Iterator[nn.Module]:
        """See ``Library``: accelerate, clipping, a rising and falling rate, as the tutorial.

        The tutorial's 500 steps of warming up are held to a tenth of a run.
        """
        scheduler = DDPMScheduler(T, trained_betas=self.betas, prediction_type="v_prediction")
        optimiser = torch.optim.AdamW(net.parameters(), lr=lr)
        rate = get_cosine_schedule_with_warmup(optimiser, min(500, steps // 10), steps)
        accelerator = self.accelerator
        net, optimiser, rate = accelerator.prepare(net, optimiser, rate)
        for _ in range(steps):
            x0 = draw()
            noise, t = torch.randn_like(x0), torch.randint(0, T, (len(x0),))
            x_t, v = scheduler.add_noise(x0, noise, t), scheduler.get_velocity(x0, noise, t)
            with accelerator.accumulate(net):
                loss = F.mse_loss(net(x_t, self.levels[t]), v)
                accelerator.backward(loss)
                if accelerator.sync_gradients:
                    accelerator.clip_grad_norm_(net.parameters(), 1.0)
                optimiser.step()
                rate.step()
                optimiser.zero_grad()
            loss.item()  # the tutorial shows it at every step
            yield net


class _Small(nn.Module, smalldiffusion.ModelMixin):
    """A network for smalldiffusion: sigma is a number in sampling and (B, 1, ...) in training."""

    def __init__(self, net: nn.Module) -> None:
        super().__init__()
        self.net = net

    def forward(self, x: Tensor, sigma: Tensor, cond: None = None) -> Tensor:
        return self.net(x, sigma.atan().flatten().expand(len(x)))


class _SmallIdle(nn.Module, smalldiffusion.ModelMixin):
    """A network for smalldiffusion that answers at once."""

    def __init__(self, answer: Tensor) -> None:
        super().__init__()
        self.answer, self.input_dims = answer, answer.shape[1:]

    def forward(self, x: Tensor, sigma: Tensor, cond: None = None) -> Tensor:
        return self.answer


_SmallV = smalldiffusion.Scaled(smalldiffusion.PredV(_Small))


class _Batches:
    """An endless loader, since smalldiffusion's loop goes through a loader."""

    def __init__(self, draw: Draw) -> None:
        self.draw = draw

    def __iter__(self) -> Iterator[Tensor]:
        while True:
            yield self.draw()


class Smalldiffusion:
    """smalldiffusion, as its README uses it."""

    name = "smalldiffusion"
    bare = needed = "import smalldiffusion"

    def __init__(self) -> None:
        self.schedule = smalldiffusion.Schedule((1 / ALPHA_BAR[1:] - 1).sqrt().float())
        self.accelerator = Accelerator(cpu=True)

    def sampler(self, net: nn.Module, steps: int) -> Walk:
        """See ``Library``."""
        return self._walk(_SmallV(net), steps)

    def idle(self, answer: Tensor, steps: int) -> Walk:
        """See ``Library``."""
        return self._walk(_SmallIdle(answer), steps)

    def _walk(self, model: nn.Module, steps: int) -> Walk:
        scale = (1 + self.schedule.sigmas[-1] ** 2).sqrt()  # its x_t is ours over alpha_t

        def walk(x: Tensor) -> Tensor:
            model.input_dims = x.shape[1:]
            sigmas = self.schedule.sample_sigmas(steps)
            sigmas[-1] = 0  # it would stop at t = 1; the others walk on to 0
            states = smalldiffusion.samples(
                model, sigmas, xt=x * scale, accelerator=self.accelerator
            )
            end: Tensor = deque(states, maxlen=1)[0]  # a list of all would cost memory, and time
            return end

        return walk

    def train(self, net: nn.Module, draw: Draw, steps: int, lr: float) -> Iterator[nn.Module]:
        """See ``Library``: AdamW at a constant rate, no clipping, no average."""
        loop = smalldiffusion.training_loop(
            _Batches(draw), _SmallV(net), self.schedule, self.accelerator, epochs=1, lr=lr
        )
        for _, state in zip(range(steps), loop, strict=False):
            state.loss.item()  # the README collects it at every step
            yield net


class _Backbone(nn.Module):
    """A network for azula, which asks for -v and tells the logarithm of sigma / alpha."""

    def __init__(self, net: nn.Module) -> None:
        super().__init__()
        self.net = net

    def forward(self, x: Tensor, time: Tensor) -> Tensor:
        return -self.net(x, time.exp().atan().expand(len(x)))


class _AzulaIdle(azula.denoise.Denoiser):
    """A denoiser for azula that answers at once."""

    def __init__(self, answer: Tensor, schedule: azula.noise.Schedule) -> None:
        super().__init__()
        self.posterior, self.schedule = azula.denoise.DiracPosterior(answer), schedule

    def forward(self, x_t: Tensor, t: Tensor) -> azula.denoise.DiracPosterior:
        return self.posterior


class Azula:
    """azula, as its README uses it."""

    name = "azula"
    bare = "import azula"
    needed = "from azula import denoise, noise, sample"

    def __init__(self) -> None:
        self.schedule = azula.noise.VPSchedule()

    def sampler(self, net: nn.Module, steps: int) -> Walk:
        """See ``Library``."""
        denoiser = azula.denoise.KarrasDenoiser(_Backbone(net), self.schedule)
        return azula.sample.DDIMSampler(denoiser.eval(), steps=steps, silent=True)

    def idle(self, answer: Tensor, steps: int) -> Walk:
        """See ``Library``."""
        denoiser = _AzulaIdle(answer, self.schedule)
        return azula.sample.DDIMSampler(denoiser, steps=steps, silent=True)

    def train(self, net: nn.Module, draw: Draw, steps: int, lr: float) -> Iterator[nn.Module]:
        """See ``Library``: Adam at a constant rate, no clipping, no average."""
        denoiser = azula.denoise.KarrasDenoiser(_Backbone(net), self.schedule)
        optimiser = torch.optim.Adam(denoiser.parameters(), lr=lr)
        for _ in range(steps):
            x0 = draw()
            denoiser.loss(x0, torch.rand(len(x0))).backward()
            optimiser.step()
            optimiser.zero_grad()
            yield net


def everyone() -> list[Library]:
    """Returns the four libraries, minidiff first."""
    return [Minidiff(), Diffusers(), Smalldiffusion(), Azula()]
