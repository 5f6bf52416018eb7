def default_program(capabilities: int) -> bytes:
    return b""
