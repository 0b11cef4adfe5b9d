"""Where x_0 comes from: points of the plane drawn in code, and scanned digits."""

from minidiff.data.digits import Digits, digits
from minidiff.data.toy2d import checkerboard, eight_gaussians, swiss_roll, two_moons

__all__ = ["Digits", "checkerboard", "digits", "eight_gaussians", "swiss_roll", "two_moons"]
