"""Trainers of TRL, extended by a factuality term."""
