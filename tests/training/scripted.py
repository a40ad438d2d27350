"""Verifiers that follow a script, for exact values of rewards."""

import numpy as np


class Scripted:
    """Gives a claim the (support, refutation) of the first scripted phrase in it, else (0, 0); keeps its calls."""

    def __init__(self, script, name="scripted"):
        self.script = script
        self.name = name
        self.calls = []

    def probabilities(self, pairs):
        self.calls.append(list(pairs))
        rows = [next((row for phrase, row in self.script.items() if phrase in claim), (0.0, 0.0)) for _, claim in pairs]
        return np.array([(support, refuted, 1 - support - refuted) for support, refuted in rows])

    def support(self, pairs):
        return self.probabilities(pairs)[:, 0]
