"""Training with a factuality reward on TRL."""
