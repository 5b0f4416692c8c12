"""Train a residual network on handwritten digits; writes OUTPUT/summary.csv, a row for each epoch."""

import argparse
import csv
from pathlib import Path

import torch
from sklearn.datasets import load_digits
from torch import nn
from torch.utils.data import DataLoader, TensorDataset, random_split

import seqnorm

parser = argparse.ArgumentParser(description="Training on digits")
group = parser.add_argument_group("Model parameters")
group.add_argument("--width", type=int, default=16, metavar="N", help="channels of the first block (default: 16)")
group = parser.add_argument_group("Optimizer parameters")
group.add_argument("-b", "--batch-size", type=int, default=64, metavar="N")
group.add_argument("--lr", type=float, default=0.1, metavar="LR")
group.add_argument("--epochs", type=int, default=5, metavar="N")
group.add_argument("--seed", type=int, default=42, metavar="S")
group.add_argument("--output", type=Path, default=Path("output"), metavar="DIR")


class Block(nn.Module):
    def __init__(self, width_in, width, stride):
        super().__init__()
        self.conv1 = nn.Conv2d(width_in, width, 3, stride, padding=1, bias=False)
        self.bn1 = nn.BatchNorm2d(width)
        self.conv2 = nn.Conv2d(width, width, 3, padding=1, bias=False)
        self.bn2 = nn.BatchNorm2d(width)
        self.shortcut = nn.Conv2d(width_in, width, 1, stride, bias=False)

    def forward(self, x):
        out = torch.relu(self.bn1(self.conv1(x)))
        return torch.relu(self.bn2(self.conv2(out)) + self.shortcut(x))


def create_model(width):
    head = (nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(2 * width, 10))
    return nn.Sequential(Block(1, width, 1), Block(width, 2 * width, 2), *head)


@torch.no_grad()
def validate(model, loader):
    model.eval()
    correct = [model(x).argmax(1) == y for x, y in loader]
    return 100 * torch.cat(correct).float().mean().item()


def main():
    args = parser.parse_args()
    torch.manual_seed(args.seed)
    digits = load_digits()
    data = TensorDataset(torch.tensor(digits.images, dtype=torch.float32)[:, None] / 16, torch.tensor(digits.target))
    train_set, val_set = random_split(data, [1297, 500], torch.Generator().manual_seed(0))
    loader = DataLoader(train_set, args.batch_size, shuffle=True, drop_last=True)
    model = create_model(args.width)
    seqnorm.convert(model, seqnorm.trial().norm)
    optimizer = torch.optim.SGD(model.parameters(), args.lr, 0.9, nesterov=True)
    scheduler = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, args.epochs * len(loader))

    args.output.mkdir(parents=True, exist_ok=True)
    with open(args.output / "summary.csv", "w", newline="") as file:
        summary = csv.writer(file)
        summary.writerow(["epoch", "train_loss", "eval_top1"])
        for epoch in range(args.epochs):
            model.train()
            for x, y in loader:
                loss = nn.functional.cross_entropy(model(x), y)
                optimizer.zero_grad()
                loss.backward()
                optimizer.step()
                scheduler.step()
            top1 = validate(model, DataLoader(val_set, 500))
            print(f"Train: {epoch} Loss: {loss.item():#.4g} Acc@1: {top1:.3f}")
            summary.writerow([epoch, loss.item(), top1])


if __name__ == "__main__":
    main()
