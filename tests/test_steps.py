"""Integrated gradients: what too few steps miss is told, and "auto" takes as many as it needs."""

import warnings

import keras
import numpy as np
import pytest
from keras import layers as L

import innspect
from innspect import IncompleteAttributionWarning


@pytest.fixture(scope="module")
def steep():
    """Steps up half-way between 0 and inputs of size 1, where they are large, and hardly where they are small."""
    i = keras.Input((2,))
    hidden, out = L.Dense(3, activation="tanh", name="hidden"), L.Dense(3)
    model = keras.Model(i, out(hidden(i)))
    hidden.set_weights([np.array([[900.0, 300, 1], [100, 0, 1]]), np.array([-511.0, -152, 0.1])])
    out.set_weights([np.array([[1.0, 2, 0], [0.5, -1, 0], [0, 0, 1]]), np.zeros(3)])
    return model


X = np.array([[1.0, 1], [0.01, 0.02], [0.98, 1.03], [0.5, 0], [0, 0]], "float32")


def integrated(model, **arguments):
    return innspect.create_analyzer("integrated_gradients", model, **arguments)


def share(explanation):
    difference = explanation.attributions.sum(-1) + explanation.delta
    return np.abs(explanation.delta) / np.maximum(np.abs(difference), 1e-3)


def test_what_is_missing_is_told_once_a_call(steep):
    for way in ("analyze", "explain"):
        with pytest.warns(IncompleteAttributionWarning, match=r"more than 5% .* of 3 of 5 samples \(number 0, 2, 3\)") as told:
            getattr(integrated(steep), way)(X, 0, batch_size=2)
        assert [w.category for w in told].count(IncompleteAttributionWarning) == 1


@pytest.mark.sweep(keep=["trapezoid"])
@pytest.mark.parametrize("quadrature", ["trapezoid", "midpoint", "left", "right"])
def test_auto_misses_no_more_than_it_may(steep, quadrature):
    analyzer = integrated(steep, steps="auto", quadrature=quadrature)
    with warnings.catch_warnings():
        warnings.simplefilter("error", IncompleteAttributionWarning)
        for neuron in (None, 0, 1):
            explanation = analyzer.explain(X, neuron)
            assert share(explanation).max() <= 0.05
            steps = explanation.details["steps"]
            assert steps[0] > 64
            assert (steps[[1, 4]] == 64).all()
            assert set(steps) <= {64 * 2**k for k in range(7)}


@pytest.mark.host
def test_auto_ends_where_the_quadrature_does(steep):
    """Nodes of Gauss' quadrature are eigenvalues of a matrix of as many rows, at most a thousand."""
    with pytest.warns(IncompleteAttributionWarning):
        explanation = integrated(steep, steps="auto", quadrature="gausslegendre").explain(X, 0)
    assert explanation.details["steps"].max() == 512


