"""Collected only by `python3 build.py test --kubernetes`, and skipped without a cluster."""

from __future__ import annotations

import os
from collections.abc import Iterator

import pytest

from tests.kubernetes.cluster import Cluster

collect_ignore_glob = [] if os.environ.get("CLUSTER_TOOLS") else ["test_*.py"]


@pytest.fixture(scope="session")
def cluster() -> Iterator[Cluster]:
    """A new namespace in the cluster of KUBECONFIG, which is deleted at the end."""
    if not os.environ.get("KUBECONFIG"):
        pytest.skip("no cluster: set KUBECONFIG to the file of one, which nobody needs")
    cluster = Cluster.of_environment()
    cluster.begin()
    try:
        yield cluster
    finally:
        cluster.end()
