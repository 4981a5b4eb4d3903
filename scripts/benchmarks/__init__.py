"""One module a measurement, each with `measure(arguments) -> rows of figures`."""
