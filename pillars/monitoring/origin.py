"""What a registered version says that it was made from. Nothing here reads its boosters."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from typing import Any

from pillars.bundle.folder import MANIFEST
from pillars.errors import BundleRefused, StoreUnavailable
from pillars.monitoring import lineage, packaging, registry
from pillars.stores import Stores
from pillars.vocabulary import Origin, Recipe


def tags_of(lineage_of_bundle: Mapping[str, Any]) -> dict[str, str]:
    """What of a bundle's lineage goes to its version's tags: the run may be deleted, and the files of the model, too."""
    said = {name: str(lineage_of_bundle.get(name, "")) for name in ("config", "commit", "dirty", "patch", "code")}
    said |= {name: str(lineage_of_bundle[name]) for name in ("engine", "device", "ends") if name in lineage_of_bundle}
    around = lineage.environment(lineage_of_bundle)
    packages = {name: value for name, value in around.items() if name.startswith("package.")}
    plain = {name: str(value) for name, value in around.items() if name not in packages}
    return {**said, **plain, "packages": json.dumps(packages, sort_keys=True)}


def read(stores: Stores, project_name: str, version: int) -> Origin:
    """A version's origin: by its tags, and where they are silent (an earlier release) by its bundle's manifest.

    Raises:
        UnknownName: there is no such version.
        BundleRefused: its tags were edited into what is no lineage.
        StoreUnavailable: MLflow does not answer.
    """
    tags = registry.tags(stores, project_name, version)
    kept = _manifest(stores, project_name, version)
    said = {**kept, **tags}
    try:
        packages = json.loads(tags.get("packages") or "{}")
        return Origin(
            project=project_name,
            version=version,
            sha256=tags.get(registry.SHA256, ""),
            data_version=tags.get("data.version") or kept.get("data_version", ""),
            data_commit=tags.get("data.commit", ""),
            fitted_through=said.get("fitted_through", ""),
            recipe=Recipe.from_json(json.loads(tags["recipe"]) if tags.get("recipe") else kept["recipe"]),
            config=said.get("config", ""),
            commit=said.get("commit", ""),
            dirty=said.get("dirty", ""),
            patch=said.get("patch", ""),
            code=said.get("code", ""),
            threads=int(tags.get(registry.THREADS) or 0),
            environment=lineage.environment({**said, **packages}),
            fit_digest=kept.get("fit_digest", ""),
            engine=said.get("engine") or "local",
            device=said.get("device") or "cpu",
            ends=said.get("ends") != "False",
        )
    except (ValueError, TypeError, KeyError) as err:
        remedy = "put the version's tags back as they were"
        raise BundleRefused(f"of {project_name} v{version}", f"its tags hold no lineage ({err})", remedy) from err


def patch(stores: Stores, of: Origin) -> bytes | None:
    """The uncommitted changes that lie with a version; None where there are none, or not those that it names."""
    try:
        found = (registry.part(stores, of.project, of.version, registry.LINEAGE) / registry.PATCH).read_bytes() if of.patch else b""
    except (OSError, StoreUnavailable):
        return None
    return found if found and hashlib.sha256(found).hexdigest() == of.patch else None


def _manifest(stores: Stores, project_name: str, version: int) -> dict[str, Any]:
    """The lineage that a version's bundle holds; empty where its files are gone."""
    try:
        folder = registry.part(stores, project_name, version, packaging.BUNDLE)
        return dict(json.loads((folder / MANIFEST).read_bytes())["lineage"])
    except (OSError, ValueError, KeyError, TypeError, StoreUnavailable):
        return {}
