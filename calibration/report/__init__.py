"""Reports on calibration: the figures, their plots, and one HTML page."""
