"""Layers of detectors that propose regions and learn from them: R-CNN, R-FCN, MS-CNN."""
