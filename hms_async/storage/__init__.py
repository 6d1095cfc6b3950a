"""The only package that speaks Redis: keys, scripts, and one store over them."""
