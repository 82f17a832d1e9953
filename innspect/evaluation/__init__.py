"""Is a map true? Measures of maps, wherever they come from."""
