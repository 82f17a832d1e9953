"""Sheets that people answer: what is shown, what a browser saves, how it is counted."""

import base64
import hashlib
import json
import re
import shutil
import subprocess

import keras
import numpy as np
import pytest
from keras import layers as L
from models import array, shake

import innspect
from innspect.evaluation import sheet, sheet_scores

BROWSER = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
X = array(4, 8, 8, 1)


def network(seed=1, units=3, name="small"):
    layers = [L.Conv2D(3, 3, activation="relu"), L.Flatten(), L.Dense(units, activation="softmax" if units > 1 else "sigmoid")]
    return shake(keras.Sequential([keras.Input((8, 8, 1)), *layers], name=name), seed)


def key_of(page):
    held = re.search(r'data-key="(.*?)"', page)[1]
    return held, json.loads(base64.b64decode(held))


def written(folder, question, items, answers, rater="", methods=("a", "b"), models=("m", "n"), **more):
    """A file of answers, of items (sample, sides, offered, target, method)."""
    names = ("sample", "sides", "offered", "target", "method")
    key = {
        "question": question,
        "methods": methods,
        "models": models,
        "items": [dict(zip(names, i, strict=True)) for i in items],
    }
    held = base64.b64encode(json.dumps(key).encode()).decode()
    content = {
        "format": "innspect-answers",
        "version": 1,
        "sheet": hashlib.sha256(held.encode()).hexdigest()[:16],
        "rater": rater,
        "answers": [{"item": n, "answer": a, "seconds": 1.5} for n, a in enumerate(answers) if a is not None],
        "key": held,
        **more,
    }
    path = folder / f"answers_{len(list(folder.iterdir()))}.json"
    path.write_text(json.dumps(content), encoding="utf-8")
    return path


# ------------------------------------------------------------------ what is shown
def test_every_question_has_its_items():
    model, other, methods = network(), network(1, name="other"), ["grad_cam", "gradient", "saliency"]
    page = sheet(model, X, methods, question="class").html
    _, key = key_of(page)
    assert len(key["items"]) == 4 * 3
    outputs = keras.ops.convert_to_numpy(model(X))
    for item in key["items"]:
        assert sorted(item["offered"]) == sorted(np.argsort(-outputs[item["sample"]])[:2])
        assert item["target"] in item["offered"]
    assert page.count("<section data-item") + page.count('data-item="') == 12
    _, key = key_of(sheet(model, X, methods, question="prefer").html)
    pairs = {(i["sample"], *sorted(i["sides"])) for i in key["items"]}
    assert len(pairs) == len(key["items"]) == 4 * 3
    _, key = key_of(sheet([model, other], X, methods, question="trust").html)
    assert len(key["items"]) == 4 * 3
    assert {tuple(sorted(i["sides"])) for i in key["items"]} == {("other", "small")}
    for question, given in (("class", model), ("prefer", model), ("trust", [model, other])):
        _, key = key_of(sheet(given, array(20, 8, 8, 1), ["gradient", "saliency"], question=question).html)
        assert [i["sample"] for i in key["items"]] != sorted(i["sample"] for i in key["items"])
        first = [i["offered"][0] == i["target"] if question == "class" else i["sides"][0] for i in key["items"]]
        assert len(set(first)) == 2  # both sides are drawn


def test_the_seed_draws_it():
    model = network()
    pages = [sheet(model, X, ["gradient", "grad_cam"], question="prefer", seed=s).html for s in (0, 0, 1)]
    assert pages[0] == pages[1]
    assert key_of(pages[0])[1]["items"] != key_of(pages[2])[1]["items"]


