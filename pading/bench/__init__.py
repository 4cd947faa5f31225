"""Benchmarks: systems and their variants by class folds by seeds, as a table with intervals."""
