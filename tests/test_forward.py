"""The forward process. Oracles: composition, quadrature, sympy, and the geometry of a rotation."""

import math

import pytest
import sympy
import torch

from minidiff.forward import (
    as_eps,
    eps_fn,
    eps_from_score,
    eps_from_v,
    eps_from_x0,
    noise_level,
    q_between,
    q_sample,
    score_from_eps,
    v_from_eps,
    x0_from_eps,
    x0_from_v,
)
from minidiff.schedule import Schedule, cosine_schedule, linear_schedule

F64 = torch.float64
S = linear_schedule(1000)


def draw(*shape: int, seed: int = 0) -> tuple[torch.Tensor, torch.Tensor]:
    g = torch.Generator().manual_seed(seed)
    return (
        torch.randn(*shape, dtype=F64, generator=g),
        torch.randn(*shape, dtype=F64, generator=g),
    )


@pytest.mark.equation("eq-ddpm-forward-step", "eq-ddpm-forward", "eq-ddpm-sample", "eq-ddpm-jump")
def test_single_steps_compose_to_the_closed_form() -> None:
    one, zero = torch.ones(1, 1, dtype=F64), torch.zeros(1, 1, dtype=F64)
    for s in (linear_schedule(50), cosine_schedule(10)):
        mean, var = 1.0, 0.0
        for t in range(1, s.T + 1):
            # Probing with (1, 0) and (0, 1) reads the two coefficients off the code.
            scale, std = (
                q_between(*p, s).item() for p in ((one, t - 1, t, zero), (zero, t - 1, t, one))
            )
            assert abs(scale**2 - s.alpha[t].item()) < 1e-14
            assert std > 0 and abs(std**2 - s.beta[t].item()) < 1e-14
            mean, var = scale * mean, scale**2 * var + std**2
            assert abs(q_sample(one, t, zero, s).item() - mean) < 1e-13
            assert abs(q_sample(zero, t, one, s).item() ** 2 - var) < 1e-13


@pytest.mark.equation("eq-ddpm-jump")
def test_a_jump_adds_variances_not_deviations() -> None:
    s = Schedule(torch.tensor([1, 0.81, 0.25], dtype=F64))  # standard coefficients .9 and .5
    one, zero = torch.ones(1, 1, dtype=F64), torch.zeros(1, 1, dtype=F64)
    first = q_sample(zero, 1, one, s).item() ** 2
    scale, std = (q_between(*p, s).item() for p in ((one, 1, 2, zero), (zero, 1, 2, one)))
    assert abs(scale**2 * first + std**2 - 0.75) < 1e-15


@pytest.mark.equation("eq-ddpm-jump")
def test_a_jump_takes_a_batch_of_times() -> None:
    x, eps = draw(3, 2)
    s, t = torch.tensor([0, 5, 700]), torch.tensor([1000, 5, 701])
    got = q_between(x, s, t, eps, S)
    for i in range(3):
        one = q_between(x[i : i + 1], int(s[i]), int(t[i]), eps[i : i + 1], S)
        assert (got[i] - one[0]).abs().max() < 1e-15
    assert torch.equal(got[1], x[1])  # from a level to itself nothing happens


def test_q_sample_at_zero_is_the_data_bit_for_bit() -> None:
    x, eps = (a.float() for a in draw(2, 1, 3, 3))
    assert torch.equal(q_sample(x, 0, eps, S), x)
    assert torch.equal(q_sample(x, torch.tensor([0, 0]), eps, S), x)


@pytest.mark.parametrize("shape", [(4, 2), (4, 1, 5, 3)])
def test_a_batch_of_times_equals_each_time_alone(shape: tuple[int, ...]) -> None:
    x, eps = draw(*shape)
    t = torch.tensor([0, 1, 500, 1000])
    rows = [q_sample(x[i : i + 1], int(t[i]), eps[i : i + 1], S)[0] for i in range(4)]
    assert (q_sample(x, t, eps, S) - torch.stack(rows)).abs().max() < 1e-15


READINGS = {
    x0_from_eps: "eps",
    eps_from_x0: "x0",
    score_from_eps: "eps",
    eps_from_score: "score",
    v_from_eps: "eps",
    eps_from_v: "v",
    x0_from_v: "v",
}


@pytest.mark.parametrize("read", READINGS)
def test_a_reading_at_a_batch_of_times_equals_each_time_alone(read) -> None:  # noqa: ANN001
    known, x = draw(3, 2)
    t = torch.tensor([1, 500, 1000])
    rows = [read(known[i : i + 1], x[i : i + 1], int(t[i]), S)[0] for i in range(3)]
    assert (read(known, x, t, S) / torch.stack(rows) - 1).abs().max() < 1e-14


