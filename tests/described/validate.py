"""Validates our descriptions: `validate.py openapi FILE`, `validate.py asyncapi FILE SCHEMA`.

OpenAPI by openapi-spec-validator; AsyncAPI by the JSON schema that its makers publish. Says what is wrong
and ends with 1 then.
"""

import json
import sys


def openapi(path):
    from openapi_spec_validator import OpenAPIV31SpecValidator

    with open(path, encoding="utf-8") as file:
        document = json.load(file)
    return [str(error) for error in OpenAPIV31SpecValidator(document).iter_errors()]


def asyncapi(path, schema):
    import yaml
    from jsonschema import Draft7Validator

    with open(path, encoding="utf-8") as file:
        document = yaml.safe_load(file)
    with open(schema, encoding="utf-8") as file:
        validator = Draft7Validator(json.load(file))
    errors = validator.iter_errors(document)
    return [f"{'/'.join(map(str, error.absolute_path))}: {error.message[:500]}" for error in errors]


wrong = {"openapi": openapi, "asyncapi": asyncapi}[sys.argv[1]](*sys.argv[2:])
for line in wrong:
    print(line)
sys.exit(1 if wrong else 0)
