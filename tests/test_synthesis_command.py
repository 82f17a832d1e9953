"""`innspect synthesize`."""

import json

import keras
import numpy as np
import pytest
from keras import layers as L
from models import array, shake

from innspect import cli
from innspect.synthesis import Synthesis


@pytest.fixture
def model():
    layers = [L.Conv2D(4, 3, activation="tanh", name="conv"), L.Flatten(), L.Dense(3, activation="softmax", name="classes")]
    return shake(keras.Sequential([keras.Input((7, 6, 1)), *layers]))


def test_the_command_line(model, tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    model.save("model.keras")
    (tmp_path / "names.txt").write_text("cat\ndog\ncow\n")
    np.save("data.npy", array(4, 7, 6, 1))
    words = ["synthesize", "model.keras", "--target", "dog", "--labels", "names.txt", "--unit", "conv:2:max", "--steps", "3"]
    assert cli.main([*words, "--preprocess", "unit", "--save", "all.npz"]) == 0
    told = json.loads((tmp_path / "synthesis.json").read_text())
    assert told["targets"] == ["dog", "conv 2"]
    assert told["settings"]["low"] == 0
    assert told["settings"]["high"] == 1
    assert "synthesize model.keras --target dog" in told["command"]
    kept = Synthesis.load("all.npz").images
    assert kept.min() >= 0
    assert kept.max() <= 1
    assert cli.main(words) == 1
    assert "--force" in capsys.readouterr().err
    more = ["--start", "maco", "--data", "data.npy", "--transformation", "crop:count=2", "--out", "b.png", "--save", "b.npz"]
    assert cli.main([*words, *more]) == 0
    assert Synthesis.load("b.npz").settings["transformations"] == [["crop", {"count": 2}]]
    assert cli.main(["synthesize", "model.keras", "--force"]) == 1
    assert "--target or --unit" in capsys.readouterr().err
