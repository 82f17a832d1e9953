"""What innspect uses of Keras that is not documented: which names these are, that each is there, and that there are no more."""

import ast
import importlib.util
import threading
from pathlib import Path

import keras
import pytest
from keras import layers as L

import innspect
from innspect.graph import keras_internals as internals

PACKAGE = Path(innspect.__file__).parent
HERE = Path(internals.__file__)
SOURCES = {path: ast.parse(path.read_text()) for path in PACKAGE.rglob("*.py") if path != HERE}

# All of them. One that is added here is one more that a release of Keras may rename.
OF_CLASSES = {
    "Layer": {"_flatten_layers", "add_loss", "_clear_losses", "compute_output_spec"},
    "Operation": {"symbolic_call", "compute_output_spec"},
    "StatelessScope": {"get_current_value"},
    "Dense": {"kernel"},
    "EinsumDense": {"kernel"},
    "Embedding": {"embeddings"},
    "Conv1D": {"convolution_op", "kernel"},
    "Conv2D": {"convolution_op", "kernel"},
    "Conv3D": {"convolution_op", "kernel"},
    "Add": {"_merge_function"},
    "Subtract": {"_merge_function"},
    "Average": {"_merge_function"},
    "Multiply": {"_merge_function"},
    "Maximum": {"_merge_function"},
    "Minimum": {"_merge_function"},
    "LSTMCell": {"_compute_carry_and_output", "_compute_carry_and_output_fused"},
}
OF_OBJECTS = {
    "OF_LAYERS": {
        "_losses",
        "_loss_ids",
        "_inbound_nodes",
        "_outbound_nodes",
        "_convert_input_args",
        "_trainable_variables",
    },
    "OF_MASKED_TENSORS": {"_keras_mask", "_keras_history"},
    "OF_DATA_LAYERS": {"backend"},
}
WRITTEN = {("StringLookup", "idf_weights_const"), ("IntegerLookup", "idf_weights_const")}
WINDOW = {"strides", "padding", "data_format", "dilation_rate"}
OF_OPERATIONS = {
    "Reshape": {"newshape"},
    "BroadcastTo": {"shape"},
    "Repeat": {"repeats", "axis"},
    "Tile": {"repeats"},
    "Cast": {"dtype"},
    "Mean": {"axis", "keepdims"},
    "Max": {"axis", "keepdims"},
    "Min": {"axis", "keepdims"},
    "Take": {"axis"},
    "OneHot": {"axis", "sparse"},
    "Resize": {"interpolation", "size"},
    "ReLU": {"negative_slope", "threshold", "max_value"},
    "Einsum": {"subscripts"},
    "Tensordot": {"axes"},
    "Conv": WINDOW,
    "DepthwiseConv": WINDOW,
    "SeparableConv": WINDOW,
    "ConvTranspose": WINDOW | {"output_padding"},
    "BatchNorm": {"axis", "epsilon"},
    "Softmax": {"axis"},
    "LogSoftmax": {"axis"},
    "LeakyRelu": {"negative_slope"},
    "Gelu": {"approximate"},
    "Glu": {"axis"},
    "TopK": {"k", "sorted"},
    "Sort": {"axis"},
    "Normalize": {"axis", "order", "epsilon"},
    "LayerNorm": {"axis", "epsilon", "rms_scaling"},
    "RMSNorm": {"axis", "epsilon"},
    "DotProductAttention": {"is_causal", "attn_logits_soft_cap"},
}
# Those of them that nothing else is called.
TELLING = {n for names in (*OF_CLASSES.values(), *OF_OBJECTS.values()) for n in names if n.startswith("_")} | {
    "symbolic_call", "convolution_op", "get_current_value", "shapes_dict", "idf_weights_const", "newshape",
    "attn_logits_soft_cap", "DynamicBackend",
}  # fmt: skip


def test_these_are_the_names():
    assert {cls.__name__: set(names) for cls, names in internals.OF_CLASSES.items()} == OF_CLASSES
    assert {table: set(getattr(internals, table)) for table in OF_OBJECTS} == OF_OBJECTS
    assert {(cls.__name__, name) for cls, _, name in internals.WRITTEN_BY} == WRITTEN
    assert {kind: set(names) for kind, (_, names) in internals.OF_OPERATIONS.items()} == OF_OPERATIONS
    computed = set().union(*(names for owner, names in OF_CLASSES.items() if owner not in ("Layer", "Operation")))
    assert set(internals.COMPUTING) == computed - {"get_current_value"} | {"call"}
    assert {group: [name for _, name in places] for group, places in internals.INTERCEPTED.items()} == {
        "calls": ["__call__", "symbolic_call"],
        "losses": ["add_loss", "_clear_losses"],
    }
    assert internals.ATTRIBUTES == ("__setattr__", "__delattr__", "__getattribute__")


def test_this_release_has_them():
    internals.check()


def without(table, owner):
    """The tables with one more name, which no Keras has."""
    found = getattr(internals, table)
    if table == "OF_CLASSES":
        return found | {owner: (*found[owner], "_gone")}
    if table == "OF_OPERATIONS":
        call, names = found[owner]
        return found | {owner: (call, (*names, "_gone"))}
    return (*found, (L.StringLookup, "finalize_state", "_gone") if table == "WRITTEN_BY" else "_gone")


