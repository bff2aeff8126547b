"""Nets: built from a NetParameter, run forward and backward, their weights read and written."""
