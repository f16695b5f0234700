"""What must be there before a vendor's file is believed."""

import pytest

from keys.errors import SignatureError
from keys.model.release import Assurance
from keys.trust.vendor.policy import Required, required
from keys.trust.vendor.verdict import Verdict

LEGACY = Verdict("cvd", Assurance.signed)
SIGN = Verdict("clamsign", Assurance.signed)


@pytest.mark.parametrize(
    ("demand", "legacy", "sign"),
    [
        ("legacy", LEGACY, None),
        ("legacy", LEGACY, SIGN),
        ("sign", None, SIGN),
        ("sign", LEGACY, SIGN),
        ("both", LEGACY, SIGN),
    ],
)
def test_a_file_with_what_is_demanded_keeps_all_it_has(
    demand: Required, legacy: Verdict | None, sign: Verdict | None
) -> None:
    found = required("daily.cvd", legacy=legacy, sign=sign, demand=demand)
    assert found == tuple(one for one in (sign, legacy) if one)


@pytest.mark.parametrize("demand", ["sign", "both"])
def test_a_stripped_sign_file_is_refused_where_one_is_demanded(demand: Required) -> None:
    with pytest.raises(SignatureError, match=r"^daily\.cvd: there is no \.sign file") as refused:
        required("daily.cvd", legacy=LEGACY, sign=None, demand=demand)
    assert "stripped" in str(refused.value)
    assert "signatures" in refused.value.hint


@pytest.mark.parametrize("demand", ["legacy", "both"])
def test_a_missing_legacy_signature_is_refused_where_one_is_demanded(demand: Required) -> None:
    with pytest.raises(SignatureError, match="no signature of the older kind"):
        required("daily.cvd", legacy=None, sign=SIGN, demand=demand)
