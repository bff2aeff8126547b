"""Bring a network onto a device: what the reader there has."""
