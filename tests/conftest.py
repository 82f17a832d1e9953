"""Settings that must be made before a framework is imported, the same for every backend; `groups` says which tests run."""

import functools
import math
import os
import sys

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
os.environ.setdefault("MPLBACKEND", "Agg")
# PyTorch's threads sleep while they wait: where other work shares the cores, as in CI, waiting busily is many times slower.
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")

# JAX compiles each small network of the tests for a single use: how fast the code then runs does not matter. Not among these
# is --xla_backend_optimization_level=0, under which XLA was seen to compute wrong gradients.
os.environ.setdefault(
    "XLA_FLAGS",
    "--xla_llvm_disable_expensive_passes=true --xla_cpu_use_fusion_emitters=false --xla_cpu_parallel_codegen_split_count=1",
)

import groups
import pytest


@pytest.hookimpl(tryfirst=True)  # before -k and -m leave tests out
def pytest_collection_modifyitems(config, items):
    import keras

    groups.mark(items)
    if not any("::" in argument for argument in config.args):  # else only some cases of a test are here
        for item, name in groups.unknown_names(items):
            item.unknown_name = name
    backend = keras.backend.backend()
    here = [item for item in items if groups.runs(item, backend)]
    if not any("::" in argument for argument in config.args):
        here = groups.share(here, backend)
    if len(here) < len(items):
        kept = set(map(id, here))
        config.hook.pytest_deselected(items=[item for item in items if id(item) not in kept])
        items[:] = here


def pytest_runtest_setup(item):
    if hasattr(item, "unknown_name"):
        pytest.fail(f"`keep` must hold ids of the test's parameters. Received: {item.unknown_name!r}", pytrace=False)


@pytest.fixture(scope="session", autouse=True)
def weights_from_numpy():
    """On JAX, which otherwise compiles its random numbers anew for every shape of a weight."""
    import keras
    import numpy as np

    def draw(initializer, shape, dtype=None):
        limit = math.sqrt(3 / max(1, math.prod(shape[:-1])))
        return keras.ops.convert_to_tensor(np.random.uniform(-limit, limit, shape), dtype or keras.config.floatx())

    with pytest.MonkeyPatch.context() as patch:
        if keras.backend.backend() == "jax":
            patch.setattr(keras.initializers.VarianceScaling, "__call__", draw)
        yield


@pytest.fixture(scope="session", autouse=True)
def one_context_for_jax():
    """JAX sets up a compiler context, dialects and all, for each thing that it compiles: a fifth of its tests' time."""
    import keras  # noqa: F401  imports JAX, where it runs on it

    mlir = sys.modules.get("jax._src.interpreters.mlir")
    with pytest.MonkeyPatch.context() as patch:
        if hasattr(mlir, "make_ir_context"):  # private: where a JAX has no such function, the tests only take longer
            patch.setattr(mlir, "make_ir_context", functools.cache(mlir.make_ir_context))
        yield


@pytest.fixture
def double():
    """Keras, and with it the models of a test, in float64."""
    import keras

    floatx, policy = keras.config.floatx(), keras.config.dtype_policy()
    if keras.backend.backend() == "jax":
        import jax

        before = jax.config.jax_enable_x64
        jax.config.update("jax_enable_x64", True)
    keras.config.set_floatx("float64")
    keras.config.set_dtype_policy("float64")
    yield
    keras.config.set_floatx(floatx)
    keras.config.set_dtype_policy(policy)
    if keras.backend.backend() == "jax":
        jax.config.update("jax_enable_x64", before)


@pytest.fixture
def eager(monkeypatch):
    """Analyzers run as they are written, not compiled: the same numbers, sooner where every model is used once."""
    from innspect import backend

    monkeypatch.setattr(backend, "compile", lambda function: function)


@pytest.fixture
def quick(request, monkeypatch):
    """As `eager`, but on JAX, where running step by step compiles every operation for itself and takes far longer.

    There the small programs of these tests are compiled without optimization, in half the time: what they compute is compared
    with formulas, laws and other libraries' numbers, which shows each of them to be right under it.
    """
    import keras

    if keras.backend.backend() != "jax":
        request.getfixturevalue("eager")
    else:
        import jax

        from innspect import backend

        options = {"xla_backend_optimization_level": 0}
        monkeypatch.setattr(backend, "compile", functools.partial(jax.jit, compiler_options=options))
