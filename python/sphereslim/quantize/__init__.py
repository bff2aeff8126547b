"""Quantized networks: formulas, the .qcaffemodel file, bits per layer, binarization training."""

from sphereslim.net.weights import read_caffemodel
from sphereslim.quantize.file import read_quantized, to_bytes, write_quantized
from sphereslim.quantize.quantize_net import dequantize, quantize_net
from sphereslim.quantize.quantized_net import QuantizedNet, blob_values
from sphereslim.quantize.schemes import linear_min_max, log_min_max

__all__ = [
    'QuantizedNet',
    'blob_values',
    'dequantize',
    'linear_min_max',
    'log_min_max',
    'quantize_net',
    'read_caffemodel',
    'read_quantized',
    'to_bytes',
    'write_quantized',
]
