"""What is required is used: each distribution of the list is imported by the product."""

from __future__ import annotations

import re
import tomllib
from importlib.metadata import packages_distributions

from tests.test_tidy import ROOT, imports, sources

#: Required for another reason than an import, which is told.
NOT_IMPORTED = {"tzdata": "the time zones of `zoneinfo`, which slim images do not have"}


def test_required_distributions_are_imported() -> None:
    """A library that nothing imports waits in an extra until its room exists."""
    required = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["dependencies"]
    names = {re.split(r"[\[<>=]", text)[0] for text in required}
    owners = packages_distributions()
    used = {
        distribution.lower().replace("_", "-")
        for path in sources()
        if not path.is_relative_to(ROOT / "loadtests")
        for module in imports(path)
        for distribution in owners.get(module.partition(".")[0], [])
    }
    assert set(NOT_IMPORTED) == names - used
