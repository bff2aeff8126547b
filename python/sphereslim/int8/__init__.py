"""Nets in int8: their ranges measured on pictures, and what those cost."""
