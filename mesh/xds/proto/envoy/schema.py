#!/usr/bin/env python3
"""Writes what a set of .proto files says about its messages as C++ tables: schema.py SET OUTPUT.

SET is what `protoc --include_imports --descriptor_set_out` wrote. Read without a protobuf library, so that
the build needs none for Python.
"""
import sys

# FieldDescriptorProto.Type -> envoy_schema.h's Kind
KINDS = {1: "kDouble", 2: "kFloat", 3: "kInt64", 4: "kUint64", 5: "kInt32", 8: "kBool", 9: "kString",
         11: "kMessage", 12: "kBytes", 13: "kUint32", 14: "kEnum"}


def fields(data):
    """(number, value) of a message: integers, or bytes."""
    at = 0

    def varint():
        nonlocal at
        value = shift = 0
        while True:
            byte = data[at]
            at += 1
            value |= (byte & 0x7F) << shift
            shift += 7
            if byte < 0x80:
                return value

    while at < len(data):
        tag = varint()
        if tag & 7 == 0:
            yield tag >> 3, varint()
        elif tag & 7 == 2:
            size = varint()
            yield tag >> 3, data[at:at + size]
            at += size
        else:
            raise SystemExit(f"wire type {tag & 7} in a descriptor")


def collect(data):
    """number -> list of values"""
    found = {}
    for number, value in fields(data):
        found.setdefault(number, []).append(value)
    return found


def text(found, number):
    return found[number][0].decode() if number in found else ""


class Schema:
    def __init__(self):
        self.messages = {}  # full name -> (is a map's entry, [(number, json name, type, repeated, of)])
        self.enums = {}  # full name -> [(number, name)]

    def add_message(self, data, scope):
        found = collect(data)
        name = f"{scope}.{text(found, 1)}"
        options = collect(found[7][0]) if 7 in found else {}
        members = []
        for field in map(collect, found.get(2, [])):
            members.append((field[3][0], text(field, 10), field[5][0], field[4][0] == 3,
                            text(field, 6).lstrip(".")))
        self.messages[name] = (bool(options.get(7, [0])[0]), sorted(members))
        for nested in found.get(3, []):
            self.add_message(nested, name)
        for enum in found.get(4, []):
            self.add_enum(enum, name)

    def add_enum(self, data, scope):
        found = collect(data)
        values = [(collect(v).get(2, [0])[0], text(collect(v), 1)) for v in found.get(2, [])]
        self.enums[f"{scope}.{text(found, 1)}"] = values

    def add_file(self, data):
        found = collect(data)
        for message in found.get(4, []):
            self.add_message(message, text(found, 2))
        for enum in found.get(5, []):
            self.add_enum(enum, text(found, 2))


def main():
    schema = Schema()
    with open(sys.argv[1], "rb") as file:
        for one in collect(file.read()).get(1, []):
            schema.add_file(one)
    messages, enums = sorted(schema.messages), sorted(schema.enums)
    message_rows, field_rows, enum_rows, value_rows = [], [], [], []
    for name in messages:
        is_map, members = schema.messages[name]
        flag = "true" if is_map else "false"
        message_rows.append(f'{{"{name}", {len(field_rows)}, {len(members)}, {flag}}}')
        for number, json_name, kind, repeated, of in members:
            index = messages.index(of) if kind == 11 else enums.index(of) if kind == 14 else -1
            field_rows.append(f'{{{number}, "{json_name}", Kind::{KINDS[kind]}, '
                              f'{"true" if repeated else "false"}, {index}}}')
    for name in enums:
        enum_rows.append(f"{{{len(value_rows)}, {len(schema.enums[name])}}}")
        value_rows += [f'{{{number}, "{label}"}}' for number, label in schema.enums[name]]
    with open(sys.argv[2], "w") as out:
        for declaration, rows in (("MessageRow kMessages", message_rows), ("FieldRow kFields", field_rows),
                                  ("EnumRow kEnums", enum_rows), ("ValueRow kValues", value_rows)):
            out.write(f"constexpr {declaration}[] = {{\n" + ",\n".join(rows) + "};\n")


main()
