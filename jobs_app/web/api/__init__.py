"""HTTP, and nothing but HTTP: one file a resource."""
