"""Rewards of completions: factuality, reward models, format and length, and their sum."""
