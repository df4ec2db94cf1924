"""How the tests are shared out between processes."""

import pytest


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Tests of one file stay together, for they share what is compiled and fitted; tutorials share nothing."""
    for item in items:
        if item.path.name != "test_documents.py":
            item.add_marker(pytest.mark.xdist_group(str(item.path)))
