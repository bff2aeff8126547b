"""Nets and weights on paper: read, written, checked, their costs counted."""
