from caffe.proto import caffe_pb2  # noqa: F401