def test_only_pictures_that_two_models_agree_on():
    x = array(30, 8, 8, 1)
    models = {"one": network(1), "two": network(5)}
    says = [keras.ops.convert_to_numpy(m(x)).argmax(-1) for m in models.values()]
    agree = set(np.flatnonzero(says[0] == says[1]).tolist())
    assert 0 < len(agree) < 30
    _, key = key_of(sheet(models, x, "gradient", question="trust").html)
    assert {i["sample"] for i in key["items"]} == agree
    assert all(i["target"] == says[0][i["sample"]] for i in key["items"])
    _, key = key_of(sheet(models, x, "gradient", question="trust", targets=np.zeros(30, int)).html)
    assert {i["sample"] for i in key["items"]} == set(range(30))


def test_the_page_stands_alone_and_names_are_only_text(tmp_path):
    labels = ["<ant>", "<bee>", "{2}"]
    page = sheet(network(), X, ["gradient"], tmp_path / "ask.html", labels=labels, title="a & <b>")
    assert (tmp_path / "ask.html").read_text(encoding="utf-8") == page.html
    assert not re.search(r"https?://|@import|<link|src=\"(?!data:)|<(ant|bee)>|<b> ", page.html)
    assert "default-src 'none'" in page.html
    assert "&lt;bee&gt;" in page.html or "&lt;ant&gt;" in page.html
    assert "gradient" not in page.html.partition("<body>")[2]  # raters do not read whose map it is


@pytest.mark.parametrize(
    ("model", "more", "told"),
    [
        (network, {"question": "like"}, "`question`.*'like'"),
        (network, {"question": "trust"}, "`model` must be two models.*1"),
        (lambda: [network(), network()], {}, "`model` must be one model.*2"),
        (network, {"question": "prefer"}, "`methods` must be two"),
        (network, {"targets": [0, 1, 2, 0]}, "`targets` must be two different classes"),
        (network, {"targets": [[0, 0]] * 4}, "`targets` must be two different classes"),
        (network, {"targets": [[0, 3]] * 4}, "`targets`.*from 0 to 2"),
        (network, {"names": ["a"]}, "`names`.*4 texts"),
        (network, {"images": array(3, 8, 8, 1)}, "`images` must be pictures.*4 samples"),
        (network, {"images": array(4, 5)}, "`images` must be pictures"),
        (network, {"seed": -1}, "`seed`"),
        (lambda: network(units=1), {}, "must tell classes"),
        (lambda: [network(), network(units=4)], {"question": "trust"}, "must tell classes"),
    ],
)
def test_what_does_not_fit_is_told(model, more, told):
    with pytest.raises(ValueError, match=f"(?s){told}"):
        sheet(model(), X, ["gradient"], **more)


def test_samples_that_are_no_pictures():
    flat = shake(keras.Sequential([keras.Input((5,)), L.Dense(3)]))
    with pytest.raises(ValueError, match=r"`x` must be pictures.*\(4, 5\)"):
        sheet(flat, array(4, 5), ["gradient"])


# ------------------------------------------------------------------ counted by hand
def test_accuracy(tmp_path):
    items = [(0, ["a"], [4, 7], 7, "a"), (1, ["a"], [4, 7], 4, "a"), (0, ["b"], [7, 4], 7, "b"), (1, ["b"], [2, 4], 4, "b")]
    ann = written(tmp_path, "class", items, [1, 0, 1, 1], "ann")  # a: right, right; b: wrong, right
    bob = written(tmp_path, "class", items, [1, 1, None, 0], "bob")  # a: right, wrong; b: -, wrong
    scores = sheet_scores(ann, bob)
    assert scores.raters == ["ann", "bob"]
    assert (scores.pictures, scores.asked) == (2, 4)
    assert {m: (r.mean, r.answered) for m, r in scores.results.items()} == {"a": (3 / 4, 4), "b": (1 / 3, 3)}
    a, b = scores.results["a"], scores.results["b"]
    assert (a.low, a.high) == innspect.evaluation.interval([1, 0.5], range=(0, 1))
    assert (b.low, b.high) == innspect.evaluation.interval([0.5, 0], range=(0, 1))
    alone = sheet_scores(ann).results["a"]
    assert (alone.low, alone.high) == innspect.evaluation.interval([1, 1], "wilson", range=(0, 1))
    assert "told the class" in str(scores)
    assert "over raters" in str(scores)
    assert "over pictures" in str(sheet_scores(ann))
    assert "<table>" in scores._repr_html_()


