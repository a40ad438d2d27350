"""Preference pairs: sampled, revised, or chosen by a constitution."""
