"""What `innspect.backend` computes in its own way is what NumPy computes."""

import keras
import numpy as np
import pytest

from innspect import backend


@pytest.mark.parametrize("shape", [(5, 7), (3, 5, 7)])
def test_gradients_of_a_product_of_matrices(double, shape):
    rng = np.random.default_rng(0)
    x, kernel = rng.normal(size=shape), rng.normal(size=(7, 4))
    signal = rng.normal(size=(*shape[:-1], 4))

    @backend.compile
    def run(x, kernel, signal):
        (y,), pullback = backend.vjp(lambda x, kernel: [backend.matmul(x, kernel)], [x, kernel])
        signals = pullback([signal])
        assert [tuple(t.shape) for t in (y, *signals)] == [signal.shape, x.shape, kernel.shape]  # known while it is compiled
        return [y, *signals]

    made = run(*(keras.ops.convert_to_tensor(a) for a in (x, kernel, signal)))
    expected = [x @ kernel, signal @ kernel.T, x.reshape(-1, 7).T @ signal.reshape(-1, 4)]
    for got, want in zip(made, expected, strict=True):
        np.testing.assert_allclose(backend.to_numpy(got), want, rtol=1e-12)


def test_the_way_back_through_chosen_rows():
    x = keras.ops.ones((5, 3))
    _, pullback = backend.vjp(lambda x: [keras.ops.take(x, keras.ops.convert_to_tensor([1, 2]), axis=0)], [x])
    (given,) = pullback([keras.ops.ones((2, 3))])
    np.testing.assert_array_equal(
        backend.to_numpy(keras.ops.convert_to_tensor(given)), [[0] * 3, [1] * 3, [1] * 3, [0] * 3, [0] * 3]
    )
