"""Measurements: how good the models are, and what the loop costs."""
