"""Predict the progression of diabetes a year later: 442 patients, 10 measurements, the mean absolute error."""

import torch
from sklearn.datasets import load_diabetes
from sklearn.model_selection import train_test_split
from torch import nn

import seqnorm

trial = seqnorm.trial()
torch.manual_seed(trial.seed)

x, y = load_diabetes(return_X_y=True)
x, y = torch.tensor(x, dtype=torch.float32), torch.tensor(y, dtype=torch.float32)
x, x_test, y, y_test = train_test_split(x, y, test_size=0.2, random_state=0)
x_train, x_val, y_train, y_val = train_test_split(x, y, test_size=0.25, random_state=0)
held_out = (x_test, y_test) if trial.split == "test" else (x_val, y_val)
mean, std = y_train.mean(), y_train.std()

model = nn.Sequential(
    *(nn.Linear(10, 64, bias=False), nn.BatchNorm1d(64), nn.ReLU()),
    *(nn.Linear(64, 32, bias=False), nn.BatchNorm1d(32), nn.ReLU()),
    nn.Linear(32, 1),
)
seqnorm.convert(model, trial.norm)
optimizer = torch.optim.AdamW(model.parameters(), lr=3e-3, weight_decay=0.1)


def error(x, y):
    return (model(x).squeeze(1) * std + mean - y).abs().mean()


for epoch in range(1, 21):
    model.train()
    for batch in torch.randperm(len(x_train)).split(32)[:-1]:  # without the last, which is smaller
        loss = error(x_train[batch], y_train[batch])
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()

    model.eval()
    with torch.no_grad():
        mae = error(*held_out).item()
    trial.report(epoch=epoch, mae=mae)
