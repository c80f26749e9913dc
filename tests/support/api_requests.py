"""Every write of the API as its document tells it, with one field changed at a time."""

import copy
import json

__all__ = ["Write", "queries", "writes"]


class Write:
    """One operation with a good body."""

    def __init__(self, document, method, path, schema, body):
        self.method, self.path, self.body = method, path, body
        self.fields = list(_fields(document, schema, ()))
        self.model = _resolved(document, schema).get("title", path)

    def numeric(self):
        return [place for place, kind in self.fields if kind == "number"]

    def texts(self):
        return [place for place, kind in self.fields if kind == "text"]

    def with_field(self, place, raw):
        """The body as bytes, with the raw JSON in one place of it."""
        body, mark = copy.deepcopy(self.body), "\ue000here\ue000"
        node = body
        for name, following in zip(place, (*place[1:], None), strict=True):
            if following is None:
                node[name] = mark
            elif isinstance(name, int):
                node = node[name]
            else:
                empty = [{}] if isinstance(following, int) else {}
                if not node.get(name):
                    node[name] = empty
                node = node[name]
        return json.dumps(body).encode().replace(json.dumps(mark).encode(), raw)


def writes(document):
    """Every operation that takes a body."""
    for path, methods in document["paths"].items():
        for method, operation in methods.items():
            content = operation.get("requestBody", {}).get("content", {}).get("application/json")
            if content is None:
                continue
            schema = content["schema"]
            if path == "/v1/usage":
                for shape, example in zip(schema["oneOf"], content["examples"].values(), strict=True):
                    yield Write(document, method.upper(), path, shape, example["value"])
                continue
            named = _resolved(document, schema)
            yield Write(document, method.upper(), path, named, named["examples"][0])


def queries(document):
    """(method, path, [names of what stands behind the question mark]) of every operation that reads."""
    for path, methods in document["paths"].items():
        names = [item["name"] for item in methods.get("get", {}).get("parameters", []) if item["in"] == "query"]
        if "get" in methods:
            yield path, names


def _resolved(document, schema):
    while "$ref" in schema or ("properties" not in schema and "anyOf" in schema and "$ref" in schema["anyOf"][0]):
        schema = schema.get("anyOf", [schema])[0]
        schema = document["components"]["schemas"][schema["$ref"].rpartition("/")[2]]
    return schema


def _fields(document, schema, place):
    schema = _resolved(document, schema)
    for option in schema.get("anyOf", []):
        if option.get("type") != "null":
            yield from _fields(document, option, place)
    kinds = schema.get("type", [])
    kinds = kinds if isinstance(kinds, list) else [kinds]
    if "object" in kinds:
        for name, inner in schema.get("properties", {}).items():
            yield from _fields(document, inner, (*place, name))
        if isinstance(schema.get("additionalProperties"), dict):
            yield (*place, "name"), "text"
    elif "array" in kinds:
        yield from _fields(document, schema["items"], (*place, 0))
    elif {"number", "integer"} & set(kinds):
        yield place, "number"
    elif "string" in kinds:
        yield place, "text"