def test_auto_is_the_map_with_the_steps_that_it_took(steep):
    explanation = integrated(steep, steps="auto").explain(X, 0, at="hidden")
    for x, steps, found, delta, signal in zip(
        X, explanation.details["steps"], explanation.attributions, explanation.delta, explanation.signals["hidden"], strict=True
    ):
        alone = integrated(steep, steps=int(steps)).explain(x[None], 0, at="hidden")
        np.testing.assert_allclose(found, alone.attributions[0], rtol=1e-4, atol=1e-6)
        np.testing.assert_allclose(delta, alone.delta[0], rtol=1e-4, atol=1e-5)
        np.testing.assert_allclose(signal, alone.signals["hidden"][0], rtol=1e-4, atol=1e-6)
        if steps > 64:
            assert share(integrated(steep, steps=int(steps) // 2).explain(x[None], 0)) > 0.05


def test_each_neuron_takes_its_own_steps(steep):
    analyzer = integrated(steep, steps="auto")
    several = analyzer.explain(X, neurons=[0, 2, None], batch_size=3)
    assert several.details["steps"].shape == (3, 5)
    for row, neuron in enumerate((0, 2, None)):
        alone = analyzer.explain(X, neuron)
        np.testing.assert_array_equal(several.details["steps"][row], alone.details["steps"])
        np.testing.assert_allclose(several.attributions[row], alone.attributions, rtol=1e-4, atol=1e-6)


@pytest.mark.host
def test_a_jump_is_never_met_and_the_warning_stays():
    i = keras.Input((1,))
    x = L.Lambda(lambda t: keras.ops.where(t > 0.3, t + 5, t), output_shape=(1,))(i)
    analyzer = integrated(keras.Model(i, x), steps="auto")
    with pytest.warns(IncompleteAttributionWarning, match="1 of 1 samples"):
        steps = analyzer.explain(np.ones((1, 1))).details["steps"]
    assert steps.tolist() == [4096]


@pytest.mark.host
def test_how_much_may_be_missing_is_an_argument(steep):
    x = X[[0]]
    lost = share(integrated(steep, steps=512).explain(x, 0))[0]
    with warnings.catch_warnings():
        warnings.simplefilter("error", IncompleteAttributionWarning)
        integrated(steep, steps=512, missing=min(1.0, lost * 1.1)).analyze(x, 0)
    with pytest.warns(IncompleteAttributionWarning):
        integrated(steep, steps=512, missing=lost * 0.9).analyze(x, 0)
    assert (integrated(steep, steps="auto", missing=1e-4).explain(x, 0).details["steps"] >= 512).all()


@pytest.mark.host
def test_nothing_is_said_where_nothing_need_add_up(steep):
    with warnings.catch_warnings():
        warnings.simplefilter("error", IncompleteAttributionWarning)
        integrated(steep, steps=4, postprocess="abs").analyze(X, 0)
        integrated(steep, steps=4, of="guided_backprop").analyze(X, 0)
        integrated(steep, steps=4).analyze(X[:0], 0)
        integrated(steep, steps=4, reference_inputs=X[0]).analyze(X[:1], 0)  # no difference, but for rounding
    for arguments in ({"postprocess": "abs"}, {"of": "guided_backprop"}):
        with pytest.raises(ValueError, match="`steps` can be 'auto' only where"):
            integrated(steep, steps="auto", **arguments)
    for wrong in ("many", 0, None):
        with pytest.raises(ValueError, match=f"`steps` must be a positive integer or 'auto'. Received: {wrong!r}"):
            integrated(steep, steps=wrong)


# ---------------------------------------------------------------------- where, and of what model, it is said
def of_steps(told):
    """Without Keras' own, of its way from torch to NumPy."""
    return [w for w in told if w.category is IncompleteAttributionWarning]


@pytest.mark.host
def test_the_warning_points_at_the_users_line_however_it_was_asked(steep):
    analyzer = innspect.create_analyzer("integrated_gradients", steep, steps=4)
    asked = {
        "analyze": lambda: analyzer.analyze(X),
        "explain": lambda: analyzer.explain(X),
        "stream": lambda: list(analyzer.stream([X])),
        "a metric": lambda: innspect.evaluation.sparseness(steep, X, analyzer),
        "evaluate": lambda: innspect.evaluate(steep, X, {"ig": analyzer}, ["sparseness"]),
    }
    for how, ask in asked.items():
        with pytest.warns(IncompleteAttributionWarning, match="steps") as told:
            ask()
        assert [w.filename for w in of_steps(told)] == [__file__], how


def test_nothing_is_said_of_a_model_whose_weights_are_replaced(steep):
    """Of the model itself it is said, once; a model of random weights is not the user's."""
    for metric in ("mprt", "mprt.efficient", "input_invariance"):
        analyzer = innspect.create_analyzer("integrated_gradients", steep, steps=4)
        with pytest.warns(IncompleteAttributionWarning) as told:
            innspect.evaluate(steep, X, {"ig": analyzer}, [metric])
        assert len(of_steps(told)) == 1, metric
