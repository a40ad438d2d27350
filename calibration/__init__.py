"""Calibration of confidence: errors, recalibration and abstention with a guarantee, on arrays alone."""
