"""What the file of a model says of itself: format, parameters, types of numbers, classes that loading it would import."""

from slimstage.analyze.weights.facts import WeightsFacts
from slimstage.analyze.weights.read import read_weights

__all__ = ["WeightsFacts", "read_weights"]
