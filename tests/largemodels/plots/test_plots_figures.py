"""What the shared figures show, and what they refuse."""

from types import SimpleNamespace

import numpy as np
import pytest

from largemodels import plots

HISTORY = {
    "loss": [2.0, 1.0, 0.5],
    "validation_loss": [2.1, 1.2, 0.9],
    "accuracy": [0.3, 0.6, 0.9],
    "validation_accuracy": [0.2, 0.5, 0.8],
}


def lines(axes) -> dict[str, list[float]]:
    return {line.get_label(): line.get_ydata().tolist() for line in axes.lines}


@pytest.mark.parametrize("kind", [dict, lambda h: SimpleNamespace(**h, seconds=[1, 1, 1])])
def test_learning_curves_show_loss_and_accuracy_in_percent(kind):
    loss, accuracy = plots.learning_curves(kind(HISTORY)).axes
    assert lines(loss) == {"training": [2.0, 1.0, 0.5], "validation": [2.1, 1.2, 0.9]}
    assert lines(accuracy) == {"training": [30, 60, 90], "validation": [20, 50, 80]}
    assert loss.lines[0].get_xdata().tolist() == [1, 2, 3]
    assert [axes.get_xlabel() for axes in (loss, accuracy)] == ["epoch", "epoch"]
    assert accuracy.get_ylabel() == "accuracy (%)"


def test_learning_curves_without_accuracy_have_one_panel():
    (axes,) = plots.learning_curves({"loss": [1, 2], "accuracy": [], "validation_loss": None}).axes
    assert list(lines(axes)) == ["training"]


def test_learning_curves_compare_runs_in_different_colors():
    (axes,) = plots.learning_curves({"SGD": {"loss": [2, 1]}, "Adam": {"loss": [1, 0]}}).axes
    assert lines(axes) == {"SGD, training": [2, 1], "Adam, training": [1, 0]}
    assert len({line.get_color() for line in axes.lines}) == 2
    labels = [text.get_text() for text in axes.get_legend().get_texts()]
    assert labels == ["SGD, training", "Adam, training"]


def test_a_single_epoch_is_a_visible_point():
    (axes,) = plots.learning_curves({"loss": [1.0]}).axes
    assert axes.lines[0].get_marker() == "o"


@pytest.mark.parametrize(
    ("history", "message"),
    [
        ({}, "at least one run"),
        ({"loss": []}, "at least one epoch"),
        ({"SGD": {"accuracy": [1]}}, r"`history\['SGD'\]`"),
        ({"loss": [1, 2], "validation_loss": [1]}, "'validation_loss': 1"),
    ],
)
def test_learning_curves_refuse_what_they_cannot_draw(history, message):
    with pytest.raises(ValueError, match=message):
        plots.learning_curves(history)


def test_image_grid_shows_the_very_pixels_on_one_scale():
    images = np.arange(3 * 2 * 4).reshape(3, 2, 4)
    fig = plots.image_grid(images, titles="abc", columns=2)
    for axes, image, title in zip(fig.axes, images, "abc", strict=True):
        (shown,) = axes.images
        np.testing.assert_array_equal(shown.get_array(), image)
        assert shown.get_clim() == (0, 23)
        assert axes.get_title() == title
    rows = {axes.get_subplotspec().rowspan.start for axes in fig.axes}
    assert rows == {0, 1}


def test_image_grid_shows_color():
    image = np.zeros((1, 2, 2, 3), dtype=np.uint8)
    image[..., 0] = 255
    (axes,) = plots.image_grid(image).axes
    np.testing.assert_array_equal(axes.images[0].get_array(), image[0])


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"images": np.zeros((3, 4))}, r"\(3, 4\)"),
        ({"images": np.zeros((0, 4, 4))}, "N at least 1"),
        ({"images": np.zeros((2, 4, 4, 2))}, r"\(2, 4, 4, 2\)"),
        ({"images": np.zeros((2, 4, 4)), "titles": ["one"]}, "all 2 images"),
        ({"images": np.zeros((2, 4, 4)), "columns": 0}, r"`columns` \(=0\)"),
    ],
)
def test_image_grid_refuses_what_it_cannot_show(arguments, message):
    with pytest.raises(ValueError, match=message):
        plots.image_grid(**arguments)


def test_weight_images_tell_sign_by_color_and_size_by_opacity():
    weight = np.array([[2.0, -1.0, 0.0, 0.5, -2.0, 1.0], [0.0] * 6])
    fig = plots.weight_images(weight, shape=(2, 3))
    image = np.asarray(fig.axes[0].images[0].get_array())
    assert image.shape == (2, 3, 4)
    np.testing.assert_allclose(image[..., 3], [[1, 0.5, 0], [0.25, 1, 0.5]])
    blue, vermillion = image[0, 0, :3], image[0, 1, :3]
    assert blue[2] > blue[0]
    assert vermillion[0] > vermillion[2]
    np.testing.assert_array_equal(image[1, 1, :3], vermillion)
    # A dead unit is blank, not a division by zero.
    assert not np.asarray(fig.axes[1].images[0].get_array())[..., 3].any()


def test_weight_images_refuse_a_shape_that_does_not_fit():
    with pytest.raises(ValueError, match=r"\(2, 6\).*\(units, 4\)"):
        plots.weight_images(np.zeros((2, 6)), shape=(2, 2))


def test_confusion_matrix_counts_true_in_rows_and_predicted_in_columns():
    true = np.array([0, 0, 0, 1, 2, 2], dtype=np.uint8)
    predicted = np.array([0, 0, 2, 1, 1, 2], dtype=np.uint8)
    (axes,) = plots.confusion_matrix(true, predicted, ["cat", "dog", "hen"]).axes
    # The position of a text is (column, row).
    counts = {text.get_position(): text.get_text() for text in axes.texts}
    assert counts == {(0, 0): "2", (2, 0): "1", (1, 1): "1", (1, 2): "1", (2, 2): "1"}
    assert [label.get_text() for label in axes.get_yticklabels()] == ["cat", "dog", "hen"]
    assert axes.get_ylabel() == "true class"


def test_confusion_matrix_does_not_overflow_small_integers():
    classes = np.arange(20, dtype=np.uint8)
    (axes,) = plots.confusion_matrix(classes, classes).axes
    assert [text.get_position() for text in axes.texts] == [(i, i) for i in range(20)]


@pytest.mark.parametrize(
    ("true", "predicted", "names", "message"),
    [
        ([0, 1], [0], None, r"\(2,\).*\(1,\)"),
        ([], [], None, "N at least 1"),
        ([0.5], [0], None, "`y_true` .*float64"),
        ([0], [-1], None, "`y_pred`"),
        ([0, 2], [0, 1], ["a", "b"], "class 2 has no name"),
    ],
)
def test_confusion_matrix_refuses_what_it_cannot_count(true, predicted, names, message):
    with pytest.raises(ValueError, match=message):
        plots.confusion_matrix(true, predicted, names)
