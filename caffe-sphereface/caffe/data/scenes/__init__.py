"""Pictures with true boxes, for MS-CNN: the window file, random parts of a picture, labels of the cells of maps."""
