"""An OpenAPI description for generators of little patience, with the same meaning on the wire but for what is said here.

* A tuple becomes a list, of the tuple's length, of anything that may stand in it.
* An object described inside another gets a name of its own: `EventTransferred` for what `Event` calls `transferred`.
* A media type loses its parameters, and a text that is for other readers is called plain.
"""

import json
import sys


def untupled(schema):
    parts = schema.pop("prefixItems", None)
    if parts is not None:
        assert schema.pop("items") is False, "a tuple with a rest"
        distinct = [part for at, part in enumerate(parts) if part not in parts[:at]]
        schema["items"] = distinct[0] if len(distinct) == 1 else {"anyOf": distinct}
        schema["minItems"] = schema["maxItems"] = len(parts)
    return schema


def pascal(text):
    return "".join(word[:1].upper() + word[1:] for word in text.replace("-", "_").split("_"))


def plain(value, name, named):
    """`value` without tuples; objects inside it go to `named`, under names that begin with `name`."""
    if isinstance(value, list):
        return [plain(part, name, named) for part in value]
    if not isinstance(value, dict):
        return value
    parts = {}
    for key, part in value.items():
        if key == "properties":
            part = {field: placed(inner, name + pascal(field), named) for field, inner in part.items()}
        elif key in ("oneOf", "anyOf", "allOf"):
            part = [placed(inner, name + variant(inner, at), named) for at, inner in enumerate(part)]
        else:
            part = plain(part, name, named)
        parts[key] = part
    return untupled(parts)


def variant(schema, at):
    fields = schema.get("properties", {}) if isinstance(schema, dict) else {}
    tag = next((field["enum"][0] for field in fields.values() if len(field.get("enum", [])) == 1), None)
    return pascal(tag or (next(iter(fields)) if len(fields) == 1 else f"Kind{at}")) + "Variant"


def placed(schema, name, named):
    schema = plain(schema, name, named)
    if not (isinstance(schema, dict) and "properties" in schema):
        return schema
    assert name not in named, f"two objects are called {name}"
    named[name] = schema
    return {"$ref": f"#/components/schemas/{name}"}


def media(kind):
    kind = kind.split(";")[0]
    return "text/plain" if kind == "application/openmetrics-text" else kind


def main(path):
    description = json.load(open(path))
    schemas = description["components"]["schemas"]
    named = dict.fromkeys(schemas)
    for name, schema in schemas.items():
        named[name] = plain(schema, name, named)
    description["components"]["schemas"] = named
    paths = description["paths"]
    for item in paths.values():
        for operation in item.values():
            for answer in operation["responses"].values():
                content = answer.get("content", {})
                answer["content"] = {media(kind): body for kind, body in content.items()}
    json.dump(description, sys.stdout)


main(sys.argv[1])
