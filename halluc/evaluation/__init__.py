"""Benchmarks of truthfulness, bias, toxicity and harmfulness, before and after a mitigation.

A benchmark is one file of `halluc/evaluation/benchmarks`. `run_benchmark` (runner.py) reads rows, asks a model, caches its
answers, scores them and gives every figure an interval.
"""