@pytest.mark.parametrize(
    ("table", "owner", "told"),
    [
        *(("OF_CLASSES", cls, f"{cls.__name__}._gone") for cls in internals.OF_CLASSES),
        *(("OF_OPERATIONS", kind, f"{kind}._gone") for kind in internals.OF_OPERATIONS),
        ("OF_LAYERS", None, "Layer._gone"),
        ("OF_MASKED_TENSORS", None, "KerasTensor._gone"),
        ("OF_DATA_LAYERS", None, "Rescaling._gone"),
        ("WRITTEN_BY", None, "StringLookup._gone"),
    ],
)
def test_a_name_that_is_gone_is_an_error(table, owner, told, monkeypatch):
    monkeypatch.setattr(internals, table, without(table, owner))
    with pytest.raises(ImportError) as caught:
        internals.check()
    for said in (f"innspect uses {told},", f"Keras {keras.__version__} does not have", "3.12.4, 3.13.2, 3.14.1, 3.15.1"):
        assert said in str(caught.value)


def imported_anew():
    spec = importlib.util.spec_from_file_location("keras_internals_anew", HERE)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.mark.parametrize(
    ("owner", "name"),
    [(keras.Layer, "_flatten_layers"), (keras.Operation, "symbolic_call"), (L.LSTMCell, "_compute_carry_and_output_fused")],
)
def test_the_import_fails_where_keras_lacks_one(owner, name, monkeypatch):
    monkeypatch.delattr(owner, name)
    with pytest.raises(ImportError, match=rf"innspect uses {owner.__name__}\.{name}, .* Install a release"):
        imported_anew()


def test_the_import_leaves_the_users_names_as_they_are():
    """Keras numbers layers and tensors that have no name, for each thread."""
    names = []

    def count():
        names.append([keras.Layer().name, L.Rescaling(1.0).name, keras.KerasTensor((1,)).name])
        imported_anew()
        names.append([keras.Layer().name, L.Rescaling(1.0).name, keras.KerasTensor((1,)).name])

    thread = threading.Thread(target=count)
    thread.start()
    thread.join()
    assert names == [["layer", "rescaling", "keras_tensor"], ["layer_1", "rescaling_1", "keras_tensor_1"]]


# ---------------------------------------------------------------------- nothing else of Keras is used that is not documented
def own_names():
    """All private names that innspect itself gives to something."""
    found = set()
    for tree in SOURCES.values():
        for node in ast.walk(tree):
            if isinstance(node, ast.FunctionDef | ast.ClassDef):
                found.add(node.name)
            elif isinstance(node, ast.Attribute) and isinstance(node.ctx, ast.Store):
                found.add(node.attr)
            elif isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store):
                found.add(node.id)
    return found


def uses(tree, own, kinds=ast.Attribute | ast.Constant):
    """(line, name) of what a module uses that is private and not innspect's own, or is in the lists above."""
    for node in ast.walk(tree):
        name = node.attr if isinstance(node, ast.Attribute) else getattr(node, "value", None)
        if not isinstance(name, str) or not isinstance(node, kinds):
            continue
        private = name.startswith("_") and not name.startswith("__") and name.isidentifier() and len(name) > 1
        if name in TELLING or (private and name not in own):
            yield node.lineno, name
        if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name) and node.value.id == "operation":
            known = set().union(*OF_OPERATIONS.values()) | {"call", "compute_output_spec"}
            if name not in known and not hasattr(str, name):
                yield node.lineno, name


# Names that Keras documents for `build` and `call`, Python for named tuples, and PyTorch for tensors.
ENDINGS = {"_shape", "_mask", "_fields", "_version"}


def test_no_other_module_uses_one():
    own = own_names()
    assert len(SOURCES) > 100
    found = [
        f"{path.relative_to(PACKAGE)}:{line} {name}"
        for path, tree in SOURCES.items()
        # what the weights in a file of PyTorch's are called is no name of Keras
        for line, name in uses(
            tree, own - TELLING, ast.Attribute if path.parent.name == "zoo" else ast.Attribute | ast.Constant
        )
        if name not in ENDINGS
    ]
    assert not found


@pytest.mark.parametrize(
    "code",
    [
        "layer._losses",
        "model._flatten_layers()",
        "getattr(layer, '_never_seen', None)",
        "tensor._keras_mask = mask",
        "operation.symbolic_call(x)",
        "operation.groups",
        "type(value).__name__ == 'DynamicBackend'",
        "self.layer._dtype_policy",
    ],
)
def test_a_use_elsewhere_would_be_found(code):
    assert list(uses(ast.parse(code), own_names() - TELLING))


def test_nothing_is_imported_from_within_keras():
    for path in [HERE, *SOURCES]:
        for node in ast.walk(ast.parse(path.read_text())):
            modules = [a.name for a in node.names] if isinstance(node, ast.Import) else []
            modules += [node.module or ""] if isinstance(node, ast.ImportFrom) else []
            assert not any(m.startswith("keras.src") for m in modules), path
            assert not (isinstance(node, ast.Constant) and str(node.value).startswith("keras.src")), path
