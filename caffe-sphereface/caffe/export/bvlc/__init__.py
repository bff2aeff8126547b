"""Nets of forks in layers that every Caffe has: one rule per layer, one family of layers per file."""
