"""What the Prefect server does by itself: end the runs of dead processes, tell of failures. Applied by name, as often as one likes."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING

from deployments.settings import Serving

if TYPE_CHECKING:
    from prefect.events import AutomationCore

PREFIX = "pillars: "
ALIVE = "prefect.flow-run.heartbeat"
PAYLOAD = """\
{"flow": {{ flow.name | tojson }}, "run": {{ flow_run.name | tojson }},
 "state": "{{ flow_run.state.name }}", "url": "{{ flow_run | ui_url }}"}
"""
ENDED = ("Completed", "Failed", "Crashed", "Cancelled", "Paused", "Suspended", "TimedOut")


def apply(serving: Serving, silence: timedelta = timedelta(minutes=3), silence_by_hand: timedelta = timedelta(hours=6)) -> list[str]:
    """Make the server's automations named `pillars: ...` exactly these, leaving all others alone; returns their names.

    `silence` is how long a run of a deployment may give no sign, `silence_by_hand` any other run: subflows of a replay have no heartbeat.
    """
    from prefect.client.orchestration import get_client

    wanted = [
        zombie("end deployed runs whose process died", silence, deployed=True),
        zombie("end other runs whose process died", silence_by_hand),
    ]
    if serving.alert_webhook is not None:
        wanted.append(alert(serving.alert_webhook.get_secret_value()))
    with get_client(sync_client=True) as client:
        for old in client.read_automations():
            if old.name.startswith(PREFIX):
                client.delete_automation(old.id)
        for automation in wanted:
            client.create_automation(automation)
    return [automation.name for automation in wanted]


def zombie(name: str, silence: timedelta, deployed: bool = False) -> AutomationCore:
    """A run that was Running and then silent (no heartbeat, no end) for `silence` has died: Crashed.

    Prefect has nothing of the kind: without it such a run stays Running for ever. `after` names Running too, else a run that
    dies before its first heartbeat is never found. A run that has ended cannot be changed by it.
    """
    from prefect.client.schemas.objects import StateType
    from prefect.events import AutomationCore, EventTrigger, Posture
    from prefect.events.actions import ChangeFlowRunState

    return AutomationCore(
        name=PREFIX + name,
        trigger=EventTrigger(
            posture=Posture.Proactive,
            match={"prefect.resource.id": "prefect.flow-run.*"},
            match_related={"prefect.resource.role": "deployment"} if deployed else {},
            after={ALIVE, "prefect.flow-run.Running"},
            expect={ALIVE, *(f"prefect.flow-run.{state}" for state in ENDED)},
            for_each={"prefect.resource.id"},
            threshold=1,
            within=silence,
        ),
        actions=[ChangeFlowRunState(state=StateType.CRASHED, name="Crashed", message="its process died: no heartbeat for a while")],
    )


def alert(url: str) -> AutomationCore:
    """A failed or crashed run of a deployment is posted to `url`, which is kept in a block of the server and not shown."""
    from prefect.blocks.webhook import Webhook
    from prefect.events import AutomationCore, EventTrigger, Posture
    from prefect.events.actions import CallWebhook

    block = Webhook(url=url).save("pillars-alert", overwrite=True)
    return AutomationCore(
        name=f"{PREFIX}tell of failures",
        trigger=EventTrigger(
            posture=Posture.Reactive,
            match={"prefect.resource.id": "prefect.flow-run.*"},
            match_related={"prefect.resource.role": "deployment"},
            expect={"prefect.flow-run.Failed", "prefect.flow-run.Crashed"},
            threshold=1,
        ),
        actions=[CallWebhook(block_document_id=block, payload=PAYLOAD)],
    )
