"""The second factor: codes of an authenticator app (TOTP, RFC 6238), each valid once."""

from __future__ import annotations

_STEP_S = 30
_AROUND = 1  # steps before and after that are accepted too, because clocks differ


def new_secret() -> str:
    """A secret for an authenticator app."""
    import pyotp  # in the plugin's own environment

    return pyotp.random_base32()


def uri_of(secret: str, user: str, host: str) -> str:
    """What authenticator apps read: "otpauth://totp/..."."""
    import pyotp

    return pyotp.TOTP(secret).provisioning_uri(name=user, issuer_name=host)


def step_of(secret: str, code: str, now: float) -> int | None:
    """The time step of a code; None if the code is not valid now."""
    import pyotp

    digits = "".join(code.split())
    made, step = pyotp.TOTP(secret), int(now) // _STEP_S
    for each in range(step - _AROUND, step + _AROUND + 1):
        if len(digits) == 6 and digits.isascii() and _is_equal(made.generate_otp(each), digits):
            return each
    return None


def _is_equal(one: str, other: str) -> bool:
    import hmac

    return hmac.compare_digest(one, other)
