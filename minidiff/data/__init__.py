"""Where x_0 comes from: points and portraits drawn in code, scanned digits, two photographs."""

from minidiff.data.digits import Digits, digits
from minidiff.data.faces import FaceAttributes, Faces, captions, faces
from minidiff.data.photos import patches, photos
from minidiff.data.strokes import strokes
from minidiff.data.toy2d import checkerboard, eight_gaussians, swiss_roll, two_moons

__all__ = [
    "Digits",
    "FaceAttributes",
    "Faces",
    "captions",
    "checkerboard",
    "digits",
    "eight_gaussians",
    "faces",
    "patches",
    "photos",
    "strokes",
    "swiss_roll",
    "two_moons",
]
