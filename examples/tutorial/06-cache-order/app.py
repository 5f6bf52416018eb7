import packaging

print("packaging", packaging.__version__)