def test_trust(tmp_path):
    items = [(0, ["m", "n"], [], 1, "a"), (1, ["n", "m"], [], 1, "a"), (2, ["n", "m"], [], 1, "a")]
    ann = written(tmp_path, "trust", items, [0, 0, 2])  # 2, -2, 0
    bob = written(tmp_path, "trust", items, [1, 3, 4])  # 1, 1, 2
    scores = sheet_scores(ann, bob)
    result = scores.results["a"]
    assert result.mean == pytest.approx(4 / 6)
    assert (result.low, result.high) == innspect.evaluation.interval([0, 4 / 3], range=(-2, 2))
    assert scores.raters == ["rater 1", "rater 2"]
    assert list(scores.results) == ["a"]
    assert "Above 0: 'm' is trusted more" in str(scores)
    alone = sheet_scores(ann).results["a"]
    assert (alone.mean, (alone.low, alone.high)) == (0, innspect.evaluation.interval([2, -2, 0], range=(-2, 2)))


def test_votes_are_normalised_for_each_picture(tmp_path):
    items = [(0, ["a", "b"], [], 1, ""), (1, ["b", "a"], [], 1, "")]
    files = [written(tmp_path, "prefer", items, answers) for answers in ([0, 0], [0, 1], [2, None])]
    # picture 0: a, a, b; picture 1: b, both alike
    results = sheet_scores(*files).results
    votes = {label: r.votes for label, r in results.items()}
    assert votes == pytest.approx({"a": 2 / 3, "b": 1 / 3 + 1 / 2, "both alike": 1 / 2})
    assert sum(votes.values()) == pytest.approx(2)  # pictures
    assert {label: r.mean for label, r in results.items()} == pytest.approx({k: v / 2 for k, v in votes.items()})
    assert {label: r.answered for label, r in results.items()} == {"a": 2, "b": 2, "both alike": 1}
    shares = [0.5, 0.5, 0]  # of a, by rater
    assert (results["a"].low, results["a"].high) == innspect.evaluation.interval(shares, range=(0, 1))


ITEMS = [(0, ["a"], [4, 7], 7, "a"), (1, ["a"], [4, 7], 4, "a")]


@pytest.mark.parametrize(
    ("files", "told"),
    [
        ([], "`paths`.*none"),
        ([{}, {"items": ITEMS[:1], "answers": [1]}], "answers to one sheet"),
        ([{"rater": "ann"}, {"rater": "ann"}], "'ann' comes 2 times"),
        ([{"answers": [None, None]}], "must hold answers"),
        ([{"format": "other"}], "another format"),
        ([{"version": 2}], "version 2"),
        ([{"sheet": "0" * 16}], "what was shown"),
        ([{"answers": [2, 0]}], "the answer 2, of 2"),
        ([{"answers": [True, 0]}], "the answer True"),
        ([{"answers": [1, 0, 1]}], "an answer to the picture 2"),
    ],
)
def test_answers_that_do_not_fit_are_told(files, told, tmp_path):
    paths = [written(tmp_path, "class", **{"items": ITEMS, "answers": [1, 0], **more}) for more in files]
    with pytest.raises(ValueError, match=f"(?s){told}"):
        sheet_scores(*paths)


def test_files_that_are_none(tmp_path):
    path = tmp_path / "no.json"
    with pytest.raises(FileNotFoundError):
        sheet_scores(path)
    for content in ("", "{", "[1]", '{"format": "innspect-answers", "version": 1}', "\x00\xff"):
        path.write_text(content, encoding="latin-1")
        with pytest.raises(innspect.UnreadableFileError, match=r"no\.json"):
            sheet_scores(path)


