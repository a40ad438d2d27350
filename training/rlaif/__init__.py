"""Reinforcement learning from AI feedback, from prompts to a trained policy."""
