"""Evaluation of a model: right, wrong and abstained answers on held-out questions, and side effects of training."""
