"""Writes keras_runs.json: `pip install keras==3.15.1 scipy jax`, then `python keras_runs.py`. The numpy backend computes in float32."""

import json
import os

os.environ["KERAS_BACKEND"] = "numpy"
import keras  # noqa: E402
import numpy as np  # noqa: E402

O, S = keras.optimizers, keras.optimizers.schedules
STEPS = [1, 4, 10]
START = [0.5, -1.0, 2.0, 0.25]


def cosine():
    return S.CosineDecay(1e-3, 20, alpha=0.1, warmup_target=1e-2, warmup_steps=5)


def drops():
    return S.PiecewiseConstantDecay([3, 6], [1e-2, 1e-3, 1e-4])


CASES = {
    "adam_scheduled": O.Adam(cosine(), global_clipnorm=1.0),
    "adam_amsgrad_ema": O.Adam(0.01, amsgrad=True, epsilon=1e-3, use_ema=True, ema_momentum=0.9),
    "adamw": O.AdamW(drops(), weight_decay=0.05, clipvalue=0.5, epsilon=1e-2),
    "sgd_nesterov": O.SGD(0.05, momentum=0.9, nesterov=True, weight_decay=0.01),
    "sgd_scheduled": O.SGD(drops(), momentum=0.9),
    "sgd_nesterov_scheduled": O.SGD(cosine(), momentum=0.9, nesterov=True),
    "sgd_scheduled_decayed": O.SGD(cosine(), momentum=0.9, weight_decay=0.1),
    "rmsprop_momentum": O.RMSprop(cosine(), momentum=0.8, centered=True, epsilon=1e-3, weight_decay=0.02),
    "rmsprop": O.RMSprop(0.01, rho=0.95),
    "adagrad": O.Adagrad(0.1, epsilon=1e-3),
    "adadelta": O.Adadelta(0.5, epsilon=1e-4),
    "nadam": O.Nadam(cosine(), weight_decay=0.1),
    "lion": O.Lion(1e-3, weight_decay=0.1),
    "lamb": O.Lamb(0.02, weight_decay=0.1),
    "schedule_free": O.ScheduleFreeAdamW(0.02, warmup_steps=3),
}


def gradient(t):
    values = [0.3 * np.cos(1.0 + t), -0.7 + 0.1 * t, 0.05 * (t + 1) * (-1) ** t, 2.0 - 0.4 * t]
    return np.array(values, np.float32)


def run(name, optimizer):
    file = O.serialize(optimizer)
    variable = keras.Variable(START)
    optimizer.build([variable])
    params = []
    for t in range(max(STEPS)):
        optimizer.apply([gradient(t)])
        params.append(np.array(variable).tolist())
    case = {"name": name, "file": file, "params": [params[step - 1] for step in STEPS]}
    if optimizer.use_ema:
        case["ema"] = np.array(optimizer._model_variables_moving_average[0]).tolist()
    return case


if __name__ == "__main__":
    runs = {
        "about": "Parameters after some updates of Keras 3.15.1 with its numpy backend: keras_runs.py beside this made them.",
        "param": START,
        "gradients": [gradient(t).astype(float).tolist() for t in range(max(STEPS))],
        "steps": STEPS,
        "cases": [run(name, optimizer) for name, optimizer in CASES.items()],
    }
    with open(os.path.join(os.path.dirname(__file__), "keras_runs.json"), "w") as out:
        head = ",\n".join(f" {json.dumps(key)}: {json.dumps(value)}" for key, value in runs.items() if key != "cases")
        cases = ",\n".join("  " + json.dumps(case) for case in runs["cases"])
        out.write(f'{{\n{head},\n "cases": [\n{cases}\n ]\n}}\n')
