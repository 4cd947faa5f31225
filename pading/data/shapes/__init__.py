"""Shapes: synthetic scenes that need no download."""
