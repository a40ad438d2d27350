"""Evaluation of a trained model: correct, incorrect and abstained answers on held-out questions."""
