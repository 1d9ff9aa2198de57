"""What a failed comparison says, and what it lets pass."""

import numpy as np
import pytest

from largemodels import check


def complaint(function, *arguments, **options):
    with pytest.raises(check.Mistake) as caught:
        function(*arguments, **options)
    return str(caught.value)


def test_the_message_says_what_was_computed_and_expected_and_where():
    wrong = np.array([[1.0, 2.0], [3.0, 4.5], [7.0, 6.0]])
    right = np.array([[1.0, 2.0], [3.0, 4.0], [5.0, 6.0]])
    assert complaint(check.close, wrong, right, name="linear(x)") == (
        "linear(x) is wrong: 2 of 6 numbers differ, the first at [1, 1].\n"
        "You computed 4.5, expected 4."
    )


def test_a_single_number_needs_no_index():
    assert complaint(check.close, 2.5, 2.0, name="loss") == (
        "loss is wrong.\nYou computed 2.5, expected 2."
    )


def test_enough_digits_are_shown_to_see_the_difference():
    text = complaint(check.close, 1.00000012, 1.0, name="loss", rtol=1e-9)
    assert "You computed 1.00000012, expected 1." in text


def test_a_wrong_shape_is_named_before_numbers():
    assert complaint(check.close, np.ones((2, 3)), np.ones(3), name="grad_bias").startswith(
        "grad_bias has the wrong shape.\nYou computed shape (2, 3), expected (3,)."
    )


@pytest.mark.parametrize(
    ("value", "says"),
    [
        (None, "loss is None, expected one number.\nDoes your function end with `return`?"),
        ({}, "loss is a dict, expected one number."),
        ((1.0, 2.0), "loss is a tuple of 2 values, expected one number."),
        ("1.0", "loss is a str, expected one number."),
        (np.array([None]), "loss is an array of dtype object, expected one number."),
        (abs, "loss is a builtin_function_or_method, expected one number."),
        ([[1.0], [2.0, 3.0]], "loss is a list of 2 values, expected one number."),
        (1j, "loss is a complex, expected one number."),
        (True, "loss holds True and False, expected numbers."),
    ],
)
def test_what_is_no_number_is_called_by_its_kind(value, says):
    assert complaint(check.close, value, 1.0, name="loss").startswith(says)


@pytest.mark.parametrize(
    "value",
    [
        [[1.0, 2.0, 3.0]],
        np.array([[1, 2, 3]]),
        np.array([[1, 2, 3]], dtype=np.float32),
        np.asfortranarray([[1.0, 2.0, 3.0]]),
        np.array([[3.0, 2.0, 1.0]])[:, ::-1],
    ],
)
def test_right_numbers_pass_in_any_container(value):
    check.close(value, np.array([[1.0, 2.0, 3.0]]))


def test_float32_is_given_its_own_precision():
    right = np.array([1 / 3, 1e4 / 3])
    check.close(right.astype(np.float32), right)
    check.close((1.00001 * right).astype(np.float32), right)
    complaint(check.close, 1.00001 * right, right)
    complaint(check.close, (1.001 * right).astype(np.float32), right)


def test_infinity_equals_itself_and_nothing_is_right_where_the_right_answer_is_nan():
    check.close([1.0, np.inf], [1.0, np.inf])
    assert "the right answer is undefined" in complaint(check.close, [np.nan], [np.nan])
    assert "You computed nan, expected 1." in complaint(check.close, [np.nan], [1.0])
    assert "You computed inf, expected -inf." in complaint(check.close, [np.inf], [-np.inf])


def test_an_object_that_claims_to_be_equal_does_not_pass():
    class Yes(float):
        def __eq__(self, other):
            return True

        __hash__ = float.__hash__

        def __sub__(self, other):
            return 0.0

        __rsub__ = __sub__

    complaint(check.close, Yes(3), 4.0)


def test_a_dictionary_is_compared_key_by_key():
    right = {"weight": np.ones((2, 3)), "bias": np.zeros(2)}
    check.close({"bias": np.zeros(2), "weight": np.ones((2, 3))}, right)
    text = complaint(
        check.close,
        {"weight": np.ones((2, 3)), "bias": np.ones(2)},
        right,
        name="gradients",
        slips={"bias": {"the bias moved.": np.ones(2)}, "weight": {"never.": np.ones((2, 3))}},
    )
    assert text.startswith("gradients['bias'] is wrong: 2 of 2 numbers differ")
    assert text.endswith("Likely cause: the bias moved.")


@pytest.mark.parametrize(
    ("value", "says"),
    [
        (None, "gradients is None, expected a dictionary."),
        ([], "gradients is a list of 0 values, expected a dictionary."),
        (3, "gradients is an int, expected a dictionary."),
        ({}, "gradients has the wrong keys: missing ['bias']."),
        ({"bias": 1.0, "b": 2.0}, "gradients has the wrong keys: not expected ['b']."),
    ],
)
def test_wrong_keys_are_named(value, says):
    assert complaint(check.close, value, {"bias": 1.0}, name="gradients").startswith(says)


def test_shape_looks_at_nothing_else():
    check.shape(np.zeros((5, 3)), (5, 3))
    assert complaint(check.shape, np.zeros((3, 5)), (5, 3), name="logits") == (
        "logits has the wrong shape.\nYou computed shape (3, 5), expected (5, 3)."
    )


def test_that_says_its_own_sentence():
    check.that(True, "never")
    assert complaint(check.that, 0.5 > 0.95, "Too low.") == "Too low."


@pytest.mark.parametrize(
    ("value", "says"),
    [
        (None, "Your function returned None."),
        (np.zeros(2), "Your function returned a single array of dtype float64."),
        ((1, 2, 3), "Your function returned 3 values."),
        ({"a": 1, "b": 2}, "Your function returned a single dict."),
    ],
)
def test_unpack_counts_the_values(value, says):
    text = complaint(check.unpack, value, "loss", "grad")
    assert text.startswith(says)
    assert "Expected 2 values, in this order: loss, grad." in text


def test_unpack_takes_a_list_for_a_tuple():
    assert check.unpack([1, 2], "loss", "grad") == (1, 2)


def double_in_place(x):
    x *= 2


def write_one_entry(x):
    x[1, 0] = 9


@pytest.mark.parametrize(
    ("slip", "says"),
    [
        (double_in_place, "x[0, 0] was 1 and is now 2"),
        (write_one_entry, "x[1, 0] was 3 and is now 9"),
    ],
)
def test_damage_to_an_input_is_found(slip, says):
    x = np.array([[1.0, 2.0], [3.0, 4.0]])

    def run():
        with check.unchanged(x=x):
            slip(x)

    assert says in complaint(run)


def test_the_smallest_damage_is_found_and_shown():
    parameters = {"weight": np.array([1.0, 0.0])}

    def run(value):
        with check.unchanged(parameters=parameters):
            parameters["weight"][1] = value

    assert "parameters['weight'][1] was 0 and is now -0" in complaint(run, -0.0)
    parameters["weight"][1] = 1.0
    text = complaint(run, np.nextafter(1.0, 2.0))
    assert "was 1 and is now 1.0000000000000002" in text


def test_inputs_that_stay_as_they_are_pass_even_with_nan():
    x = np.array([np.nan, 1.0])
    with check.unchanged(x=x):
        x + 1


def test_an_error_inside_unchanged_comes_through():
    with pytest.raises(ZeroDivisionError), check.unchanged(x=np.ones(1)):
        raise ZeroDivisionError
