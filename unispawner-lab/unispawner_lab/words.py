"""The sentences of this extension of the server, which users read."""

ANNOUNCED = "The scheduler has announced that it will end this session."

STATES = {
    "queued": "The job of this session waits in the queue again.",
    "held": "The job of this session is held by the scheduler.",
    "suspended": "The job of this session is suspended by the scheduler.",
    "stopping": "This session is being stopped.",
    "failed": "This session has ended.",
    "stopped": "This session has ended.",
}
"""Why a session may end early, by the Hub's word for the state of the server."""
