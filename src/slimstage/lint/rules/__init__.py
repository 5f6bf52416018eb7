"""One short module for each rule; the module's `RULE` is the rule. `lint/catalogue.py` lists them."""
