"""HTTP only: one module for each resource."""
