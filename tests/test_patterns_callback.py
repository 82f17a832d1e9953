"""`PatternCheckpoint`: patterns appear next to the checkpoints, and training does not notice."""

import keras
import numpy as np
import pytest
from keras import layers as L
from models import array

import innspect
from innspect.callbacks import PatternCheckpoint


def trained(callbacks):
    """A training with everything that can be disturbed: dropout, batch normalization, shuffling, a regularizer."""
    keras.utils.set_random_seed(3)
    model = keras.Sequential(
        [
            keras.Input((6,)),
            L.Dense(8, activation="relu", name="h", activity_regularizer="l2"),
            L.BatchNormalization(),
            L.Dropout(0.5),
            L.Dense(3, activation="softmax", name="out"),
        ]
    )
    model.compile("adam", "sparse_categorical_crossentropy")
    x, y = array(40, 6), np.arange(40) % 3
    history = model.fit(x, y, epochs=3, batch_size=16, verbose=0, callbacks=callbacks)
    return model, history.history["loss"]


def test_patterns_are_saved_and_training_is_equal_to_the_bit(tmp_path):
    plain, losses = trained([])
    callback = PatternCheckpoint(tmp_path / "{epoch:02d}-{loss:.1f}.h5", array(32, 6, seed=5), every=2)
    watched, watched_losses = trained([callback])
    assert losses == watched_losses
    for a, b in zip(plain.weights, watched.weights, strict=True):
        np.testing.assert_array_equal(keras.ops.convert_to_numpy(a), keras.ops.convert_to_numpy(b))
    assert sorted(f.name[:2] for f in tmp_path.iterdir()) == ["02", "03"]  # the last epoch is always there
    last = next(f for f in tmp_path.iterdir() if f.name.startswith("03"))
    assert list(innspect.patterns.load(last, watched)) == ["h", "out"]


def test_every_must_be_positive():
    with pytest.raises(ValueError, match="Received: 0"):
        PatternCheckpoint("p.h5", array(4, 6), every=0)


@pytest.mark.parametrize("name", ["{epoch", "{}.h5", "{epoch.x}.h5", "{epoch:q}.h5", "{loss:d}.h5", "{loss!z}.h5", "", 3])
def test_a_name_that_cannot_be_is_told_when_it_is_given(name):
    with pytest.raises(ValueError, match="`path` must be"):
        PatternCheckpoint(name, array(4, 6))


def test_an_argument_that_fit_does_not_take_is_told_when_it_is_given():
    with pytest.raises(TypeError, match=r"'gat'\. Did you mean 'gate'"):
        PatternCheckpoint("p.h5", array(4, 6), gat="activation")


def test_folders_are_made_and_what_is_in_the_way_is_told_before_training(tmp_path):
    watched, _ = trained([PatternCheckpoint(tmp_path / "a" / "{epoch}" / "p.h5", array(8, 6), every=3)])
    assert list(innspect.patterns.load(tmp_path / "a" / "3" / "p.h5", watched)) == ["h", "out"]
    (tmp_path / "file").touch()
    with pytest.raises(NotADirectoryError, match="is a file"):
        trained([PatternCheckpoint(tmp_path / "file" / "p.h5", array(8, 6))])
    with pytest.raises(IsADirectoryError, match="is a folder"):
        trained([PatternCheckpoint(tmp_path / "a", array(8, 6))])


def test_no_epoch_is_lost_for_a_log_that_it_has_not(tmp_path):
    with pytest.warns(UserWarning, match="`path` names val_loss, for which 'none' stands: epoch 1"):
        trained([PatternCheckpoint(tmp_path / "{epoch}-{val_loss:.2f}.h5", array(8, 6))])
    assert sorted(f.name for f in tmp_path.iterdir()) == ["1-none.h5", "2-none.h5", "3-none.h5"]
