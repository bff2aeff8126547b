"""Detection of faces and their five landmarks by MTCNN (Zhang et al. 2016), its networks run through Caffe."""