def test_single_precision_stays_single() -> None:
    x, eps = (a.float() for a in draw(3, 2))
    for t in (7, torch.tensor([7, 8, 9])):
        assert q_sample(x, t, eps, S).dtype == torch.float32
        assert q_between(x, 5, t, eps, S).dtype == torch.float32
        assert all(read(x, eps, t, S).dtype == torch.float32 for read in READINGS)


@pytest.mark.equation("eq-x0-from-eps", "eq-velocity", "eq-velocity-back", "eq-score-eps")
def test_the_four_readings_are_one_object() -> None:
    """sympy solves the two defining equations; the code must agree with its solution."""
    ab, x, e = sympy.symbols("ab x e", positive=True)
    x0, v = sympy.symbols("x0 v")
    define = [sympy.sqrt(ab) * x0 + sympy.sqrt(1 - ab) * e - x]
    define.append(sympy.sqrt(ab) * e - sympy.sqrt(1 - ab) * x0 - v)
    from_eps = sympy.solve(define, [x0, v], dict=True)[0]
    x0_, v_ = draw(1, 1, seed=3)
    for t in (1, 40, 999):
        values = {ab: S.alpha_bar[t].item(), x: x0_.item(), e: v_.item()}
        want_x0, want_v = (float(from_eps[k].evalf(30, subs=values)) for k in (x0, v))
        got_v = v_from_eps(v_, x0_, t, S)
        assert abs(x0_from_eps(v_, x0_, t, S).item() - want_x0) < 1e-9
        assert abs(got_v.item() - want_v) < 1e-9
        assert abs(x0_from_v(got_v, x0_, t, S).item() - want_x0) < 1e-9
        assert abs(eps_from_v(got_v, x0_, t, S).item() - v_.item()) < 1e-9
        back = eps_from_x0(torch.full_like(x0_, want_x0), x0_, t, S)
        assert abs(back.item() - v_.item()) < 1e-9
        score = score_from_eps(v_, x0_, t, S)
        assert abs(score.item() ** 2 * (1 - values[ab]) - v_.item() ** 2) < 1e-12
        assert score.item() * v_.item() < 0
        assert abs(eps_from_score(score, x0_, t, S).item() - v_.item()) < 1e-12


@pytest.mark.equation("eq-errors")
def test_errors_of_the_readings_are_tied_by_the_snr() -> None:
    x, eps = draw(1, 1)
    wrong = eps + 1e-3
    for t in (1, 300, 1000):
        snr = S.snr[t].item()
        d_eps = (wrong - eps).item()
        d_x0 = (x0_from_eps(wrong, x, t, S) - x0_from_eps(eps, x, t, S)).item()
        d_v = (v_from_eps(wrong, x, t, S) - v_from_eps(eps, x, t, S)).item()
        assert abs(d_eps**2 / (snr * d_x0**2) - 1) < 1e-9
        assert abs(d_v**2 / ((1 + snr) * d_x0**2) - 1) < 1e-9
        assert abs(d_v**2 / ((1 + 1 / snr) * d_eps**2) - 1) < 1e-9


@pytest.mark.equation("eq-angle")
def test_the_level_is_the_angle_of_the_rotation() -> None:
    s = cosine_schedule(1000)
    level = noise_level(s.alpha_bar)
    assert level[0] == 0 and (level.diff() > 0).all() and level.isfinite().all()
    assert abs(noise_level(torch.tensor(0.0, dtype=F64)).item() - math.pi / 2) < 1e-15
    # (x_t, v) is (x_0, eps) turned by the level: complex multiplication is the oracle.
    x0, eps = draw(1001, 1)
    t = torch.arange(1001)
    turned = torch.complex(x0, eps) * torch.polar(torch.ones(1001, 1, dtype=F64), -level[:, None])
    x_t = q_sample(x0, t, eps, s)
    assert (torch.complex(x_t, v_from_eps(eps, x_t, t, s)) - turned).abs().max() < 1e-5
    assert (x_t - turned.real).abs().max() < 1e-14


def test_eps_fn_tells_the_network_its_level_and_reads_its_answer() -> None:
    x0, eps = (a.float() for a in draw(3, 2))
    t = torch.tensor([1, 500, 1000])
    x_t = q_sample(x0, t, eps, S)
    a, b = S.coefs(t, x_t)
    seen: dict[str, torch.Tensor] = {}

    def net(x: torch.Tensor, level: torch.Tensor, answer: torch.Tensor) -> torch.Tensor:
        seen["level"] = level
        return answer

    answers = {
        eps_from_v: a * eps - b * x0,
        eps_from_x0: x0,
        as_eps: eps,
        eps_from_score: -eps / b,
    }
    for read, answer in answers.items():
        got = eps_fn(net, S, read, answer=answer)(x_t, t)
        assert (got - eps).abs().max() < 2e-3
    assert seen["level"].dtype == torch.float32
    assert (seen["level"].cos() - a[:, 0]).abs().max() < 1e-6
    assert (eps_fn(net, S, answer=answers[eps_from_v])(x_t, t) - eps).abs().max() < 1e-5


