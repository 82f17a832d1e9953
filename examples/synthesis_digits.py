"""What does a network of digits want to see? The same question with three priors, each network trained here in a minute.

    python examples/synthesis_digits.py [folder]      writes synthesis_digits.png; --quick trains less

Rows: the mean of each class; images that maximize log p(class | x), within black and white; the same with a Gaussian expert
for log p(x), fitted to the digits; and the same in the code space of a generator, which is trained with the losses of
Dosovitskiy and Brox (2016): images, features of the network, and an adversary's judgement.
Needs scikit-learn and matplotlib. Choose the backend with KERAS_BACKEND.
"""

import os
import sys

import keras
import numpy as np
from keras import layers

import innspect
from innspect import synthesis, visualize
from innspect.demo import digits

QUICK = "--quick" in sys.argv
FOLDER = next((a for a in sys.argv[1:] if not a.startswith("-")), ".")
EPOCHS = (3, 2) if QUICK else (20, 40)
STEPS = 20 if QUICK else 300
CODE = 64  # the network's second last layer

keras.utils.set_random_seed(7)
(x, labels), _ = digits.load_digits()
model = digits.build_model()
model.compile("adam", "sparse_categorical_crossentropy", metrics=["accuracy"])
model.fit(x, labels, epochs=EPOCHS[0], batch_size=32, verbose=0)

# ------------------------------------------------------------------ a generator: from the code of a digit back to the digit
encoder = keras.Model(model.inputs, model.get_layer("hidden").output)
comparator = keras.Model(model.inputs, model.get_layer("pool").output)  # L_feat compares what this says
generator = keras.Sequential(
    [
        keras.Input((CODE,)),
        layers.Dense(256, activation="relu"),
        layers.Reshape((4, 4, 16)),
        layers.Conv2DTranspose(32, 4, strides=2, padding="same", activation="relu"),
        layers.Conv2D(1, 3, padding="same", activation="sigmoid"),
    ],
    name="generator",
)


def adversary():
    return keras.Sequential(
        [
            keras.Input((8, 8, 1)),
            layers.Conv2D(16, 3, strides=2, padding="same", activation="relu"),
            layers.Flatten(),
            layers.Dense(32, activation="relu"),
            layers.Dense(1, activation="sigmoid"),
        ]
    )


discriminator, judge = adversary(), adversary()  # the judge is a copy that never learns by itself
discriminator.compile(keras.optimizers.Adam(5e-4), "binary_crossentropy")
comparator.trainable = judge.trainable = False
code = keras.Input((CODE,))
made = generator(code)
together = keras.Model(code, [made, comparator(made), judge(made)])
together.compile(keras.optimizers.Adam(1e-3), ["mse", "mse", "binary_crossentropy"], loss_weights=[10.0, 1.0, 0.02])

codes, seen = encoder.predict(x, verbose=0), comparator.predict(x, verbose=0)
draw = np.random.default_rng(0)
for _ in range(EPOCHS[1]):
    for rows in np.array_split(draw.permutation(len(x)), len(x) // 64):
        ones, zeros = np.ones((len(rows), 1)), np.zeros((len(rows), 1))
        fakes = np.asarray(generator.predict_on_batch(codes[rows]))
        discriminator.train_on_batch(np.concatenate([x[rows], fakes]), np.concatenate([ones, zeros]))
        judge.set_weights(discriminator.get_weights())
        together.train_on_batch(codes[rows], [x[rows], seen[rows], ones])

# ------------------------------------------------------------------ the same question with three priors
targets = list(range(10))
means = np.stack([x[labels == d].mean(0) for d in targets])
asked = {"objective": "log_probability", "steps": STEPS, "low": 0.0, "high": 1.0}
plain = innspect.synthesize(model, targets, **asked)
expert = synthesis.Gaussian.fit(x, floor=0.05)
likely = innspect.synthesize(model, targets, density=lambda image: 0.02 * expert(image), **asked)
in_code = innspect.synthesize(
    model,
    targets,
    generator=generator,
    objective="log_probability",
    steps=STEPS,
    regularizers={"l2": 0.003},
    mean=codes.mean(0),
    **synthesis.code_range(codes),
)
rows = {
    "mean of the class": means,
    "no prior": plain.images,
    "Gaussian expert": likely.images,
    "code space": in_code.images,
}
for name, images in rows.items():
    sure = model.predict(images, verbose=0)[targets, targets]
    density = keras.ops.convert_to_numpy(expert(keras.ops.convert_to_tensor(images)))
    print(f"{name:20}log-density {density.mean():8.1f}   p(class) {sure.mean():.3f}")

columns = {str(d): visualize.pictures(np.stack([images[d] for images in rows.values()]), value_range=(0, 1)) for d in targets}
figure = visualize.grid(columns, captions=list(rows))
path = os.path.normpath(os.path.join(FOLDER, "synthesis_digits.png"))
figure.savefig(path, dpi=160)
print(f"written to {path}")
