"""One rule a file: `RULE`, and the function it calls. `lint/catalogue.py` lists them."""
