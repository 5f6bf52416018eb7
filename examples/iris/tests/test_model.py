"""What must hold of a trained model before it is packaged. Runs in the image's test stage."""

import os
import sys

os.environ.setdefault("MODEL", "/src/model/model.joblib")
sys.path.insert(0, "/src/src")

import serve  # noqa: E402  (the path comes first)


def test_a_small_flower_is_setosa() -> None:
    assert serve.predict([5.1, 3.5, 1.4, 0.2])["species"] == "setosa"


def test_a_large_flower_is_virginica() -> None:
    assert serve.predict([6.9, 3.1, 5.4, 2.1])["species"] == "virginica"


def test_the_model_is_sure_of_typical_flowers() -> None:
    assert float(str(serve.predict([5.0, 3.4, 1.5, 0.2])["probability"])) > 0.9
