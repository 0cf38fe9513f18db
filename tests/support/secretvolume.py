"""A folder as kubelet mounts a Secret: links to links, changed by one rename."""

from __future__ import annotations

import os
from pathlib import Path


def mount(folder: Path, generation: str, **files: str) -> None:
    """Mount a Secret as kubelet does, or its next generation over it."""
    own = folder / f"..{generation}"
    own.mkdir(parents=True)
    for name, text in files.items():
        (own / name).write_text(text)
        (own / name).chmod(0o440)
        if not (folder / name).is_symlink():
            (folder / name).symlink_to(f"..data/{name}")
    (folder / "..fresh").symlink_to(own.name)
    os.rename(folder / "..fresh", folder / "..data")
