"""The work of the five pillars: plain typed Python that knows no orchestrator."""
