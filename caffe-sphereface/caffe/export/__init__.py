"""Nets as ONNX files: one converter per layer type, one family of layers per file."""