X = torch.zeros(2, 3)
BAD_TIMES = [(-1, ValueError, "got -1"), (1001, ValueError, "got 1001"), (0.5, TypeError, "0.5")]


@pytest.mark.parametrize(("t", "error", "words"), BAD_TIMES)
def test_times_outside_the_schedule(t: int, error: type[Exception], words: str) -> None:
    for f in READINGS:
        with pytest.raises(error, match=f"t: .*{words}") as caught:
            f(X, X, t, S)
        assert "expected" in str(caught.value)
    with pytest.raises(error, match=f"t: .*{words}"):
        q_sample(X, t, X, S)
    with pytest.raises(error, match=f"s: .*{words}"):
        q_between(X, t, 3, X, S)


def test_every_error_names_its_argument() -> None:
    calls = [(read, name, "x_t") for read, name in READINGS.items()]
    calls += [
        (lambda eps, x_s, t, schedule: q_between(x_s, 0, t, eps, schedule), "eps", "x_s"),
        (lambda eps, x0, t, schedule: q_sample(x0, t, eps, schedule), "eps", "x0"),
    ]
    for call, known, x in calls:
        with pytest.raises(TypeError, match=f"^{x}: expected a floating-point tensor"):
            call(X, X.long(), 1, S)
        with pytest.raises(ValueError, match=f"^{known}: expected the shape of {x}, "):
            call(X[:1], X, 1, S)
    with pytest.raises(TypeError, match="^x_t: "):
        eps_fn(lambda x, level: x, S)(X.long(), torch.tensor([1, 1]))


@pytest.mark.parametrize("f", [eps_from_x0, score_from_eps])
def test_what_divides_by_the_noise_needs_some(f) -> None:  # noqa: ANN001
    with pytest.raises(ValueError, match=r"t: expected an int in 1\.\.1000, got 0"):
        f(X, X, 0, S)


@pytest.mark.parametrize(
    ("call", "error", "words"),
    [
        (lambda: q_sample(torch.ones(2, 2, dtype=torch.int64), 1, X, S), TypeError, "x0: expect"),
        (lambda: q_sample(torch.ones(2), 1, X, S), ValueError, r"x0: expected shape \(B, ...\)"),
        (
            lambda: q_sample(X, 1, torch.zeros(2, 1), S),
            ValueError,
            "eps: expected the shape of x0",
        ),
        (lambda: q_sample(X, torch.tensor([1]), X, S), ValueError, "t: expected one entry"),
        (lambda: q_sample("image", 1, X, S), TypeError, "x0: expected a floating-point tensor"),
        (lambda: q_between(X, 5, 4, X, S), ValueError, "s: expected s <= t, got s = 5"),
        (lambda: q_between(X, 5, torch.tensor([9]), X, S), ValueError, "t: expected one entry"),
        (lambda: q_between(X, torch.tensor([5]), 9, X, S), ValueError, "s: expected one entry"),
        (lambda: q_sample(X, 1, X.double(), S), TypeError, "eps: expected the dtype of x0"),
        (lambda: as_eps(X[:1], X, 1, S), ValueError, "eps: expected the shape of x_t"),
        (lambda: eps_fn(lambda x, level: x, S)(X, 1), TypeError, r"t: .*int64 tensor of shape"),
        (lambda: x0_from_eps(torch.zeros(2, 1), X, 1, S), ValueError, "eps: expected the shape"),
        (lambda: eps_from_v(X, X.long(), 1, S), TypeError, "x_t: expected a floating-point"),
        (lambda: noise_level(torch.tensor([1.5])), ValueError, "^alpha_bar: expected en"),
        (lambda: noise_level(torch.tensor([-0.5])), ValueError, r"in \[0, 1\], got -0\.5\.\."),
        (lambda: noise_level(0.5), TypeError, "alpha_bar: expected a floating-point tensor"),
        (lambda: eps_fn(lambda x, level: x, S)(X, torch.tensor([1])), ValueError, "t: expected"),
        (lambda: eps_fn(lambda x, level: x, S)(X, torch.tensor([1, -1])), ValueError, "t: expec"),
        (lambda: eps_fn(lambda x, level: level, S)(X, torch.tensor([1, 1])), ValueError, "v: exp"),
    ],
)
def test_bad_input(call, error, words) -> None:  # noqa: ANN001
    with pytest.raises(error, match=words):
        call()
