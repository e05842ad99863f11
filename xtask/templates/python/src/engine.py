"""{{name}}: counts how often one byte occurs. Change it into what you need.

`wit_world` is generated from the contract (wit/engine/v1/engine.wit). Other modules beside this one may be imported, and
so may Python's own library; there are no files, no network and no clock.
"""

import json
import traceback

from componentize_py_types import Err
from wit_world.exports import Analyzer as Contract
from wit_world.imports import host
from wit_world.imports.types import Access, Description, Failure_Failed, Report

# Read this much at a time; the host may give less.
PIECE_BYTES = 256 * 1024

# What there is to set, and how to show what is reported: JSON Schema, with the hints that the contract names.
PARAMETERS = {
    "type": "object",
    "additionalProperties": False,
    "properties": {
        "byte": {"title": "Byte to count", "type": "integer", "minimum": 0, "maximum": 255, "default": 10},
    },
}
REPORT = {
    "type": "object",
    "properties": {
        "bytes": {"title": "Size", "type": "integer", "x-unit": "By", "x-format": "bytes"},
        "matches": {"title": "Matches", "type": "integer", "x-format": "count", "x-column": True},
    },
}


class Analyzer(Contract):
    """What the contract calls `analyzer`."""

    def describe(self):
        return Description(
            name="{{name}}",  # as in engine.toml
            version="0.1.0",
            summary="counts how often one byte occurs",
            media_types=[],
            access=Access.STREAMING,
            parameter_schema=json.dumps(PARAMETERS),
            report_schema=json.dumps(REPORT),
        )

    def analyze(self, file, input, parameters):
        try:
            return analyze(file, input, json.loads(parameters))
        except Err:
            raise  # a failure of ours, or of the input
        except BaseException:
            # Nobody would see what went wrong: an exception that leaves the component is only a trap.
            host.fail(traceback.format_exc())


def analyze(file, input, parameters):
    byte = parameters.pop("byte", 10)
    if parameters or type(byte) is not int or not 0 <= byte <= 255:
        raise Err(Failure_Failed('the parameters are not understood; hint: `{}` or `{"byte": 0 to 255}`'))
    host.log(host.Level.INFO, f"counting byte {byte}")

    bytes_read = matches = 0
    while True:
        try:
            piece = input.read(PIECE_BYTES)  # empty at the end of the file
        except Err as error:
            raise Err(Failure_Failed(f"the input ended early: {error.value}"))
        if not piece:
            break
        bytes_read += len(piece)
        matches += piece.count(byte)
        if file.size:
            host.progress(min(1000, bytes_read * 1000 // file.size))

    return Report(
        summary=f"{matches} matches in {bytes_read} bytes",
        json=json.dumps({"bytes": bytes_read, "matches": matches}),
        artifacts=[],
    )
