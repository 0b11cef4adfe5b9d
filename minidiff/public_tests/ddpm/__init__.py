"""The tests of ddpm that students see."""
