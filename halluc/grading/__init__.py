"""Grading of model answers against reference answers."""
