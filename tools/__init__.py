"""Tools of the maintainers: training on a machine without media libraries."""
