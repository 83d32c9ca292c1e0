# SPDX-License-Identifier: MIT
"""usage: check_schema.py SCHEMA <LINES: each line of JSON against the schema; no member twice, the first and the last where they belong."""

import json
import sys

import jsonschema


def unique(pairs):
    """An object's members, none of them twice."""
    if len(dict(pairs)) != len(pairs):
        raise ValueError(f"a member is there twice: {pairs}")
    return dict(pairs)


def main():
    """Tells of the first line that is wrong."""
    with open(sys.argv[1], encoding="utf-8") as file:
        schema = json.load(file)
    jsonschema.Draft202012Validator.check_schema(schema)
    validator = jsonschema.Draft202012Validator(schema)
    lines = [json.loads(line, object_pairs_hook=unique) for line in sys.stdin]
    for line in lines:
        for error in validator.iter_errors(line):
            sys.exit(f"{json.dumps(line)}: {jsonschema.exceptions.best_match([error]).message}")
    order = [line.get("event") for line in lines]
    if not lines or (len(lines) > 1 or order[0]) and (
            order[0] != "begin" or order[-1] != "summary" or order.count("begin") + order.count("summary") != 2):
        sys.exit(f"the lines are {order}")


main()
