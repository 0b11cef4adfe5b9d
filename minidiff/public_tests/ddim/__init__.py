"""The tests of ddim that students see."""
