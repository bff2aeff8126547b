"""Batches made ahead of time, by threads or by processes."""
