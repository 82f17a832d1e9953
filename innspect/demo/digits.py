"""`innspect demo --digits`: a small network, trained on real handwritten digits, explained by every family of methods.

digits -> train -> ten digits it has not seen, one of each class -> every method -> one picture
"""

import functools
import os
import time

from innspect.demo.photographs import check_installed
from innspect.files import replacing
from innspect.progress import Progress
from innspect.tables import printable

FILES = ("digits.png", "digits.keras")

_SEED = 7
_EPOCHS = 20
_TEST_SHARE = 0.25

# What is drawn: names, or pairs of a name and arguments that suit digits of 8x8 pixels. A name that this version does not
# have is left out.
METHODS = (
    "gradient",
    "saliency",
    "input_t_gradient",
    "integrated_gradients",
    ("smoothgrad", {"seed": 0}),
    "deconvnet",
    "guided_backprop",
    "pattern.net",
    "pattern.attribution",
    "lrp.z",
    ("lrp.epsilon", {"epsilon": 0.1}),
    "lrp.gamma",
    "lrp.z_plus",
    "lrp.alpha_2_beta_1",
    "lrp.sequential_preset_a_flat",
    "lrp.epsilon_gamma_box",
    "deep_taylor",
    "deep_taylor.bounded",
    "deep_lift",
    "grad_cam",
    "guided_grad_cam",
    ("occlusion", {"window": 2, "stride": 1}),
    ("random", {"seed": 0}),
)

_NEXT = """
Now a model of your own, in three lines of Python:

  model = keras.saving.load_model("{model}")
  analyzer = innspect.create_analyzer("lrp.epsilon", model)
  attribution = analyzer.analyze(x)      # x: the model's input, samples first; NumPy in, NumPy out

`innspect methods` lists the other names."""


def run(folder):
    """Train, explain, draw; write `digits.png` and `digits.keras`, and say where they are.

    Args:
        folder: Where to write; made if it is not there.

    Returns:
        A dict: "accuracy" on the test digits, "attributions" (dict from method to array), "picture" and "model" (paths).

    Raises:
        ImportError: scikit-learn or matplotlib is not installed.
        OSError: The folder cannot be written to.
    """
    started = time.monotonic()
    check_installed({"sklearn": "scikit-learn", "matplotlib": "matplotlib"})
    os.makedirs(folder, exist_ok=True)
    import keras

    print(f"Keras {keras.__version__} on {keras.backend.backend()}")
    keras.utils.set_random_seed(_SEED)
    train, test = load_digits()
    model = build_model()
    _train(model, *train)
    accuracy = float((_predict(model, test[0]).argmax(-1) == test[1]).mean())
    print(f"Test accuracy: {accuracy:.1%} of {len(test[1])} digits it has not seen")

    x, labels = one_of_each(*test)
    attributions, families = explain(model, x, train[0])
    figure = draw(x, labels, _predict(model, x), attributions, families)
    picture, saved = (os.path.join(folder, name) for name in FILES)
    for file, save in ((picture, functools.partial(figure.savefig, dpi=160)), (saved, model.save)):
        with replacing(file) as partial:
            save(partial)
    print(f"\nDone in {time.monotonic() - started:.0f} s.\n\n  picture  {printable(picture)}\n  model    {printable(saved)}")
    print(_NEXT.format(model=printable(saved)))
    return {"accuracy": accuracy, "attributions": attributions, "picture": picture, "model": saved}


def load_digits():
    """Scikit-learn's digits: ((x, labels) to train with, (x, labels) held out), x in [0, 1], (samples, 8, 8, 1)."""
    from sklearn import datasets
    from sklearn.model_selection import train_test_split

    digits = datasets.load_digits()
    x = (digits.images[..., None] / 16).astype("float32")
    split = train_test_split(x, digits.target, test_size=_TEST_SHARE, stratify=digits.target, random_state=0)
    x_train, x_test, y_train, y_test = split
    return (x_train, y_train), (x_test, y_test)


def build_model():
    """A small convolutional network for 8x8 digits."""
    from keras import Input, Sequential, layers

    return Sequential(
        [
            Input((8, 8, 1)),
            layers.Conv2D(16, 3, padding="same", activation="relu", name="conv1"),
            layers.Conv2D(32, 3, padding="same", activation="relu", name="conv2"),
            layers.MaxPooling2D(name="pool"),
            layers.Dropout(0.25, name="dropout"),
            layers.Flatten(name="flatten"),
            layers.Dense(64, activation="relu", name="hidden"),
            layers.Dense(10, activation="softmax", name="digit"),
        ],
        name="digits",
    )


def one_of_each(x, labels):
    """The first sample of each class, in the order of the classes."""
    first = [int((labels == digit).argmax()) for digit in range(10)]
    return x[first], labels[first]


def explain(model, x, x_train):
    """Attributions of every method of the table, and which family they are of.

    Pattern methods first learn their patterns from `x_train`.

    Returns:
        Dict from name to attributions, and dict from family to names.
    """
    from innspect import study
    from innspect.analyzers import list_analyzers
    from innspect.analyzers.base.registry import describe, needed_arguments
    from innspect.graph.opened.opened_model import open_model

    known, pairs = set(list_analyzers()), [(m, {}) if isinstance(m, str) else m for m in METHODS]
    chosen = {name: (name, needed_arguments(name, x_train) | arguments) for name, arguments in pairs if name in known}
    analyzers = study.make_analyzers(open_model(model), chosen)
    study.fit(analyzers, study.unfitted(analyzers), x_train)
    with Progress("Explaining", len(analyzers)) as progress:
        found = study.explain(analyzers, x, _predict(model, x), progress=progress)
    families: dict = {}
    for name in analyzers:
        families.setdefault(describe(name)["family"], []).append(name)
    return {name: method.attributions[""][0] for name, method in found.methods.items()}, families


def draw(x, labels, probabilities, attributions, families):
    """The picture: a row for each digit, a column for each method."""
    from innspect.visualize import grid

    captions = [
        f"{p.argmax()}  {p.max():.1%}" + ("" if p.argmax() == label else f" (is {label})")
        for p, label in zip(probabilities, labels, strict=True)
    ]
    return grid(attributions, images=x, captions=captions, captions_label="prediction", families=families)


def _train(model, x, labels):
    import keras

    model.compile(optimizer=keras.optimizers.Adam(2e-3), loss="sparse_categorical_crossentropy", metrics=["accuracy"])
    with Progress("Training", _EPOCHS) as progress:

        def epoch_end(epoch, logs):
            progress.say(f"accuracy {logs['accuracy']:.1%}")
            progress.advance()

        watcher = keras.callbacks.LambdaCallback(on_epoch_end=epoch_end)
        model.fit(x, labels, batch_size=32, epochs=_EPOCHS, verbose=0, callbacks=[watcher])


def _predict(model, x):
    return model.predict(x, batch_size=256, verbose=0)
