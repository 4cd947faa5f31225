"""Weights: read without unpickling, matched whole or not at all, written whole or not at all."""
