"""The verification protocol: cosine of centred features, a threshold from the other folds, accuracy on each fold.

As in the evaluation of SphereFace: for every fold the mean of the other folds' features is subtracted, features are
L2-normalised, and the threshold is the mean of all among 20001 steps from -1 to 1 that do best on the other folds. A
matched pair is judged right above the threshold, a mismatched one below it. CFP's protocol chooses the threshold in the
same way.
"""

import numpy as np

from sphereslim.data.pairs import Pairs

THRESHOLDS = np.linspace(-1, 1, 20001)


def verify(features: np.ndarray, pairs: Pairs) -> tuple[np.ndarray, np.ndarray]:
    """(accuracy of each fold in percent, score of each pair) for features (pictures, dimensions).

    As `judge`.
    """
    right, scores = judge(features, pairs)
    return fold_accuracies(right, pairs.fold), scores


def fold_accuracies(right: np.ndarray, fold: np.ndarray) -> np.ndarray:
    """The accuracy of each fold in percent, of arrays (pairs): whether each is judged right, and its fold."""
    return np.array([100 * np.mean(right[fold == number]) for number in np.unique(fold)])


def judge(features: np.ndarray, pairs: Pairs) -> tuple[np.ndarray, np.ndarray]:
    """(whether each pair is judged right, score of each pair) for features (pictures, dimensions).

    A pair's score is its cosine with the centring of its own fold. With a single fold, mean and threshold come from
    that fold itself.
    """
    scores = np.empty(len(pairs.same))
    right = np.empty(len(pairs.same), bool)
    for fold in np.unique(pairs.fold):
        test = pairs.fold == fold
        others = ~test if (~test).any() else test
        cosine = _cosine(features, pairs, others)
        scores[test] = cosine[test]
        threshold = best_threshold(cosine[others], pairs.same[others])
        right[test] = np.where(pairs.same, cosine > threshold, cosine < threshold)[test]
    return right, scores


def _cosine(features: np.ndarray, pairs: Pairs, others: np.ndarray) -> np.ndarray:
    """Cosines of all pairs after subtracting the mean feature over both pictures of the `others` pairs."""
    used = np.concatenate([pairs.left[others], pairs.right[others]])
    centred = features - features[used].mean(0)
    centred /= np.maximum(np.linalg.norm(centred, axis=1, keepdims=True), 1e-12)
    return np.einsum('ij,ij->i', centred[pairs.left], centred[pairs.right])


def best_threshold(scores: np.ndarray, same: np.ndarray) -> float:
    """The mean of all THRESHOLDS that judge most of these pairs right."""
    accepted = len(scores) - np.searchsorted(np.sort(scores[same]), THRESHOLDS, 'right') - (~same).sum()
    rejected = np.searchsorted(np.sort(scores[~same]), THRESHOLDS, 'left')
    right = accepted + rejected
    return THRESHOLDS[right == right.max()].mean()
