"""One module per target: `check(data)` holds what must be true of any input; `seeds()` and `TOKENS` help the fuzzer."""
