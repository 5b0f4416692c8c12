"""Train a small convolutional network, with a normalization layer of one's own, on 1,797 handwritten digits."""

import argparse

import torch
from sklearn.datasets import load_digits
from torch import nn
from torch.utils.data import DataLoader, TensorDataset, random_split

parser = argparse.ArgumentParser()
parser.add_argument("--epochs", type=int, default=5)
parser.add_argument("--batch-size", type=int, default=64)
parser.add_argument("--lr", type=float, default=0.1)
parser.add_argument("--seed", type=int, default=0)
parser.add_argument("--ghost-batches", type=int, default=1, help="groups of the batch, each normalized by itself")
parser.add_argument("--channel-groups", type=int, default=0, help="groups of a GroupNorm before it; 0 for none")
args = parser.parse_args()


class GhostBatchNorm(nn.BatchNorm2d):
    """BatchNorm over parts of the batch; in evaluation an ordinary BatchNorm."""

    def forward(self, x):
        if not self.training:
            return super().forward(x)
        return torch.cat([super(GhostBatchNorm, self).forward(part) for part in x.chunk(args.ghost_batches)])


def norm(channels):
    first = nn.GroupNorm(args.channel_groups, channels) if args.channel_groups else nn.Identity()
    return nn.Sequential(first, GhostBatchNorm(channels))


torch.manual_seed(args.seed)
digits = load_digits()
images = torch.tensor(digits.images, dtype=torch.float32).unsqueeze(1) / 16
data = TensorDataset(images, torch.tensor(digits.target))
train_set, val_set, test_set = random_split(data, [997, 400, 400], torch.Generator().manual_seed(0))
train_loader = DataLoader(train_set, args.batch_size, shuffle=True, drop_last=True)

model = nn.Sequential(
    *(nn.Conv2d(1, 16, 3, padding=1, bias=False), norm(16), nn.ReLU(), nn.MaxPool2d(2)),
    *(nn.Conv2d(16, 32, 3, padding=1, bias=False), norm(32), nn.ReLU(), nn.AdaptiveAvgPool2d(1)),
    *(nn.Flatten(), nn.Linear(32, 10)),
)
optimizer = torch.optim.SGD(model.parameters(), args.lr, momentum=0.9)
scheduler = torch.optim.lr_scheduler.OneCycleLR(optimizer, args.lr, args.epochs * len(train_loader))


@torch.no_grad()
def accuracy(subset):
    model.eval()
    return sum((model(x).argmax(1) == y).sum().item() for x, y in DataLoader(subset, 500)) / len(subset)


for epoch in range(1, args.epochs + 1):
    model.train()
    for x, y in train_loader:
        optimizer.zero_grad()
        loss = nn.functional.cross_entropy(model(x), y)
        loss.backward()
        optimizer.step()
        scheduler.step()
    print(f"epoch {epoch}: loss {loss.item():.4f} val_acc: {accuracy(val_set):.4f}")

print(f"test_acc: {accuracy(test_set):.4f}")
