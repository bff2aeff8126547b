"""Pruning a trained net: selection, sensitivity, allocation, refitting."""
