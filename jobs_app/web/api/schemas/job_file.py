"""The JSON Schema of YAML files of jobs, for editors."""

from typing import Any

from jobs_app.web.api.schemas.job_input import JobIn, JobReplace


def job_file_schema() -> dict[str, Any]:
    """Return the JSON Schema (draft 2020-12) of a file of jobs.

    Such a file is a list of jobs, a mapping of jobs by name, one job, or a set with a name
    or without one.
    """
    template = "#/$defs/{model}"
    whole, named = (model.model_json_schema(ref_template=template) for model in (JobIn, JobReplace))
    parts = {**whole.pop("$defs", {}), **named.pop("$defs", {})}
    job, without_name = {"$ref": "#/$defs/JobIn"}, {"$ref": "#/$defs/JobReplace"}
    several = {"type": "array", "items": job}
    by_name = {
        "type": "object",
        "minProperties": 1,
        "additionalProperties": without_name,
        "not": {"required": ["task"], "properties": {"task": {"type": "string"}}},
    }
    jobs_of_set = {"anyOf": [several, by_name, {"type": "object", "maxProperties": 0}]}
    named_set = {
        "type": "object",
        "required": ["set", "jobs"],
        "additionalProperties": False,
        "properties": {
            "set": {"type": "string", "minLength": 1, "maxLength": 200},
            "jobs": jobs_of_set,
        },
    }
    nameless_set = {
        "type": "object",
        "required": ["jobs"],
        "additionalProperties": False,
        "properties": {"jobs": {"anyOf": [{**several, "minItems": 1}, by_name]}},
    }
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "Jobs of jobs-app",
        "anyOf": [{**several, "minItems": 1}, named_set, nameless_set, job, by_name],
        "$defs": {"JobIn": whole, "JobReplace": named, **parts},
    }
