"""The tests that students see: `make assignments` writes them from assignments/src."""
