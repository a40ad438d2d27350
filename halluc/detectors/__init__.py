"""Detectors of hallucination that share one pass over the model: detect.py has `detect`, table.py lists the detectors."""
