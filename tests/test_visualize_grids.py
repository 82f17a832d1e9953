"""Grids of maps: what they say, where, and what is drawn in them."""

import sys

import matplotlib
import matplotlib.backends.backend_agg
import numpy as np
import pytest
from pictures import BLUE, RED, WHITE, maps, shown, texts
from PIL import Image

from innspect.visualize import grid, heatmap, signal

NAMES = ("gradient", "lrp.epsilon", "lrp.sequential_preset_b_flat_until_idx", "deep_taylor.bounded", "input")


# ---------------------------------------------------------------------- texts
def full():
    return grid(
        maps(NAMES),
        images=np.zeros((3, 8, 8, 1)),
        captions=["0  99%", "1  98%", "2  51% (is 7)"],
        captions_label="prediction",
        families={"gradient": ["gradient"], "a family with a long name": ["lrp.epsilon"], "other": NAMES[3:]},
    )


def test_a_grid_names_everything():
    written = " ".join("".join(t.split("\n")) for t, _ in texts(full()))
    for word in [*NAMES, "prediction", "0  99%", "2  51% (is 7)", "negative", "positive"]:
        assert word in written


def test_everything_is_inside_the_grid():
    figure = full()
    written, page = texts(figure), figure.bbox
    for name, box in written:
        inside = box.x0 >= 0 and box.y0 >= 0 and box.x1 <= page.x1 and box.y1 <= page.y1
        assert inside, name


def test_a_narrow_grid_has_room_for_its_legend():
    figure = grid(maps(["a"]))
    for name, box in texts(figure):
        assert box.x1 <= figure.bbox.x1, name


def test_upright_texts_of_a_grid_do_not_overlap():
    families = {f"family number {i}": [name] for i, name in enumerate(NAMES)}
    figure = grid(maps(NAMES), captions=["a long caption indeed"] * 3, captions_label="prediction", families=families)
    matplotlib.backends.backend_agg.FigureCanvasAgg(figure)
    figure.canvas.draw()
    upright = [t for t in figure.axes[0].texts if not t.get_rotation()]
    boxes = [(t.get_text(), t.get_window_extent()) for t in upright]
    for i, (one, a) in enumerate(boxes):
        for other, b in boxes[i + 1 :]:
            assert not (a.x0 < b.x1 and b.x0 < a.x1 and a.y0 < b.y1 and b.y0 < a.y1), (one, other)


def test_names_stand_upright_where_every_column_is_wide_enough():
    def names_of(cell):
        figure = grid(maps(NAMES), captions=["two\nlines"] * 3, cell=cell)
        found = {t.get_text().replace("\n", ""): t for t in figure.axes[0].texts}
        boxes = {name: box for name, box in texts(figure)}
        assert all(
            box.x0 >= 0 and box.x1 <= figure.bbox.x1 and box.y0 >= 0 and box.y1 <= figure.bbox.y1 for box in boxes.values()
        )
        return {found[name].get_rotation() for name in NAMES}

    assert names_of(0.55) == {50}
    assert names_of(2.0) == {0}


def test_captions_of_several_lines_take_the_room_of_the_longest():
    one, several = (grid(maps(NAMES), captions=[text] * 3) for text in ("a caption of words", "a caption\nof words"))
    assert several.get_figwidth() < one.get_figwidth()


def test_palettes_of_a_grid_have_their_legends():
    figure = grid({name: np.ones((1, 4, 4)) for name in "ab"}, palette={"b": "heat"}, ground="dark")
    assert {"negative", "least"} <= {word for word, _ in texts(figure)}


# ---------------------------------------------------------------------- pictures
def test_the_cells_of_a_grid_are_the_heatmaps_in_order():
    two = maps(["a", "b"], samples=2)
    cells = shown(grid(two, images=np.arange(2 * 64).reshape(2, 8, 8).astype("float32")))
    assert np.array_equal(cells[2], heatmap(two["a"])[0])
    assert np.array_equal(cells[5], heatmap(two["b"])[1])


def test_the_images_of_a_grid_come_first_between_black_and_white():
    cells = shown(grid(maps(["a", "b"], samples=2), images=np.arange(2 * 64).reshape(2, 8, 8).astype("float32")))
    assert cells[0][0, 0].tolist() == [0, 0, 0]
    assert cells[1][-1, -1].tolist() == [255, 255, 255]


def test_a_grid_has_a_palette_for_each_map_and_one_ground():
    figure = grid({name: np.ones((1, 4, 4)) for name in "ab"}, palette={"b": "heat"}, ground="dark")
    assert np.array_equal(shown(figure)[1], heatmap(np.ones((1, 4, 4)), palette="heat", ground="dark")[0])
    assert figure.get_facecolor()[:3] == (17 / 255,) * 3


def test_pictures_in_a_grid_are_drawn_as_they_are():
    picture = signal(np.ones((1, 4, 4)))
    figure = grid({"a": np.ones((1, 4, 4)), "c": picture}, ground="dark")
    assert np.array_equal(shown(figure)[1], picture[0])


WIDE_AND_TALL = {"wide": np.ones((1, 4, 12)), "tall": -np.ones((1, 12, 4, 3))}


def test_a_grid_can_be_saved(tmp_path):
    grid(WIDE_AND_TALL, images=np.zeros((1, 5, 5, 3), "uint8")).savefig(tmp_path / "grid.png", dpi=80)
    with Image.open(tmp_path / "grid.png") as picture:
        colours = {c[:3] for _, c in picture.getcolors(1 << 20)}
    assert {WHITE, RED, BLUE, (0, 0, 0)} <= colours


def test_a_grid_changes_no_setting(tmp_path):
    before = dict(matplotlib.rcParams)
    grid(WIDE_AND_TALL, images=np.zeros((1, 5, 5, 3), "uint8")).savefig(tmp_path / "grid.png", dpi=80)
    assert dict(matplotlib.rcParams) == before


# ---------------------------------------------------------------------- refusals
@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"maps": {}}, "`maps` must hold at least one map"),
        ({"maps": {"a": np.zeros((0, 8, 8))}}, "at least one sample"),
        ({"maps": {"a": np.zeros((2, 8, 8)), "b": np.zeros((3, 8, 8))}}, "same number of samples.*'b': 3"),
        ({"maps": {"a": np.zeros((2, 8, 8))}, "captions": ["one"]}, "`captions` must be a list of 2 texts"),
        ({"maps": {"a": np.zeros((2, 8, 8))}, "images": np.zeros((2, 8, 8, 2))}, "`images` must have the shape"),
        ({"maps": {"a": np.zeros((2, 8, 8))}, "families": {"f": ["b"]}}, r"`families` must hold lists of labels.*\['b'\]"),
    ],
)
def test_bad_grids_are_named(arguments, message):
    with pytest.raises(ValueError, match=message):
        grid(**arguments)


def test_a_grid_without_matplotlib_says_what_to_install(monkeypatch):
    for name in ("matplotlib.figure", "matplotlib.textpath"):
        monkeypatch.setitem(sys.modules, name, None)
    with pytest.raises(ImportError, match="pip install matplotlib"):
        grid(maps(["a"]))
