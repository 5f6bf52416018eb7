import json
import sys

points = [(x, 3 * x + 1) for x in range(10)]
n = len(points)
mean_x, mean_y = sum(x for x, _ in points) / n, sum(y for _, y in points) / n
slope = sum((x - mean_x) * (y - mean_y) for x, y in points) / sum((x - mean_x) ** 2 for x, _ in points)
with open(sys.argv[1], "w") as file:
    json.dump({"slope": slope, "offset": mean_y - slope * mean_x}, file)
