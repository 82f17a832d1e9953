"""The Python in the documentation runs as it stands."""

import re
from pathlib import Path

import keras
import numpy as np
import pytest
from keras import layers as L
from models import array, shake

import innspect
from innspect.analyzers.registry import _ANALYZERS

ROOT = Path(__file__).parent.parent
PAGES = ["README.md", "docs/extending.md", "docs/migrating.md", "docs/patterns.md"]


def classifier():
    model = keras.Sequential(
        [
            keras.Input((8, 8, 3)),
            L.Conv2D(4, 3, activation="relu"),
            L.MaxPooling2D(),
            L.Flatten(),
            L.Dense(5, activation="softmax"),
        ]
    )
    return shake(model)


@pytest.mark.filterwarnings("ignore:.*lambda")
@pytest.mark.parametrize("page", PAGES)
def test_the_python_of_a_page_runs(page, tmp_path, monkeypatch):
    blocks = re.findall(r"```python\n(.*?)```", (ROOT / page).read_text(encoding="utf-8"), re.DOTALL)
    assert blocks
    known = set(innspect.list_analyzers())
    monkeypatch.chdir(tmp_path)
    names = {
        "__name__": page,
        "innspect": innspect,
        "model": classifier(),
        "x": array(4, 8, 8, 3),
        "x_new": array(4, 8, 8, 3, seed=1),
    }
    for block in blocks:
        exec(compile(block, page, "exec"), names)
    assert np.isfinite(names["attribution"]).all()
    for name in set(innspect.list_analyzers()) - known:
        del _ANALYZERS[name]


def test_links_lead_somewhere():
    for page in PAGES:
        for target in re.findall(r"\]\((?!http)([^)#]+)", (ROOT / page).read_text(encoding="utf-8")):
            assert (ROOT / page).parent.joinpath(target).exists(), f"{page}: {target}"
