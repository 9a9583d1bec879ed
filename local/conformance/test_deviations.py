"""The table of moto's deviations."""

from deviations import MOTO


def test_every_line_names_a_test(pytestconfig):
    assert MOTO.keys() <= pytestconfig.known_names
