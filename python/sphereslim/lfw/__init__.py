"""Face verification after LFW's view 2: pairs in folds, features of a deploy net, cosine, accuracy."""

from sphereslim.lfw.evaluate import Result, evaluate
from sphereslim.lfw.features import InputForm, extract
from sphereslim.lfw.measure import Verification
from sphereslim.lfw.pairs import read_pairs
from sphereslim.lfw.protocol import verify

__all__ = ['InputForm', 'Result', 'Verification', 'evaluate', 'extract', 'read_pairs', 'verify']
