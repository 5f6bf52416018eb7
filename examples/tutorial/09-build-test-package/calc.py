def add(a: int, b: int) -> int:
    return a + b


if __name__ == "__main__":
    print("2 + 3 =", add(2, 3))
