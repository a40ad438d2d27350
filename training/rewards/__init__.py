"""Reward functions with TRL's signature, with factuality as their subject."""
