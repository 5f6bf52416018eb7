"""Trains a classifier of iris flowers on the data that scikit-learn ships, and writes the model and a picture of it."""

import pathlib
import sys

import joblib
import matplotlib
import pandas as pd
from sklearn.datasets import load_iris
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import cross_val_score, train_test_split
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

matplotlib.use("Agg")
import matplotlib.pyplot as plt  # noqa: E402  (the backend is chosen first)


def main(out: pathlib.Path) -> None:
    iris = load_iris(as_frame=True)
    frame: pd.DataFrame = iris.frame
    features, target = frame.drop(columns="target"), frame["target"]
    train_x, test_x, train_y, test_y = train_test_split(
        features.to_numpy(), target, test_size=0.3, random_state=7, stratify=target
    )
    model = make_pipeline(StandardScaler(), LogisticRegression(max_iter=500))
    scores = cross_val_score(model, train_x, train_y, cv=5)
    model.fit(train_x, train_y)
    print(f"cross-validation {scores.mean():.3f}, held out {model.score(test_x, test_y):.3f}")

    out.mkdir(parents=True, exist_ok=True)
    joblib.dump({"model": model, "names": [str(name) for name in iris.target_names]}, out / "model.joblib")
    frame.plot.scatter("petal length (cm)", "petal width (cm)", c="target", colormap="viridis")
    plt.savefig(out / "petals.png", dpi=80)


if __name__ == "__main__":
    main(pathlib.Path(sys.argv[1] if len(sys.argv) > 1 else "model"))
