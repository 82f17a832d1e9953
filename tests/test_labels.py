"""Names of neurons: every form they come in is read, and a person finds one by what she calls it."""

import copy
import json
import pickle

import numpy as np
import pytest

from innspect.files import UnreadableFileError
from innspect.labels import Labels, name_of, read

CATS = ["tabby, tabby cat", "tiger cat", "tiger, Panthera tigris", "crane", "crane", "Egyptian_cat", "tiger shark"]


# ---------------------------------------------------------------------- found by name
@pytest.mark.parametrize(
    ("word", "number"),
    [
        ("tabby", 0),
        ("TABBY CAT", 0),
        ("tabby, tabby cat", 0),
        ("tab", 0),
        ("tiger", 2),  # a synonym, whatever others begin so
        ("tiger c", 1),
        ("panthera", 2),
        ("egyptian cat", 5),
        ("  Tiger   Shark ", 6),
        ("tiger_shark", 6),
    ],
)
def test_a_name_a_synonym_or_a_beginning_that_one_has_finds_it(word, number):
    assert Labels(CATS).find(word) == number


@pytest.mark.parametrize(("word", "numbers"), [("crane", "3 'crane', 4 'crane'"), ("t", "0 .*1 .*2 .*6 "), ("TIGER_", None)])
def test_what_several_are_called_lists_their_numbers(word, numbers):
    if numbers is None:
        assert Labels(CATS).find(word) == 2
        return
    with pytest.raises(ValueError, match=f"Several labels are '{word}'.*{numbers}"):
        Labels(CATS).find(word)


def test_what_none_is_called_offers_near_names():
    with pytest.raises(ValueError, match=r"No label is 'taby'.*'tabby'"):
        Labels(CATS).find("taby")


@pytest.mark.parametrize("word", ["", "  ", "_", None, 3])
def test_a_word_must_say_something(word):
    with pytest.raises(ValueError, match="not empty"):
        Labels(CATS).find(word)


def test_doubled_names_are_told_apart():
    labels = Labels(CATS)
    assert [labels.named(i) for i in (0, 3, 4)] == ["tabby, tabby cat", "crane (3)", "crane (4)"]
    assert [labels.short(i) for i in (0, 2, 4)] == ["tabby", "tiger", "crane (4)"]
    assert [name_of(3, labels), name_of(3, None)] == ["crane (3)", "output 3"]


def test_copies_are_equal():
    labels = Labels(["a", "b"], "names.txt")
    for other in (copy.copy(labels), copy.deepcopy(labels), pickle.loads(pickle.dumps(labels))):
        assert type(other) is Labels
        assert (other, other.file) == (labels, "names.txt")


# ---------------------------------------------------------------------- read
def decode(predictions, top=5):
    """As those of `keras.applications`."""
    best = np.argsort(-predictions, axis=1)[:, :top]
    return [[(f"n{i:08d}", "abc"[i], row[i]) for i in indices] for row, indices in zip(predictions, best, strict=True)]


FORMS = [
    ["a", "b", "c"],
    ("a", "b", "c"),
    np.array(["a", "b", "c"]),
    {0: "a", 2: "c", 1: "b"},
    {"0": "a", "1": "b", "2": "c"},
    {"c": 2, "a": 0, "b": 1},  # `class_indices` of Keras
    {"0": ["n00000001", "a"], "1": ["n00000002", "b"], "2": ["n00000003", "c"]},  # imagenet_class_index.json
    [["n00000001", "a"], ["n00000002", "b"], ["n00000003", "c"]],
]


@pytest.mark.parametrize("given", [*FORMS, decode], ids=range(len(FORMS) + 1))
def test_every_form_is_read(given):
    assert read(given, 3) == ("a", "b", "c")


@pytest.mark.parametrize("given", [f for f in FORMS if isinstance(f, list | dict)], ids=str)
@pytest.mark.parametrize("name", ["labels.json", "labels.txt"])
def test_every_form_is_read_from_json(given, name, tmp_path):
    (tmp_path / name).write_text(json.dumps(given, indent=1))
    assert read(tmp_path / name, 3) == ("a", "b", "c")


def test_synonyms_may_be_lists():
    assert read([["tabby", "tabby cat"], ["crane"]]) == ("tabby, tabby cat", "crane")


def test_none_are_none():
    assert read(None, 3) is None


