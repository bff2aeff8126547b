"""Rendered people: who they are, how they are seen, and the folder of their pictures."""
