"""Values come out of the chart as the TOML that means the same."""

import tomllib
from typing import Any

import yaml
from hypothesis import Phase, given, settings
from hypothesis import strategies as st

from tests.chart.chart import CHART, MIRROR, NAME, NAMESPACE, helm

TEXT = st.text(
    st.characters(exclude_categories=("Cc", "Cf", "Cn", "Co", "Cs", "Zl", "Zp"))
    | st.sampled_from("\n\t\x7f\"'\\{}[]=#"),
    max_size=20,
)
EXACT = 2**53  # what any number in JSON keeps its last digit up to
SCALAR = (
    st.booleans() | st.integers(-EXACT, EXACT) | st.floats(-EXACT, EXACT, allow_nan=False) | TEXT
)
TABLE = st.recursive(
    st.dictionaries(TEXT, SCALAR | st.lists(SCALAR, max_size=3), max_size=4),
    lambda tables: st.dictionaries(
        TEXT, SCALAR | tables | st.lists(tables, max_size=3), max_size=4
    ),
    max_leaves=6,
)


def written(table: dict[str, Any]) -> Any:
    """Return what the settings file in the ConfigMap says of a table of ``config``."""
    with helm().Chart.load(CHART) as chart:
        texts = chart.render({"config": {"x": table}}, name=NAME, namespace=NAMESPACE)
    document = yaml.safe_load(texts["sigmirror/templates/configmap.yaml"])
    assert document["metadata"]["name"] == MIRROR
    return tomllib.loads(document["data"]["sigmirror.toml"])["x"]


@settings(max_examples=60, phases=[Phase.explicit, Phase.reuse, Phase.generate])
@given(TABLE)
def test_any_table_of_values_means_the_same_in_the_settings(table: dict[str, Any]) -> None:
    assert written(table) == table


def test_a_value_without_content_leaves_its_default() -> None:
    assert written({"a": None, "b": {"c": None}}) == {"b": {}}
