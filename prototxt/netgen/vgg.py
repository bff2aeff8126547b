"""Plain chains of 3x3 convolutions: VGG-16 and the WebFace net of the entropy paper, VGG-11 with batch norm."""

from netgen.layers import (
    MSRA,
    accuracy,
    batch_norm,
    convolution,
    dropout,
    global_average,
    images,
    inner_product,
    layer,
    max_pool,
    network_input,
    neuron,
    softmax_loss,
)

WEBFACE_CLASSES = 10575
CELEBA_CLASSES = 2360
VGG16 = ((64, 64), (128, 128), (256, 256, 256), (512, 512, 512), (512, 512, 512))
WEBFACE = ((32, 64), (64, 128), (96, 192), (128, 256), (160, 320))
VGG11 = ((64,), (128,), (256, 256), (512, 512), (512, 512))


def vgg16():
    """Thirteen convolutions conv<stage>_<i>, pooling after the first four stages, the mean over 14x14 at the end."""
    items, bottom = [], 'data'
    for stage, widths in enumerate(VGG16, start=1):
        items.append(f'stage {stage}: {widths[0]} channels')
        for index, width in enumerate(widths, start=1):
            name = f'conv{stage}_{index}'
            items += [convolution(name, bottom, width, filler=MSRA), neuron(f'relu{stage}_{index}', name, 'ReLU')]
            bottom = name
        if stage < len(VGG16):
            items.append(max_pool(f'pool{stage}', bottom))
            bottom = f'pool{stage}'
    return [*items, 'the mean over all positions is the feature', global_average('pool_avg', bottom)]


def webface():
    """Ten convolutions conv<stage><i>, pooling after each of five stages, no ReLU after the last convolution."""
    items, bottom = [], 'data'
    for stage, widths in enumerate(WEBFACE, start=1):
        items.append(f'stage {stage}: {widths[0]} and {widths[1]} channels')
        for index, width in enumerate(widths, start=1):
            name = f'conv{stage}{index}'
            items.append(convolution(name, bottom, width, filler=MSRA))
            if name != 'conv52':
                items.append(neuron(f'relu{stage}{index}', name, 'ReLU'))
            bottom = name
        if stage < len(WEBFACE):
            items.append(max_pool(f'pool{stage}', bottom))
            bottom = f'pool{stage}'
    average = {'pool': 'AVE', 'kernel_size': 7, 'stride': 1}
    return [*items, 'the mean over 7x7 is the feature', layer('pool5', 'Pooling', bottom, pooling_param=average)]


def vgg11bn():
    """Eight convolutions conv1 to conv8, each with BatchNorm, Scale and ReLU, and the mean over all positions.

    Sizes 120, 60, 30, 15, 7, 3 as where pooling rounds down: Caffe rounds up, so odd sizes get a window of 3.
    """
    items, bottom, size, index = [], 'data', 120, 0
    for stage, widths in enumerate(VGG11, start=1):
        items.append(f'stage {stage}: {widths[0]} channels at {size}x{size}')
        for width in widths:
            index += 1
            name = f'conv{index}'
            items.append(convolution(name, bottom, width, filler=MSRA, bias=None))
            items += [*batch_norm((f'bn{index}', f'scale{index}'), name), neuron(f'relu{index}', name, 'ReLU')]
            bottom = name
        items.append(max_pool(f'pool{stage}', bottom, kernel=2 + size % 2))
        bottom, size = f'pool{stage}', size // 2
    return [*items, 'the mean over all positions is the feature', global_average('pool_avg', bottom)]


def _classifier(name, bottom, classes):
    filler = {'type': 'gaussian', 'std': 0.01}
    return inner_product(name, bottom, classes, filler=filler)


def _train(layers, batch, mirrored_crop, classifier, extra=()):
    crop, resize = mirrored_crop
    data = images(batch, crop=crop, resize=resize)
    name = classifier.name
    return [data, *layers, 'the classifier and its loss', *extra, classifier, softmax_loss(name), accuracy(name)]


def vgg16_train():
    """VGG-16 on 224 crops of 256x256 faces, 10575 classes."""
    return _train(vgg16(), 32, (224, 256), _classifier('fc6', 'pool_avg', WEBFACE_CLASSES))


def webface_train():
    """The WebFace net on 100x100 faces with dropout before the classifier, 10575 classes."""
    classifier = _classifier('fc6', 'pool5', WEBFACE_CLASSES)
    return _train(webface(), 128, (None, 100), classifier, [dropout('drop5', 'pool5', 0.4)])


def vgg11bn_train():
    """VGG-11 with batch norm on random 120 crops of 128x128 faces, 2360 people of CelebA."""
    return _train(vgg11bn(), 32, (120, 128), _classifier('fc9', 'pool_avg', CELEBA_CLASSES))


def vgg11bn_deploy():
    """The classifier with class probabilities `prob`."""
    classifier = _classifier('fc9', 'pool_avg', CELEBA_CLASSES)
    return [network_input([1, 3, 120, 120]), *vgg11bn(), 'the classifier', classifier, layer('prob', 'Softmax', 'fc9')]
