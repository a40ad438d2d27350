"""Detectors of hallucination that share one pass over the model; see detection.py for `detect`, table.py for the list."""