@pytest.mark.parametrize(
    "content", [b"a\nb\nc\n", b"a\nb\nc", b"a\r\nb\r\nc\r\n", b"a\rb\rc\r", b"\xef\xbb\xbfa\n b \nc\n"], ids=repr
)
def test_text_has_a_name_a_line(content, tmp_path):
    (tmp_path / "labels.txt").write_bytes(content)
    assert read(str(tmp_path / "labels.txt"), 3) == ("a", "b", "c")


def test_ids_of_wordnet_are_no_names(tmp_path):
    (tmp_path / "synset_words.txt").write_text("n01440764 tench, Tinca tinca\nn01443537\tgoldfish\n")
    assert read(tmp_path / "synset_words.txt") == ("tench, Tinca tinca", "goldfish")


def test_a_name_may_begin_with_a_bracket(tmp_path):
    (tmp_path / "labels.txt").write_text("[PAD]\n[UNK]\n")
    assert read(tmp_path / "labels.txt") == ("[PAD]", "[UNK]")


def test_names_may_be_digits(tmp_path):
    (tmp_path / "labels.txt").write_text("0\n1\n2\n")
    assert read(tmp_path / "labels.txt").find("2") == 2


# ---------------------------------------------------------------------- refused
@pytest.mark.parametrize(
    ("content", "told"),
    [
        (b"a\n\nc\n", "'' in line 2"),
        (b"a\nb\nc\n\n", "'' in line 4"),
        (b"", "'' in line 1"),
        (b"a\nb\nc\nd\n", "expected 3 names.*Received: 4, the first too many 'd' in line 4"),
        (b"a\nb\n", "expected 3 names.*Received: 2, the last 'b' in line 2"),
        (b"a\nb\xff\nc\n", "text in UTF-8.*in line 2"),
        (b"a\nb\0\nc\n", "zero byte in line 2"),
        (b"0,a\n1,b\n2,c\n", "names alone.*'0,a' in line 1"),
        (b'"0": a\n"1": b\n"2": c\n', "names alone.*in line 1"),
        (b"a,0\nb,1\nc,2\n", "names alone.*'a,0' in line 1"),
        (b"0\ta\n1\tb\n2\tc\n", "names alone.*in line 1"),
        (b'{"classes": ["a", "b", "c"]}', "'classes' for"),
        (b"{0: 'a',\n 1: 'b',\n 2: 'c'}", "JSON.*in line 1"),
        (b'{"0": "a",\n "1": "b"\n "2": "c"}', "JSON.*in line 3"),
        (b'{"0": "a", "2": "c", "3": "d"}', "from 0 to 2 once.*none for 1"),
        (b'["a", "", "c"]', "'' at 1"),
        (b'["a", null, "c"]', "None at 1"),
        (b'["a", "b"]', "3 names.*Received: 2, the last 'b' at 1"),
        (b"\x89PNG\r\n\x1a\n", "in line 1"),
    ],
    ids=repr,
)
def test_another_file_is_refused_with_its_line(content, told, tmp_path):
    path = tmp_path / "labels.txt"
    path.write_bytes(content)
    with pytest.raises(UnreadableFileError, match=f"labels.txt' holds no labels: .*{told}"):
        read(path, 3)


@pytest.mark.parametrize(
    ("given", "told"),
    [
        ([], "at least one name.*Received: none"),
        (["a", " ", "c"], "not empty.*'' at 1"),
        (["a", 2, "c"], "2 at 1"),
        (["a", "b"], "3 names.*Received: 2, the last 'b' at 1"),
        ([*"abcd"], "3 names.*Received: 4, the first too many 'd' at 3"),
        ({0: "a", 1: "b", 3: "c"}, "from 0 to 2 once.*none for 2"),
        ({0: "a", "0": "b"}, "once.*'0' for 'b'"),
        ({"a": "b"}, "once.*'a' for 'b'"),
        (3, "a list, a dict, a file or a function.*Received: 3"),
        (b"abc", "Received: b'abc'"),
        (lambda x, top: [[("n00000001", "a", 1.0)]], "each of 3 predictions.*Received: 1 answers"),
    ],
)
def test_other_lists_are_refused_with_the_place(given, told):
    with pytest.raises(ValueError, match=f"`labels` must hold .*{told}"):
        read(given, 3)


def test_there_must_be_a_file(tmp_path):
    with pytest.raises(FileNotFoundError, match="no file"):
        read(tmp_path / "none.txt")
