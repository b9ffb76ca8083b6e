"""How fast the project is compared with plain scripts that do the same; `make bench` runs all of it."""
