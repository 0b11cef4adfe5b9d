"""The tests of langevin that students see."""
