"""What is told from the heads of a net on paper."""

import numpy as np
import pytest
from masking import randomize
from repository import ROOT
from sphereslim.net.costs import one_picture
from sphereslim.net.heads import count_parameters
from sphereslim.net.opened import open_net, weights_of
from sphereslim.net.prototxt import read_net
from sphereslim.rewrite.shrink import shrink


@pytest.mark.parametrize('name', ['sphereface-4', 'vgg11bn', 'vgg11bn/flame'])
def test_parameters_are_counted_on_paper_as_on_the_running_net(name):
    net = shrink(read_net(ROOT / 'prototxt' / name / 'deploy.prototxt'), 0.125)
    opened = open_net(net)
    randomize(opened, np.random.default_rng(0))
    assert count_parameters(net, weights_of(opened)) == one_picture(net).parameters
