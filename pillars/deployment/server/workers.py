"""What each worker process imports: nothing heavy before it is kept out."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pillars.deployment.server import lean

if TYPE_CHECKING:
    from pillars.deployment.server.app import App


def create() -> App:
    """The app of this process. Raises: SettingInvalid."""
    lean.keep_out()
    from pillars.deployment.server import app

    return app.create()
