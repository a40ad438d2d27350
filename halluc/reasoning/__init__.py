"""Checks of worked solutions: the steps, their arithmetic and their units."""
