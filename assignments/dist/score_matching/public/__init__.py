"""The tests of score_matching that students see."""
