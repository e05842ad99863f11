"""letters-py: how often each letter occurs in a text. `letters-js` gives the same report, to the byte.

A letter is a character that has an upper and a lower case; it counts in lower case, where that is one character again. The
text is UTF-8; what is not, counts as replaced. A file with a zero byte is no text.
"""

import codecs
import json
import traceback
from collections import Counter

from componentize_py_types import Err
from wit_world.exports import Analyzer as Contract
from wit_world.imports import host
from wit_world.imports.types import Access, Description, Failure_Failed, Failure_Unsupported, Report

# Read this much at a time; the host may give less.
PIECE_BYTES = 256 * 1024

PARAMETERS = {
    "type": "object",
    "additionalProperties": False,
    "properties": {
        "top": {"title": "Letters to list", "type": "integer", "minimum": 1, "maximum": 1000, "default": 10},
    },
}
REPORT = {
    "type": "object",
    "properties": {
        "characters": {"title": "Characters", "type": "integer", "x-format": "count"},
        "letters": {"title": "Letters", "type": "integer", "x-format": "count", "x-column": True},
        "distinct": {"title": "Distinct letters", "type": "integer", "x-format": "count", "x-column": True},
        "replaced": {"title": "Not UTF-8", "type": "integer", "x-format": "count"},
        "frequent": {
            "title": "Most frequent letters",
            "type": "array",
            "x-format": "table",
            "items": {
                "type": "object",
                "properties": {
                    "letter": {"title": "Letter", "type": "string", "x-format": "text"},
                    "count": {"title": "Count", "type": "integer", "x-format": "count"},
                    "per_mille": {"title": "Share", "type": "integer", "x-unit": "[ppth]"},
                },
            },
        },
    },
}


class Analyzer(Contract):
    """What the contract calls `analyzer`."""

    def describe(self):
        return Description(
            name="letters-py",
            version="0.1.0",
            summary="counts how often each letter occurs in a text",
            media_types=["text/*"],
            access=Access.STREAMING,
            parameter_schema=json.dumps(PARAMETERS),
            report_schema=json.dumps(REPORT),
        )

    def analyze(self, file, input, parameters):
        try:
            return analyze(file, input, json.loads(parameters))
        except Err:
            raise  # a failure of ours
        except BaseException:
            # Nobody would see what went wrong: an exception that leaves the component is only a trap.
            host.fail(traceback.format_exc())


def analyze(file, input, parameters):
    top = parameters.pop("top", 10)
    if parameters or type(top) is not int or not 1 <= top <= 1000:
        raise Err(Failure_Failed('the parameters are not understood; hint: `{}` or `{"top": 1 to 1000}`'))

    counts = Counter()
    decoder = codecs.getincrementaldecoder("utf-8")("replace")
    bytes_read = 0
    while True:
        piece = read(input)
        counts.update(decoder.decode(piece, final=not piece))
        if not piece:
            break
        if counts["\0"]:
            raise Err(Failure_Unsupported("this is no text: it has a zero byte"))
        bytes_read += len(piece)
        if file.size:
            host.progress(min(1000, bytes_read * 1000 // file.size))
    return report(counts, top)


def read(input):
    """The next bytes, none at the end of the file."""
    try:
        return input.read(PIECE_BYTES)
    except Err as error:
        why = getattr(error.value, "value", "cancelled")
        raise Err(Failure_Failed(f"the input ended early: {why}"))


def report(counts, top):
    replaced = counts["\ufffd"]
    if replaced:
        host.log(host.Level.WARN, f"{replaced} times the text is not UTF-8")
    letters = Counter()
    for character, count in counts.items():
        lower = character.lower()
        if count and lower != character.upper():
            letters[lower if len(lower) == 1 else character] += count
    total = letters.total()
    frequent = sorted(letters.items(), key=lambda item: (-item[1], item[0]))[:top]
    found = {
        "characters": counts.total(),
        "letters": total,
        "distinct": len(letters),
        "replaced": replaced,
        "frequent": [
            {"letter": letter, "count": count, "per_mille": count * 1000 // total} for letter, count in frequent
        ],
    }
    most = f", most often {frequent[0][0]}" if frequent else ""
    return Report(
        summary=f"{total} letters, {len(letters)} distinct{most}",
        json=json.dumps(found, ensure_ascii=False, separators=(",", ":")),
        artifacts=[],
    )
