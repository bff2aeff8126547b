"""Quantized networks: formulas, the .qcaffemodel file, bits per layer, binarization training."""

from sphereslim.net.weights import read_caffemodel
from sphereslim.quantization.file import read_quantized, to_bytes, write_quantized
from sphereslim.quantization.quantize_net import dequantize, quantize_net
from sphereslim.quantization.quantized_net import QuantizedNet, blob_values
from sphereslim.quantization.schemes import linear_min_max, log_min_max

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
