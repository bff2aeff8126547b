"""SphereFace-4 to -64, SphereFace-4 with batch norm, MobileNet-4 and -10, and the heads they train with."""

from netgen.layers import (
    FROZEN,
    SMALL_GAUSSIAN,
    WEIGHT,
    XAVIER,
    batch_norm,
    convolution,
    images,
    inner_product,
    layer,
    network_input,
    neuron,
    softmax_loss,
    total,
)

WIDTHS = (64, 128, 256, 512)
BLOCKS = {4: (0, 0, 0, 0), 10: (0, 1, 2, 0), 20: (1, 2, 4, 1), 36: (2, 4, 8, 2), 64: (3, 7, 16, 3)}
CLASSES = 10572
MARGINS = {1: 'SINGLE', 2: 'DOUBLE', 3: 'TRIPLE', 4: 'QUADRUPLE'}


def dense(index, bottom, filters, channels, stride=1, with_norm=False):
    """conv<index> with its PReLU; strided ones start at xavier, those of a block at small values, bias fixed."""
    name = f'conv{index}'
    starts = {'filler': XAVIER} if stride == 2 else {'filler': SMALL_GAUSSIAN, 'bias': FROZEN}
    if with_norm:
        starts['bias'] = None
    norm = batch_norm((f'bn{index}', f'scale{index}'), name) if with_norm else []
    return [convolution(name, bottom, filters, stride=stride, **starts), *norm, neuron(f'relu{index}', name, 'PReLU')]


def separable(index, bottom, filters, channels, stride=1):
    """conv<index> as a 3x3 filter per channel, conv<index>_dw, and a 1x1 convolution, each with its PReLU."""
    name, depthwise = f'conv{index}', f'conv{index}_dw'
    return [
        convolution(depthwise, bottom, channels, stride=stride, group=channels),
        neuron(f'relu{index}_dw', depthwise, 'PReLU'),
        convolution(name, depthwise, filters, kernel=1, pad=0),
        neuron(f'relu{index}', name, 'PReLU'),
    ]


def dense_with_norm(index, bottom, filters, channels, stride=1):
    """`dense` with BatchNorm and Scale before the PReLU; the Scale's bias stands for the convolution's."""
    return dense(index, bottom, filters, channels, stride, with_norm=True)


def body(blocks, first=dense, strided=dense, residual=dense):
    """The layers from `data` to `fc5`, with comments; the arguments choose how the convolutions are made."""
    bottom, channels, items = 'data', 3, []
    for stage, (width, count) in enumerate(zip(WIDTHS, blocks), start=1):
        items.append(f'stage {stage}: {width} channels' + (f', residual blocks: {count}' if count else ''))
        make = first if stage == 1 else strided
        items += make(f'{stage}_1', bottom, width, channels, stride=2)
        bottom, channels = f'conv{stage}_1', width
        for block in range(count):
            items += residual_block(stage, 2 * block + 2, bottom, width, residual)
            bottom = f'res{stage}_{2 * block + 3}'
    return [*items, 'the embedding', inner_product('fc5', bottom, 512)]


def residual_block(stage, index, bottom, width, make):
    """Two convolutions and the sum with their input, named after the second one."""
    first, second = f'{stage}_{index}', f'{stage}_{index + 1}'
    return [
        *make(first, bottom, width, width),
        *make(second, f'conv{first}', width, width),
        total(f'res{second}', [bottom, f'conv{second}']),
    ]


def a_softmax(margin=4, gamma=0.12, iteration=0):
    """fc6 with the angular margin; its weights are named so that other layers can share them."""
    settings = {'num_output': CLASSES, 'type': MARGINS[margin], 'weight_filler': XAVIER}
    settings |= {'base': 1000, 'gamma': gamma, 'power': 1, 'lambda_min': 5, 'iteration': iteration}
    weight = WEIGHT | {'name': 'fc6_w'}
    return layer('fc6', 'MarginInnerProduct', ['fc5', 'label'], ['fc6', 'lambda'], param=[weight],
                 margin_inner_product_param=settings)  # fmt: skip


def inter_class(alpha):
    """The hyperspherical energy of fc6's rows, pushed apart with strength `alpha` from the first iteration on."""
    settings = {'num_output': CLASSES, 'type': 'AMONG', 'iteration': 16000}
    settings |= {'alpha_start_iter': 16001, 'alpha_start_value': alpha}
    weight = WEIGHT | {'name': 'fc6_w'}
    return layer('inter_class_dist_output', 'InterClass', ['fc5', 'label'], 'maximize_inter_class_dist', param=[weight],
                 inter_class_param=settings)  # fmt: skip


def train_net(layers, head=None):
    """`body` between pictures and the A-Softmax loss."""
    head = head or [a_softmax()]
    return [images(batch=256), *layers, 'the classifier and its loss', *head, softmax_loss('fc6')]


def deploy_net(layers):
    """`body` from one 112x96 picture to `fc5`."""
    return [network_input([1, 3, 112, 96]), *layers]


BODIES = {
    **{f'sphereface-{depth}': body(blocks) for depth, blocks in BLOCKS.items()},
    'sphereface-4-bn': body(BLOCKS[4], dense_with_norm, dense_with_norm),
    'mobilenet-4': body(BLOCKS[4], strided=separable),
    'mobilenet-10': body(BLOCKS[10], residual=separable),
}
