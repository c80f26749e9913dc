"""What operators run: verify, doctor, archive, anchors, lookups, actions, erasure, export."""

from brimful.operations import (
    actions as actions,
    anchors as anchors,
    archive as archive,
    doctor as doctor,
    erase as erase,
    evidence as evidence,
    export as export,
    health as health,
    installation as installation,
    lookup as lookup,
    verify as verify,
)
