"""The stand-in for a CUDA device refuses and counts what it says it does."""

import pytest
import torch

from caffe.layers.support.registry import Layer
from cuda_kernels import declarations, exists_on_cuda
from cuda_standin import cuda_standin

_aten = torch.ops.aten

pytestmark = pytest.mark.skipif(torch.cuda.is_available(), reason='there is a real GPU')


@pytest.fixture
def device():
    with cuda_standin() as made:
        yield made


def kinds(device):
    return [wait.kind for wait in device.waits]


def test_factories_and_results_lie_on_the_device(device):
    a = torch.ones(2, 3, device='cuda')
    for b in (a + 1, a.new_zeros(2), a.reshape(6), torch.zeros_like(a), a.t() @ a, a.mul_(2), torch.cat([a, a])):
        assert b.device == torch.device('cuda', 0)
    assert a.cpu().tolist() == [[2, 2, 2], [2, 2, 2]]
    assert torch.ones(2).device.type == 'cpu'


def test_views_share_their_memory(device):
    a = torch.zeros(2, 3, device='cuda')
    a.view(3, 2).add_(1)
    a[0].mul_(5)
    assert a.tolist() == [[5, 5, 5], [1, 1, 1]]
    assert a.reshape(-1).data_ptr() == a.data_ptr() != a.clone().data_ptr()


def test_changes_in_place_count_in_the_version(device):
    a = torch.zeros(2, device='cuda')
    a.add_(1)
    a.copy_(torch.ones(2))
    assert a._version == 2


@pytest.mark.parametrize(
    'mixed',
    [
        lambda a: a + torch.ones(2),
        lambda a: torch.ones(2) + a,
        lambda a: a.index_select(0, torch.tensor([0])),
        lambda a: torch.cat([a, torch.ones(2)]),
        lambda a: torch._foreach_add_([a], [torch.ones(2)]),
        lambda a: torch.dot(a, torch.ones(2)),
        lambda a: torch.ones(2)[a.long()],
    ],
)
def test_host_and_device_do_not_mix(device, mixed):
    with pytest.raises((RuntimeError, IndexError), match='same device'):
        mixed(torch.ones(2, device='cuda'))


def test_host_scalars_and_host_indices_may_join(device):
    a = torch.ones(2, device='cuda')
    assert (a * torch.tensor(3.0)).tolist() == [3, 3]
    del device.waits[:]
    assert a[torch.tensor([1, 1])].shape == (2,)
    assert kinds(device) == ['copy to device']


def test_numpy_wants_host_memory(device):
    with pytest.raises(TypeError, match="can't convert cuda:0"):
        torch.ones(2, device='cuda').numpy()


def test_generators_belong_to_their_device(device):
    with pytest.raises(RuntimeError, match='generator'):
        torch.rand(2, device='cuda', generator=torch.Generator('cpu'))
    draws = [torch.rand(2, device='cuda', generator=torch.Generator('cuda').manual_seed(3)).tolist() for _ in 'ab']
    assert draws[0] == draws[1]


def test_operators_without_a_cuda_kernel_do_not_exist(device):
    assert len(declarations()) > 1000
    assert all(
        map(
            exists_on_cuda,
            (
                _aten.add.Tensor,
                _aten.relu.default,
                _aten.convolution.default,
                _aten.native_batch_norm.default,
                _aten._fused_sgd_.default,
            ),
        )
    )
    assert not any(
        map(
            exists_on_cuda,
            (
                _aten.mkldnn_convolution.default,
                _aten.mkldnn_linear.default,
                _aten.quantize_per_tensor.tensors,
                torch.ops.quantized.add.default,
            ),
        )
    )
    x = torch.ones(1, 1, 4, 4, device='cuda')
    with pytest.raises(NotImplementedError, match='CUDA'):
        _aten.mkldnn_convolution(x, x, None, [0, 0], [1, 1], [1, 1], 1)


@pytest.mark.parametrize(
    'kind, act',
    [
        ('read', lambda a: float(a.sum())),
        ('read', lambda a: bool((a > 0).all())),
        ('copy to host', lambda a: a.cpu()),
        ('copy to host', lambda a: a.tolist()),
        ('copy to device', lambda a: torch.ones(2).to('cuda:0')),
        ('copy to device', lambda a: a.copy_(torch.ones(2))),
        ('size', lambda a: a.nonzero()),
        ('size', lambda a: a[a > 0]),
        ('size', lambda a: torch.masked_select(a, a > 0)),
        ('copy to device', lambda a: torch.ones(2).to('cuda:0', non_blocking=True)),
        ('wait', lambda a: torch.cuda.synchronize()),
    ],
)
def test_what_the_host_waits_for_is_counted(device, kind, act):
    a = torch.ones(2, device='cuda')
    act(a)
    assert kinds(device) == [kind]


def test_an_index_out_of_range_is_the_end(device):
    a = torch.ones(2, device='cuda')
    with pytest.raises(RuntimeError, match='device-side assert'):
        a.gather(0, torch.full((1,), 7, device='cuda'))
    with pytest.raises(RuntimeError, match='device-side assert'):
        a + 1


def test_what_does_not_wait_is_not_counted(device):
    a = torch.ones(2, device='cuda')
    torch.empty(2, pin_memory=True).to('cuda:0', non_blocking=True)
    a.index_select(0, torch.zeros(1, dtype=torch.long, device='cuda'))
    a[a.long() - 1].sum().sqrt_().clamp(min=1)
    assert not device.waits