# ------------------------------------------------------------------ in a browser
DRIVE = """<script>addEventListener("load", () => {
  const seen = [...document.querySelectorAll("iframe")].map((frame) => {
    const page = frame.contentDocument, press = (key) => page.dispatchEvent(new KeyboardEvent("keydown", {key, bubbles: true}));
    const width = page.documentElement.scrollWidth, shown = [];
    const look = () => shown.push([...page.querySelectorAll("section")].filter((s) => !s.hidden).length);
    frame.dataset.keys.split(" ").forEach((key) => { look(); press(key); });
    page.querySelector("section[data-item]:not([hidden]) .answers button")?.click();
    page.querySelector("#rater").value = "Änn <b>";
    page.querySelector("#rater").dispatchEvent(new Event("input"));
    let link = null, made = null;
    frame.contentWindow.HTMLAnchorElement.prototype.click = function () { link = this.download; };
    frame.contentWindow.URL.createObjectURL = (blob) => { made = blob.size; return "blob:none"; };
    page.querySelector("#save").click();
    return {width, shown, link, made, text: page.querySelector("#text").value, end: !page.querySelector("#end").hidden};
  });
  document.title = btoa(unescape(encodeURIComponent(JSON.stringify(seen))));
});</script>"""


@pytest.mark.skipif(BROWSER is None, reason="no Chromium is installed")
def test_a_browser_answers(tmp_path):
    """By keys, back and forth, and with a click in the end; at the width of a desk and of a phone."""
    sheet(network(), X[:3], ["gradient"], tmp_path / "class.html", labels=["a long name of an ant " * 3, "bee", "cat"])
    sheet([network(), network(name="other")], X[:3], ["gradient"], tmp_path / "trust.html", "trust")
    sheet(network(), X[:3], ["gradient", "saliency"], tmp_path / "prefer.html", "prefer")
    frames = [
        f'<iframe src="{kind}.html" width="{width}" height="800" data-keys="{keys}"></iframe>'
        for kind, keys in (("class", "1 2 9 ArrowLeft 1"), ("trust", "5 ArrowRight ArrowLeft 1"), ("prefer", "3 2"))
        for width in (390, 1280)
    ]
    (tmp_path / "all.html").write_text(f"<title>none</title>{''.join(frames)}{DRIVE}", encoding="utf-8")
    command = [BROWSER, "--headless", "--no-sandbox", "--disable-gpu", "--allow-file-access-from-files"]
    command += [f"--user-data-dir={tmp_path / 'profile'}", "--dump-dom", f"file://{tmp_path / 'all.html'}"]
    result = subprocess.run(command, capture_output=True, text=True, timeout=60)
    seen = json.loads(base64.b64decode(re.search(r"<title>(.*?)</title>", result.stdout)[1]).decode())
    given = {"class": [0, 0, 0], "trust": [4, 0, 0], "prefer": [2, 1, 0]}
    for n, page in enumerate(seen):
        kind, width = list(given)[n // 2], (390, 1280)[n % 2]
        assert page["width"] <= width, kind
        assert set(page["shown"]) == {1}
        assert page["end"]
        content = json.loads(page["text"])
        assert page["link"] == f"answers_{content['sheet']}_Änn_b.json"
        assert page["made"] == len(page["text"].encode())
        assert [a["answer"] for a in content["answers"]] == given[kind]
        path = tmp_path / "answers.json"
        path.write_text(page["text"], encoding="utf-8")
        scores = sheet_scores(path)
        assert (scores.raters, scores.question, scores.pictures) == (["Änn <b>"], kind, 3)
        held, key = key_of((tmp_path / f"{kind}.html").read_text(encoding="utf-8"))
        assert content["key"] == held
        if kind == "class":
            right = np.mean([i["offered"][0] == i["target"] for i in key["items"]])
            assert scores.results["gradient"].mean == pytest.approx(right)
