"""How fast the project is beside plain scripts that do the same; `make bench` runs all of it."""
