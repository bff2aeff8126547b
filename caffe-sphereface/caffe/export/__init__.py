"""Nets as ONNX files: one converter a layer type, one family of layers a file."""
