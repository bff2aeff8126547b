"""Losses, and what is measured beside them."""
