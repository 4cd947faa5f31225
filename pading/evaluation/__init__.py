"""Scores of zero-shot segmentation: all, things, stuff, seen, unseen and harmonic."""
