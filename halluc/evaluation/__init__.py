"""Benchmarks of truthfulness, bias, toxicity and harmfulness, before and after a mitigation.

A benchmark is one file of `halluc/evaluation/benchmarks`. `run_benchmark` (runner.py) reads rows, asks a model, caches its
answers, scores them and gives every figure an interval. The public names are listed in `__init__.pyi`, and are loaded on
first use.
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
