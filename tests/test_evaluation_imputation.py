"""Hidden positions that follow from their neighbours, and correlations: NumPy alone."""

import itertools

import numpy as np
import pytest

from innspect.evaluation.correlation import mean_ranks, pearson, spearman
from innspect.evaluation.imputation import imputed


def dense(x, hidden):
    """The system written out: every hidden position the weighted mean of its neighbours."""
    matrix, places = np.zeros((x.size, x.size)), list(np.ndindex(*x.shape))
    for (i, p), (j, q) in itertools.product(enumerate(places), repeat=2):
        apart = np.abs(np.subtract(p, q))
        if i != j and apart.max() == 1:
            matrix[i, j] = 1 / apart.sum()
    system = np.diag(matrix.sum(1)) - matrix
    u = hidden.ravel()
    z = x.ravel().copy()
    z[u] = np.linalg.solve(system[np.ix_(u, u)], matrix[np.ix_(u, ~u)] @ z[~u])
    return z.reshape(x.shape)


@pytest.mark.parametrize("apart", [False, True], ids=["together", "apart"])
@pytest.mark.parametrize("channel", [-1, 1, None], ids=["last", "first", "none"])
@pytest.mark.parametrize("size", [(9,), (6, 5), (3, 4, 4)], ids=["series", "image", "volume"])
def test_solves_what_the_matrix_says(size, channel, apart):
    rng = np.random.default_rng(0)
    x = rng.normal(size=(2, *size, 3)) if channel is not None else rng.normal(size=(2, *size))
    shape = x.shape[1:] if apart else size
    hidden = rng.random((2, 2, *shape)) < 0.6
    if channel == 1:
        found = imputed(np.moveaxis(x, -1, 1), np.moveaxis(hidden, -1, 2) if apart else hidden, 1)
        found = np.moveaxis(found, 2, -1)
    else:
        found = imputed(x, hidden, None if channel is None else x.ndim - 1)
    assert found.shape == (2, *x.shape)
    for version, sample in itertools.product(range(2), repeat=2):
        if channel is None:
            expected = dense(x[sample], hidden[version, sample])
        else:
            masks = hidden[version, sample] if apart else np.stack([hidden[version, sample]] * 3, -1)
            expected = np.stack([dense(x[sample, ..., c], masks[..., c]) for c in range(3)], -1)
        np.testing.assert_allclose(found[version, sample], expected, atol=1e-5)


def test_visible_positions_stay_to_the_bit_and_float32_is_kept():
    rng = np.random.default_rng(1)
    x, hidden = rng.normal(size=(1, 8, 8, 2)).astype("float32"), rng.random((3, 1, 8, 8)) < 0.5
    before = x.copy()
    found = imputed(x, hidden, 3)
    assert found.dtype == "float32"
    assert np.array_equal(x, before)
    kept = np.broadcast_to(x, found.shape)[~hidden]
    assert np.array_equal(found[~hidden], kept)


def test_a_system_does_not_depend_on_its_block():
    rng = np.random.default_rng(2)
    x, hidden = rng.normal(size=(40, 30, 30)).astype("float32"), rng.random((3, 40, 30, 30)) < 0.7
    whole = imputed(x, hidden, None)
    assert all(
        np.array_equal(imputed(x[i : i + 1], hidden[k : k + 1, i : i + 1], None)[0, 0], whole[k, i])
        for k, i in ((0, 0), (2, 39))
    )


def test_a_constant_shift_shifts_what_is_imputed():
    rng = np.random.default_rng(3)
    x, hidden = rng.normal(size=(1, 9, 9)), rng.random((1, 1, 9, 9)) < 0.6
    np.testing.assert_allclose(imputed(x + 1000, hidden, None), imputed(x, hidden, None) + 1000, rtol=1e-7)


def test_nothing_known_and_nothing_hidden():
    x = np.arange(8.0).reshape(2, 4)
    hidden = np.array([[[True] * 4, [False] * 4]])
    found = imputed(x, hidden, None)
    assert np.isnan(found[0, 0]).all()
    assert np.array_equal(found[0, 1], x[1])


def test_a_constant_input_is_filled_with_its_constant():
    assert np.array_equal(
        imputed(np.full((1, 5, 5), 3.0), np.random.default_rng(0).random((1, 1, 5, 5)) < 0.8, None), np.full((1, 1, 5, 5), 3.0)
    )


def test_ranks_and_correlations_are_those_of_scipy():
    stats = pytest.importorskip("scipy.stats")
    rng = np.random.default_rng(4)
    a, b = rng.integers(0, 5, (4, 30)), rng.normal(size=(4, 30))
    np.testing.assert_array_equal(mean_ranks(a), stats.rankdata(a, axis=1))
    np.testing.assert_allclose(spearman(a, b), [stats.spearmanr(p, q)[0] for p, q in zip(a, b, strict=True)], atol=1e-12)
    np.testing.assert_allclose(pearson(a, b), [stats.pearsonr(p, q)[0] for p, q in zip(a, b, strict=True)], atol=1e-12)


def test_a_constant_side_and_what_is_not_finite_are_undefined():
    line, nearly = np.arange(4.0), 5 + 1e-7 * np.arange(4)
    a, b = np.stack([line, np.full(4, 3.0), line, nearly, 1e-30 * line]), np.stack([line, line, [0, 1, np.nan, 2], line, line])
    for correlation in (pearson, spearman):
        np.testing.assert_allclose(correlation(a, b), [1, np.nan, np.nan, np.nan, 1])
        assert correlation(a[:0], b[:0]).shape == (0,)
        assert np.isnan(correlation(np.zeros((1, 0)), np.zeros((1, 0)))).all()


def test_the_spread_of_scores_is_measured_by_their_magnitude():
    a, drops = np.arange(4.0)[None], 1e-4 * np.arange(4)[None]
    assert pearson(a, drops)[0] == pytest.approx(1)
    assert np.isnan(pearson(a, drops, np.array([1e3]))[0])
