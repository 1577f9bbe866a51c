"""A module of a project that sets up logging for itself, when it is imported."""

import logging.config

logging.config.dictConfig({"version": 1, "root": {"level": "ERROR"}})
logging.disable(logging.CRITICAL)
