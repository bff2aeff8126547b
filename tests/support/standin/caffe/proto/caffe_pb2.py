"""The messages of the schema, which both engines share."""

from _engine.proto.caffe_pb2 import *  # noqa: F403
