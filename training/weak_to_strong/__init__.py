"""Weak-to-strong generalization: what a strong model learns from the labels of a weak one."""
