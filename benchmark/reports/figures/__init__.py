"""Pictures of records: each a Vega-Lite specification, and beside it the table that carries its meaning."""
