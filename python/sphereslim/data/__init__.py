"""Pictures, lists and pairs, and how they become a net's input."""
