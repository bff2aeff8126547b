"""The experiment of the 1.13 MB model: substitution, distillation, quantization, binarization, and the report."""
