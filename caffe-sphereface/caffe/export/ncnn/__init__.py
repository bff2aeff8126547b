"""Nets as ncnn's .param and .bin: one converter per layer type, one family of layers per file.

The format is that of https://github.com/Tencent/ncnn/wiki/param-and-model-file-structure, the parameters of each layer
are those of https://github.com/Tencent/ncnn/wiki/operators.
"""
