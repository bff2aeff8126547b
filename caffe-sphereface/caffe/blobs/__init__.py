"""Blobs: arrays of data and diff, the memory behind them, their first values."""
