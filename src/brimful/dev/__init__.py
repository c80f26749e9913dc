"""Tools for development: simulation, benchmarks and the demo. Not part of the product."""
