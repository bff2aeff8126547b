"""Pictures with annotations, for AnnotatedData: files of boxes, a Datum with boxes, random parts, classes of pixels."""
