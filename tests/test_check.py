"""minidiff.check: what a student is told, and what not."""

import pytest
import torch

from minidiff import check

D64 = torch.float64


def right(noisy, clean, sigma):
    return (clean - noisy) / (sigma**2).view(-1, *[1] * (noisy.ndim - 1))


def test_a_right_answer_has_all_properties(capsys):
    told = check.assignment("score_matching", {"kernel_score": right})
    assert told("q1") is True
    out = capsys.readouterr().out
    assert out.startswith("q1: 2 of 2 properties hold\n  ✓ it points from") and "✗" not in out


def test_a_wrong_one_is_told_which_property_fails_and_why_but_not_the_value(capsys):
    wrong = {"kernel_score": lambda noisy, clean, sigma: (clean - noisy) / sigma[:, None]}
    assert check.assignment("score_matching", wrong)("q1") is False
    out = capsys.readouterr().out
    assert "1 of 2 properties hold" in out and "a variance, not a standard deviation" in out
    assert "expected" not in out and "tensor(" not in out


def test_a_body_that_is_still_to_be_written_is_said_plainly(capsys):
    check.assignment("score_matching", {"kernel_score": lambda *args: None})("q1")
    assert "kernel_score returned None: its body is still to be written" in capsys.readouterr().out


def test_a_name_that_is_not_there_is_said_plainly(capsys):
    assert check.assignment("score_matching", {})("q1") is False
    assert "kernel_score is not defined: run the cell" in capsys.readouterr().out


def test_an_answer_that_changes_its_arguments_changes_copies(capsys):
    def kernel_score(noisy, clean, sigma):
        noisy -= clean
        return noisy.div_(-(sigma**2)[:, None])

    assert check.assignment("score_matching", {"kernel_score": kernel_score})("q1")
    answer = check.Answer("reversed", lambda times: times.reverse() or times)
    times = [3, 1, 0]
    assert answer(times) == [0, 1, 3] and times == [3, 1, 0]


def test_an_error_names_the_students_line(capsys):
    def kernel_score(noisy, clean, sigma):
        return noisy - unknown  # noqa: F821

    check.assignment("score_matching", {"kernel_score": kernel_score})("q1")
    out = capsys.readouterr().out
    assert "NameError" in out and "in kernel_score, line" in out and "noisy - unknown" in out


def test_names_are_looked_up_when_check_is_called(capsys):
    names = {}
    told = check.assignment("score_matching", names)
    names["kernel_score"] = right
    assert told("q1")


def test_checking_does_not_change_what_is_drawn_next(capsys):
    told = check.assignment("score_matching", {"dsm_loss": lambda f, x, s, e: torch.rand(len(x))})
    torch.manual_seed(3)
    told("q2")
    drawn = torch.rand(2)
    torch.manual_seed(3)
    assert torch.equal(drawn, torch.rand(2))


def test_unknown_names_are_refused():
    with pytest.raises(ValueError, match="name: expected one of .*score_matching.*, got 'ddmp'"):
        check.assignment("ddmp", {})
    told = check.assignment("score_matching", {})
    with pytest.raises(ValueError, match="question: expected one of q1, q2, .*, got 'q9'"):
        told("q9")


def test_an_assertion_without_words_is_a_failure_with_some():
    def test(answer):
        answer()
        raise AssertionError

    assert check.failure(test, {"answer": lambda: 1}) == "it does not hold."


@pytest.mark.parametrize(
    "value",
    [
        torch.tensor([1.0, 2.1], dtype=D64),
        torch.tensor([[1.0, 2.0]], dtype=D64),
        torch.tensor([1.0, float("nan")], dtype=D64),
        torch.tensor([], dtype=D64),
        [1.0, 2.0],
        None,
    ],
)
def test_close_is_not_close(value):
    assert not check.close(value, torch.tensor([1.0, 2.0], dtype=D64))


def test_close_is_relative_for_large_numbers_only():
    truth = torch.tensor([1e-3, 1e6], dtype=D64)
    assert check.close(truth + torch.tensor([5e-10, 5e-4], dtype=D64), truth)
    assert not check.close(truth + torch.tensor([2e-9, 0], dtype=D64), truth)
    assert check.close(truth.float(), truth, tolerance=1e-6)
