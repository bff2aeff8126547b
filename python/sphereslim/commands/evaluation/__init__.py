"""Measure a network: verification of faces."""
