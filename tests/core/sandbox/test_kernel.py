"""What each ABI version of Landlock can refuse."""

import pytest

from buntime.core.sandbox.kernel import (
    OF_FILES,
    RUN,
    USE,
    WRITE,
    Access,
    Kernel,
    acts,
    binds_are_ruled,
    handled,
    ruleset,
)


@pytest.mark.parametrize("abi", range(8))
def test_only_what_the_kernel_knows_is_asked_for(abi: int) -> None:
    """A ruleset has only fields and bits that this ABI knows."""
    kernel = Kernel(abi)
    assert kernel.is_fit == (abi >= 3)
    if not kernel.is_fit:
        return
    sizes = {3: 8, 4: 16, 5: 16, 6: 24, 7: 24}
    made = ruleset(kernel, is_strict=True)
    assert len(made) == sizes[abi]
    words = [int.from_bytes(made[at : at + 8], "little") for at in range(0, len(made), 8)]
    assert words[0] == ((1 << 15) - 1 if abi < 5 else (1 << 16) - 1)
    assert words[1:] == {8: [], 16: [1], 24: [1, 3]}[len(made)]
    assert binds_are_ruled(kernel) == (abi >= 4)


def test_abstract_sockets_are_closed_when_strict() -> None:
    """Signals to others are always refused, abstract sockets of others only by `strict`."""
    assert ruleset(Kernel(6), is_strict=False)[16] == 2


def test_no_rule_allows_device_files_to_be_made() -> None:
    """No rule allows creating device files: root could create the disk's and read it."""
    assert not (RUN | WRITE | USE) & (Access.MAKE_CHAR | Access.MAKE_BLOCK)


def test_rights_of_files() -> None:
    """Rights for files contain none that only folders can have."""
    assert Access.READ_FILE & OF_FILES
    assert not OF_FILES & (Access.READ_DIR | Access.REFER | Access.MAKE_REG)
    assert handled(Kernel(3)) & OF_FILES == OF_FILES & ~Access.IOCTL_DEV


def test_acts_are_told_in_words() -> None:
    """What the sandbox restricts is named in words for the log, doctor and the API."""
    assert acts(Kernel(2), filters=True) == ()
    assert acts(Kernel(3), filters=False) == ("files", "processes")
    assert acts(Kernel(7), filters=True) == (
        *("files", "processes", "ports", "devices", "signals", "system calls"),
    )
