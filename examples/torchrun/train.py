"""Train a small convolutional network on handwritten digits in several processes: torchrun … train.py"""

import argparse

import torch
import torch.distributed as dist
from sklearn.datasets import load_digits
from torch import nn
from torch.nn.parallel import DistributedDataParallel
from torch.utils.data import DataLoader, DistributedSampler, TensorDataset, random_split

import seqnorm

parser = argparse.ArgumentParser()
parser.add_argument("--epochs", type=int, default=5)
parser.add_argument("--batch-size", type=int, default=32, help="of one process")
parser.add_argument("--lr", type=float, default=0.1)
parser.add_argument("--seed", type=int, default=0)
args = parser.parse_args()

dist.init_process_group("nccl" if torch.cuda.is_available() else "gloo")
rank = dist.get_rank()
torch.manual_seed(args.seed)

digits = load_digits()
images = torch.tensor(digits.images, dtype=torch.float32).unsqueeze(1) / 16
data = TensorDataset(images, torch.tensor(digits.target))
train_set, val_set = random_split(data, [1297, 500], torch.Generator().manual_seed(0))
sampler = DistributedSampler(train_set, seed=args.seed, drop_last=True)
train_loader = DataLoader(train_set, args.batch_size, sampler=sampler, drop_last=True)
val_loader = DataLoader(val_set, 500)

model = nn.Sequential(
    *(nn.Conv2d(1, 16, 3, padding=1, bias=False), nn.BatchNorm2d(16), nn.ReLU(), nn.MaxPool2d(2)),
    *(nn.Conv2d(16, 32, 3, padding=1, bias=False), nn.BatchNorm2d(32), nn.ReLU(), nn.AdaptiveAvgPool2d(1)),
    *(nn.Flatten(), nn.Linear(32, 10)),
)
trial = seqnorm.trial()
seqnorm.convert(model, trial.norm)
model = DistributedDataParallel(model)
optimizer = torch.optim.SGD(model.parameters(), args.lr, momentum=0.9)
scheduler = torch.optim.lr_scheduler.OneCycleLR(optimizer, args.lr, args.epochs * len(train_loader))

for epoch in range(1, args.epochs + 1):
    sampler.set_epoch(epoch)
    model.train()
    for x, y in train_loader:
        optimizer.zero_grad()
        loss = nn.functional.cross_entropy(model(x), y)
        loss.backward()
        optimizer.step()
        scheduler.step()

    model.eval()
    with torch.no_grad():  # every process evaluates all images, each with the statistics that DDP keeps equal
        accuracy = sum((model(x).argmax(1) == y).sum().item() for x, y in val_loader) / len(val_set)
    if rank == 0:
        print(f"epoch {epoch}: loss {loss.item():.4f}, validation accuracy {accuracy:.4f}")
    trial.report(epoch=epoch, accuracy=accuracy)

dist.destroy_process_group()
