"""The table of layer types: what an unknown type's error suggests."""

import pytest

import caffe
from caffe.layers import check_types
from caffe.proto.caffe_pb2 import LayerParameter


def message_for(kind):
    with pytest.raises(caffe.CaffeError) as error:
        check_types([LayerParameter(name='a', type=kind)])
    return str(error.value)


@pytest.mark.parametrize(
    'kind, meant',
    [
        ('RELU', 'ReLU'),
        ('Convolutoin', 'Convolution'),
        ('Covolution', 'Convolution'),
        ('Poolling', 'Pooling'),
        ('InnerPraduct', 'InnerProduct'),
        ('SoftMaxWithLoss', 'SoftmaxWithLoss'),
    ],
)
def test_a_slip_of_the_pen_is_corrected(kind, meant):
    assert f"unknown type '{kind}', did you mean '{meant}'?" in message_for(kind)


@pytest.mark.parametrize('kind', ['ReLU7', 'QReLU', 'Unpool', 'Unpooling', 'Convolution4D', 'BatchRenorm', 'Softmin'])
def test_the_name_of_another_function_is_not_taken_for_a_slip(kind):
    text = message_for(kind)
    assert 'did you mean' not in text and 'expected one of: ' in text