def test_waits_name_layer_and_line(device, monkeypatch):
    class Reading(Layer):
        type = 'Reading'

        def forward(self, bottom, top):
            return float(torch.ones(1, device='cuda'))

    monkeypatch.setattr('cuda_standin.ENGINE', __file__)
    Reading(None).forward([], [])
    (wait,) = device.waits
    assert wait.layer == 'Reading' and wait.line.endswith(' forward')


def upload(side, wait=True, record=True):
    """A tensor made on a side stream and used on the main one."""
    with torch.cuda.stream(side):
        a = torch.empty(2, pin_memory=True).to('cuda:0', non_blocking=True).add_(1)
        done = torch.cuda.Event()
        done.record()
    if wait:
        torch.cuda.current_stream().wait_event(done)
    if record:
        a.record_stream(torch.cuda.current_stream())
    return a * 2


def test_streams_that_wait_may_share_memory(device):
    side = torch.cuda.Stream()
    a = upload(side)
    with pytest.raises(RuntimeError, match='did not wait'), torch.cuda.stream(side):
        a.record_stream(side)
        a.add_(1)
    side.wait_stream(torch.cuda.current_stream())
    with torch.cuda.stream(side):
        assert a.add_(1).shape == (2,)
    assert not device.waits


@pytest.mark.parametrize('missing, problem', [('wait', 'did not wait'), ('record', 'record_stream')])
def test_streams_that_do_not_wait_may_not(device, missing, problem):
    with pytest.raises(RuntimeError, match=problem):
        upload(torch.cuda.Stream(), **{missing: False})


def test_two_streams_may_read_what_both_came_after(device):
    a, side = torch.ones(2, device='cuda'), torch.cuda.Stream()
    a.record_stream(side)
    side.wait_stream(torch.cuda.current_stream())
    with torch.cuda.stream(side):
        a + 1
    assert (a + 1).device.type == 'cuda'
    with pytest.raises(RuntimeError, match='did not wait'):
        a.add_(1)


def captured(work):
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph, capture_error_mode='thread_local'):
        made = work()
    return graph, made


def test_a_capture_has_no_effect_and_a_replay_has(device):
    a, scale = torch.ones(2, device='cuda'), torch.full((), 2.0, device='cuda')
    graph, b = captured(lambda: (a.mul_(scale) + 1)[:1])
    assert a.tolist() == [1, 1] and b.isnan().all()
    graph.replay()
    assert a.tolist() == [2, 2] and b.tolist() == [3]
    scale.fill_(5)
    graph.replay()
    assert a.tolist() == [10, 10] and b.tolist() == [11]


@pytest.mark.parametrize(
    'act',
    [
        lambda a: float(a.sum()),
        lambda a: a.tolist(),
        lambda a: a.nonzero(),
        lambda a: a[a > 0],
        lambda a: torch.ones(2).to('cuda:0'),
        lambda a: torch.empty(2, pin_memory=True).to('cuda:0', non_blocking=True),
        lambda a: a.to('cpu', non_blocking=True),
        lambda a: torch.cuda.synchronize(),
    ],
)
def test_a_capture_refuses_what_waits_and_what_copies_from_or_to_the_host(device, act):
    a = torch.ones(2, device='cuda')
    with torch.cuda.stream(torch.cuda.current_stream()):
        with pytest.raises(RuntimeError, match='previous error during capture') as failure:
            captured(lambda: act(a.add_(1)))
    assert 'not permitted when stream is capturing' in str(failure.value.__context__)
    assert a.tolist() == [1, 1]


def test_a_capture_that_fails_leaves_its_stream_behind(device):
    a = torch.ones(2, device='cuda')
    with pytest.raises(RuntimeError, match='previous error during capture'):
        captured(lambda: float(a.sum()))
    with pytest.raises(RuntimeError, match='record_stream'):
        a + 1


def test_a_graph_draws_from_the_generators_that_it_knows(device):
    generator = torch.Generator('cuda').manual_seed(3)
    expected = [torch.rand(2, device='cuda', generator=generator).tolist() for _ in 'ab']
    generator.manual_seed(3)
    with torch.cuda.stream(torch.cuda.current_stream()), pytest.raises(RuntimeError) as failure:
        captured(lambda: torch.rand(2, device='cuda', generator=generator))
    assert 'outside graph capture' in str(failure.value.__context__)
    graph = torch.cuda.CUDAGraph()
    graph.register_generator_state(generator)
    with torch.cuda.graph(graph):
        drawn = torch.rand(2, device='cuda', generator=generator)
    for values in expected:
        graph.replay()
        assert drawn.tolist() == values


def test_a_graph_does_not_keep_what_it_reads(device):
    read = [torch.ones(2, device='cuda')]
    graph, _ = captured(lambda: read[0] + 1)
    graph.replay()
    read.clear()
    with pytest.raises(RuntimeError, match='memory that was given back'):
        graph.replay()


def test_other_streams_wait_for_what_a_graph_writes(device):
    a, side = torch.ones(2, device='cuda'), torch.cuda.Stream()
    graph, _ = captured(lambda: a.add_(1))
    graph.replay()
    a.record_stream(side)
    with pytest.raises(RuntimeError, match='did not wait'), torch.cuda.stream(side):
        a + 1
