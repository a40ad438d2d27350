"""Recalibrators: scikit-learn estimators from confidence to calibrated confidence, one family per file.

They are exported by `calibration`.
"""
