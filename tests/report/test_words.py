import pytest

from counterplay.report import words


def test_a_metric_loses_its_protocol_in_its_short_name_and_keeps_it_in_its_title():
    name = "valid_frechet_classifier_2048"
    assert words.metric_name(name) == "Fréchet distance"
    assert (
        words.metric_title(name)
        == "Fréchet distance (validation; classifier, 2,048 samples)"
    )
    assert words.metric_part(name) == "valid"


def test_options_stay_in_the_title():
    title = words.metric_title("test_recall_my_net_512_k_3")
    assert title == "recall (test; my net, 512 samples, k 3)"


def test_the_longest_known_name_wins():
    assert (
        words.metric_name("test_log_inception_score_classifier_64") == "log inception score"
    )


def test_an_unknown_metric_is_spelled_out():
    assert words.metric_title("loss_D_512") == "loss D 512"
    assert words.metric_part("validity") == ""


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (0.0, "0.00"),
        (-0.01234, "\u22120.0123"),
        (1.3, "1.30"),
        (100.0, "100"),
        (1234.5, "1,234"),
        (-2.5e-7, "\u22122.50\u2009\u00d7\u200910⁻⁷"),
        (3e11, "3.00\u2009\u00d7\u200910¹¹"),
    ],
)
def test_numbers_have_three_digits_and_a_real_minus(value, text):
    assert words.number(value) == text


def test_a_signed_number_shows_its_plus():
    assert words.number(0.5, signed=True) == "+0.500"


def test_ticks_are_as_short_as_they_can_be():
    assert [words.tick(v) for v in (0, 0.30000000000000004, 1500, 2e-7)] == [
        "0", "0.3", "1,500", "2\u2009\u00d7\u200910⁻⁷",
    ]  # fmt: skip


def test_tiny_p_values_are_bounds():
    assert (words.p_value(0.0004), words.p_value(0.0132)) == ("< 0.001", "0.013")


def test_an_effect_says_its_direction_in_words():
    assert words.effect(0.02, "valid_recall_identity_64") == "improves the recall by 0.0200"
    assert words.effect(-0.02, "valid_recall_identity_64") == "worsens the recall by 0.0200"


def test_backticks_become_code_and_markup_is_escaped():
    assert words.coded("use `<b>` & wait") == "use <code>&lt;b&gt;</code> &amp; wait"


def test_counts_know_their_plural():
    assert (words.count(1, "seed"), words.count(1078, "instance")) == (
        "1 seed",
        "1,078 instances",
    )
    assert words.count(2, "stretch") == "2 stretches"


def test_an_averaged_influence_keeps_its_way():
    name = "influence on valid_frechet_classifier_1024 along removal"
    assert words.method_name(name) == "influence on Fréchet distance along removal"
