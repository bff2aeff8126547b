"""Several pruning runs that start from one base training each, and what all of them together show."""

from dataclasses import dataclass, replace
from pathlib import Path

from sphereslim.caffe_time import caffe_times
from sphereslim.errors import SlimError
from sphereslim.files import read_json, write_json
from sphereslim.groups import Groups
from sphereslim.netparts import NETWORK
from sphereslim.netstats import measure, total
from sphereslim.pipeline import Plan
from sphereslim.prototxt import input_shape, read_net
from sphereslim.stage import Stage


@dataclass(frozen=True)
class Base:
    """A network of a comparison: its plan without layers is the base training; `original` its unscaled folder."""

    name: str
    plan: Plan
    original: Path

    def stage(self):
        """The Stage of the base training."""
        return self.plan.stages()[0]

    def pruned(self, folder, layers, rate, **changes):
        """The Plan of a run that starts from this base; `changes` are further fields of the Plan."""
        return replace(self.plan, folder=self.plan.folder / folder, start=self.stage().folder, layers=tuple(layers),
                       rate=rate, **changes)


def convolution_groups(folder, trunk=False):
    """Groups of convolutions that a network folder allows to prune, by name, in order; those along trunks on request.

    Without trunks this is the rule that inside a residual block only the first convolution loses filters.
    """
    groups = Groups(read_net(Path(folder) / 'train.prototxt'), read_net(Path(folder) / 'deploy.prototxt'))
    kinds = groups.trace.layers
    return tuple(group.name for group in groups.prunable()
                 if kinds[group.name].type == 'Convolution' and (trunk or not group.is_trunk))


def last_stage(plan):
    """The Stage that a finished run ends with."""
    stage = plan.stages()[-1]
    if not stage.is_trained():
        raise SlimError(f'{stage.folder}: is not trained yet')
    return stage


def times(path, stages, progress=iter, **how):
    """{stage folder: {'forward', 'backward'} ms an image} by `caffe time`, measured in turns and kept in `path`.

    `how` goes to `caffe_times`.
    """
    known = read_json(path) if Path(path).is_file() else {}
    names = [str(stage.folder) for stage in stages]
    if set(known) != set(names):
        known = dict(zip(names, caffe_times([stage.deploy for stage in stages], progress=progress, **how)))
        write_json(path, known)
    return known


def sizes(deploy):
    """The netstats Total of a deploy prototxt for one picture, classifier apart."""
    net = read_net(deploy)
    return total(measure(net, (1, *input_shape(net)[1:])), NETWORK)


def accuracy_of(stage, moment='after'):
    """The evaluation {accuracy, error, …} of a stage."""
    return read_json(Stage(stage.folder).evaluation)[moment]
