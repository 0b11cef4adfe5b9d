"""Applications, chapters 5 to 9: each a few lines around the one loop of ``sampling``."""
