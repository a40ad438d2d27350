"""TRL trainers extended by a factuality term."""
