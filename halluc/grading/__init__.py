"""Grading of model answers against reference answers: matching, and recognizing refusals."""
