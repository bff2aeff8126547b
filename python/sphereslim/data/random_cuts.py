"""Pictures that have a border around what a net sees: training cuts them at random places."""

from __future__ import annotations

from sphereslim.data.lists import Faces, read_labelled
from sphereslim.data.pictures import read_picture
from sphereslim.engine import caffe_pb2
from sphereslim.net.inputs import input_shape
from sphereslim.net.messages import copy_of


def with_random_cuts(
    train: caffe_pb2.NetParameter, deploy: caffe_pb2.NetParameter, faces: Faces
) -> caffe_pb2.NetParameter:
    """The train net that takes parts of the size of the input of `deploy` out of the pictures of `faces`.

    As it is where they are of that size, and where it resizes pictures or cuts them itself. `crop_h` and `crop_w` are
    fields of SSD's fork.
    """
    first, _ = read_labelled(faces.train)[0]
    size, shape = read_picture(faces.pictures / first).shape[:2], input_shape(deploy)
    result = copy_of(train)
    for layer in result.layer:
        cut = layer.transform_param
        own = layer.image_data_param.new_height or cut.crop_size
        if layer.type == 'ImageData' and not own and shape and size != shape[2:]:
            cut.crop_h, cut.crop_w = shape[2:]
    return result
