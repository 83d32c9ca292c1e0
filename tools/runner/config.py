# SPDX-License-Identifier: MIT
"""Writes configuration files."""


def _value(value):
    if isinstance(value, bool):
        return str(int(value))
    if isinstance(value, int):
        return str(value)
    if isinstance(value, list):
        return "[" + ", ".join(map(_value, value)) + "]"
    text = str(value).replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")
    return f'"{text}"'


def config(**settings):
    """The text of a configuration file with these settings; type is "pvh" unless given."""
    settings.setdefault("type", "pvh")
    return "".join(f"{key} = {_value(value)}\n" for key, value in settings.items())
