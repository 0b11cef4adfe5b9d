"""Writes diffusers.json: what the schedulers of HuggingFace diffusers answer to explicit inputs.

Made with diffusers 0.42.1, which the tests do not need. To make it again, from the root of the
repository, with diffusers in a folder of its own:

    python -m pip install --target FOLDER diffusers==0.42.1
    PYTHONPATH=FOLDER python tests/parity/make.py

The schedulers take their tables in float32. ``states`` are their answers with the tables replaced
by float64 ones, which tests the formulas; ``float32`` is the last state with their own tables.
Their timestep i is our t = i + 1.
"""

import json
from pathlib import Path
from unittest.mock import patch

import diffusers
import torch
from diffusers import DDIMScheduler, DDPMScheduler

F64 = torch.float64
BETAS = [round(b, 6) for b in torch.linspace(1e-3, 0.12, 40, dtype=F64).tolist()]
T = len(BETAS)
ENDS_AT_ONE = [39, 24, 10, 4, 0]  # their timesteps for our [40, 25, 11, 5, 1, 0]
G = torch.Generator().manual_seed(0)


def numbers(*shape):
    return (torch.randn(shape, dtype=F64, generator=G) * 1000).round() / 1000


X, EPS, NOISE = numbers(2, 3), numbers(10, 2, 3), numbers(10, 2, 3)


def scheduler(kind, steps, float64, **config):
    """One with these betas; ``steps`` is their number, spaced "trailing", or their list."""
    made = kind(
        num_train_timesteps=T,
        trained_betas=BETAS,
        timestep_spacing="trailing",
        **{"clip_sample": False} | config,
    )
    if float64:
        made.alphas_cumprod = (1 - torch.tensor(BETAS, dtype=F64)).cumprod(0)
        made.one = made.final_alpha_cumprod = torch.tensor(1.0, dtype=F64)
    made.set_timesteps(
        **({"timesteps": steps} if isinstance(steps, list) else {"num_inference_steps": steps})
    )
    return made


def walk(made, x, eps=None, **step):
    """Every state of a walk whose k-th noise prediction and noise are entry k modulo 10."""
    states = []
    for k, time in enumerate(made.timesteps.tolist()):
        z, hat = NOISE[k % 10], EPS[k % 10] if eps is None else eps
        if isinstance(made, DDIMScheduler):
            x = made.step(hat, time, x, variance_noise=z, **step).prev_sample
        else:  # it takes a generator and no noise
            with patch("diffusers.schedulers.scheduling_ddpm.randn_tensor", return_value=z):
                x = made.step(hat, time, x, **step).prev_sample
        states.append(x)
    return states


def case(kind, steps, config, **step):
    made = scheduler(kind, steps, True, **config)
    rounded = scheduler(kind, steps, False, **config)
    return {
        "scheduler": kind.__name__,
        "grid": [i + 1 for i in made.timesteps.tolist()] + [0],
        "eta": step.get("eta"),
        "clip": config.get("clip_sample_range"),
        "variance": config.get("variance_type"),
        "states": [x.tolist() for x in walk(made, X, **step)],
        "float32": walk(rounded, X, **step)[-1].tolist(),
    }


def same():
    """Where minidiff must agree."""
    clip = {"clip_sample": True, "clip_sample_range": 0.8}
    small, large = {"variance_type": "fixed_small"}, {"variance_type": "fixed_large"}
    for eta in (0.0, 0.5, 1.0):
        for n in (T, 10):
            yield case(DDIMScheduler, n, {}, eta=eta)
        yield case(DDIMScheduler, 10, clip, eta=eta, use_clipped_model_output=True)
    for steps in (T, 10, 7, ENDS_AT_ONE):
        yield case(DDPMScheduler, steps, small)
    for steps in (T, ENDS_AT_ONE):
        yield case(DDPMScheduler, steps, large)
    yield case(DDPMScheduler, 10, small | clip)


def different():
    """Where minidiff must not agree."""
    default = DDIMScheduler()  # timestep_spacing="leading"
    default.set_timesteps(50)
    uneven = scheduler(DDIMScheduler, 7, True)
    ab = uneven.alphas_cumprod[-1]
    x_end = ab.sqrt() * X + (1 - ab).sqrt() * EPS[0]
    large = scheduler(DDPMScheduler, 10, True, variance_type="fixed_large")
    clipped = scheduler(DDIMScheduler, 10, True, clip_sample=True, clip_sample_range=0.8)
    return {
        "leading": {  # the default never visits the last time, where the noise is pure
            "T": default.config.num_train_timesteps,
            "timesteps": default.timesteps.tolist(),
        },
        "uneven": {  # 7 does not divide 40: a step ends T // n earlier, not where the next starts
            "timesteps": uneven.timesteps.tolist(),
            "end": walk(uneven, x_end, EPS[0])[-1].tolist(),
        },
        "noisy_end": {  # "fixed_large" adds noise on the last step unless that is timestep 0
            "timesteps": large.timesteps.tolist(),
            "states": [x.tolist() for x in walk(large, X)],
        },
        "stale_noise": {  # after clipping x0_hat, the default keeps the old noise
            "state": walk(clipped, X)[0].tolist(),
            "x0": clipped.step(EPS[0], T - 1, X).pred_original_sample.tolist(),
        },
    }


def main():
    out = {
        "diffusers": diffusers.__version__,
        "betas": BETAS,
        "x": X.tolist(),
        "eps": EPS.tolist(),
        "noise": NOISE.tolist(),
        "same": list(same()),
        "different": different(),
    }
    path = Path(__file__).with_name("diffusers.json")
    path.write_text(json.dumps(out, separators=(",", ":")) + "\n", encoding="utf-8")
    print(path.name, path.stat().st_size, "bytes")


if __name__ == "__main__":
    main()
