"""What each worker process imports: nothing heavy before it is kept out. A worker whose server was killed ends, too."""

from __future__ import annotations

import os
import signal
import threading
import time
from typing import TYPE_CHECKING

from pillars.deployment.server import lean

if TYPE_CHECKING:
    from pillars.deployment.server.app import App

LOOK_S = 0.5


def create() -> App:
    """The app of this process. Raises: SettingInvalid."""
    lean.keep_out()
    lean.keep_memory()
    from pillars.deployment.server import app

    made = app.create()
    if made.settings.workers > 1:
        threading.Thread(target=_end_with, args=(os.getppid(),), name="parent", daemon=True).start()
    return made


def _end_with(parent: int) -> None:
    """Ask this process to end once its parent is another: nobody would stop it, and it would hold the port."""
    while os.getppid() == parent:
        time.sleep(LOOK_S)
    os.kill(os.getpid(), signal.SIGTERM)
