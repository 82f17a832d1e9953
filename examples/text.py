"""Which words made the network think so: an LSTM on sentences, its relevance word by word.

    python examples/text.py

Reviews with negations are made here, shown in the terminal and in text.html. Choose the backend with KERAS_BACKEND.
"""

from pathlib import Path

import keras
import numpy as np
from keras import layers as L

import innspect

GOOD, BAD = ("great", "funny", "moving", "clever"), ("boring", "awful", "silly", "flat")
SUBJECTS, LINKS, LONGEST = ("plot", "music", "acting", "ending", "camera"), ("and", "but"), 13
WORDS = ["", "the", "was", "really", "not", *LINKS, *SUBJECTS, *GOOD, *BAD]  # 0 is the padding


def clause(random):  # words, and +1 or -1 for what they say
    good, negated, strong = random.random() < 0.5, random.random() < 0.4, random.random() < 0.3
    words = ["the", random.choice(SUBJECTS), "was", *["not"] * negated, *["really"] * strong]
    return [*words, random.choice(GOOD if good else BAD)], (1 if good else -1) * (-1 if negated else 1)


def review(random):  # one or two clauses; two that say the opposite are no review
    (words, says), (more, also) = clause(random), clause(random)
    joined = [*words, random.choice(LINKS), *more]
    return (words, says > 0) if random.random() < 0.3 else (joined, says > 0) if also == says else review(random)


def encoded(texts):  # numbers of the words, padded
    return np.array([[WORDS.index(w) for w in words] + [0] * (LONGEST - len(words)) for words in texts], "int32")


# 1. Embedding, LSTM, one sigmoid unit: is the review good?
random = np.random.default_rng(0)
texts, good = zip(*(review(random) for _ in range(2400)), strict=True)
x, good = encoded(texts), np.array(good)
keras.utils.set_random_seed(0)
layers = [L.Embedding(len(WORDS), 16, mask_zero=True, name="words"), L.LSTM(24, name="reader")]
model = keras.Sequential([keras.Input((LONGEST,), dtype="int32"), *layers, L.Dense(1, activation="sigmoid", name="good")])
model.compile(keras.optimizers.Adam(0.01), "binary_crossentropy", metrics=["accuracy"])
model.fit(x[:2000], good[:2000], epochs=6, batch_size=64, verbose=0)
print(f"accuracy on reviews it has not read: {model.evaluate(x[2000:], good[2000:], verbose=0)[1]:.3f}\n")

# 2. Relevance of each word for the logit of "good"; what is padded gets none.
lines = ["the plot was clever", "the plot was not clever", "the acting was really awful and the music was flat"]
shown = [line.split() for line in [*lines, "the acting was not awful but the music was really great"]]
explanation = innspect.create_analyzer("lrp.epsilon", model).explain(encoded(shown))
for line, p in zip(innspect.visualize.text(shown, explanation, form="ansi"), explanation.outputs[:, 0], strict=True):
    print(f"good: {p:4.0%}   {line}")

# 3. The same as a page.
lines = zip(explanation.outputs[:, 0], innspect.visualize.text(shown, explanation), strict=True)
page = "\n".join(f"<p>good: {p:.0%}</p>\n{line}" for p, line in lines)
Path("text.html").write_text(f'<div style="background:white;color:black;padding:8px">\n{page}\n</div>\n', "utf-8")
print("\nwritten: text.html")
