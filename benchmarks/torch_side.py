"""PyTorch's side of `benchmarks.against_pytorch`.

At what was fastest on a processor: bfloat16 autocast, channels_last, relus in place, the fused SGD; the next
batch is cropped in another thread.
"""

import concurrent.futures
import json
import sys
import time
from collections.abc import Iterator

import numpy as np
import torch
from torch import nn

from benchmarks import generated

MEAN_RGB = torch.tensor([123.68, 116.78, 103.94]).reshape(1, 3, 1, 1)


def _classifier(inputs: int) -> list[nn.Module]:
    return [
        nn.Flatten(),
        nn.Linear(inputs, 4096), nn.ReLU(inplace=True), nn.Dropout(0.5),
        nn.Linear(4096, 4096), nn.ReLU(inplace=True), nn.Dropout(0.5),
        nn.Linear(4096, 20),
    ]  # fmt: skip


def make_network(name: str) -> nn.Module:
    """The same layers as `common.networks`."""
    if name == "mnist":
        return nn.Sequential(
            nn.Conv2d(1, 32, 5, padding=2), nn.ReLU(inplace=True), nn.MaxPool2d(2),
            nn.Conv2d(32, 64, 5, padding=2), nn.ReLU(inplace=True), nn.MaxPool2d(2),
            nn.Flatten(), nn.Linear(3136, 1024), nn.ReLU(inplace=True), nn.Dropout(0.4), nn.Linear(1024, 10),
        )  # fmt: skip
    if name == "caffenet":
        return nn.Sequential(
            nn.Conv2d(3, 96, 11, 4), nn.ReLU(inplace=True), nn.MaxPool2d(3, 2),
            nn.Conv2d(96, 256, 5, padding=2), nn.ReLU(inplace=True), nn.MaxPool2d(3, 2),
            nn.Conv2d(256, 384, 3, padding=1), nn.ReLU(inplace=True),
            nn.Conv2d(384, 384, 3, padding=1), nn.ReLU(inplace=True),
            nn.Conv2d(384, 256, 3, padding=1), nn.MaxPool2d(3, 2),
            *_classifier(9216),
        )  # fmt: skip
    layers: list[nn.Module] = []
    channels = 3
    for depth, filters in [(2, 64), (2, 128), (3, 256), (3, 512), (3, 512)]:
        for _ in range(depth):
            layers += [nn.Conv2d(channels, filters, 3, padding=1), nn.ReLU(inplace=True)]
            channels = filters
        layers.append(nn.MaxPool2d(2))
    return nn.Sequential(*layers, *_classifier(25088))


def prepare(images: np.ndarray) -> torch.Tensor:
    """uint8 (B, H, W, C) to float32 (B, C, H, W) in channels_last, less the mean or scaled to 0..1."""
    tensor = torch.from_numpy(images).permute(0, 3, 1, 2).float()
    tensor = tensor / 255 if tensor.shape[1] == 1 else tensor - MEAN_RGB
    return tensor.contiguous(memory_format=torch.channels_last)


def augment(images: np.ndarray, crop: int, rng: np.random.Generator) -> np.ndarray:
    """A random crop and flip for each image."""
    room = images.shape[1] - crop + 1
    cropped = np.empty((len(images), crop, crop, images.shape[3]), np.uint8)
    for image, target in zip(images, cropped, strict=True):
        top, left = rng.integers(0, room, 2)
        window = image[top : top + crop, left : left + crop]
        target[:] = window[:, ::-1] if rng.random() < 0.5 else window
    return cropped


def batches(
    images: np.ndarray, labels: np.ndarray, batch_size: int, crop: int, steps: int
) -> Iterator[tuple[torch.Tensor, torch.Tensor]]:
    """Random batches, each drawn and cropped in another thread while the one before is trained on."""
    rng = np.random.default_rng(0)

    def make() -> tuple[np.ndarray, np.ndarray]:
        rows = rng.integers(0, len(images), batch_size)
        chosen = images[rows]
        return (augment(chosen, crop, rng) if crop < images.shape[1] else chosen), labels[rows]

    with concurrent.futures.ThreadPoolExecutor(1) as pool:
        following = pool.submit(make)
        for _ in range(steps):
            chosen, their_labels = following.result()
            following = pool.submit(make)
            yield prepare(chosen), torch.from_numpy(their_labels)


def logits_of(network: nn.Sequential, images: torch.Tensor, bfloat16: bool) -> torch.Tensor:
    """float32 (B, classes); like this project's, the last layer computes in float32."""
    with torch.autocast("cpu", torch.bfloat16, enabled=bfloat16):
        features = network[:-1](images)
    return network[-1](features.float())


def loss_of(logits: torch.Tensor, labels: torch.Tensor, weights: torch.Tensor) -> torch.Tensor:
    """As in `common.losses`: of classes (B,), or of labels that count by their weights (B, classes)."""
    if labels.ndim == 1:
        return nn.functional.cross_entropy(logits, labels)
    each = nn.functional.binary_cross_entropy_with_logits(logits, labels, weights, reduction="sum")
    return each / weights.count_nonzero()


def time_training(name: str, batch_size: int, steps: int, bfloat16: bool) -> list[float]:
    """Seconds of each of `steps` training steps, input and all, after 5 for warming up."""
    network = make_network(name).to(memory_format=torch.channels_last)
    momentum = 0.0 if name == "mnist" else 0.9
    optimizer = torch.optim.SGD(network.parameters(), lr=0.001, momentum=momentum, fused=True)
    data = generated.digits() if name == "mnist" else generated.photos()
    times = [time.perf_counter()]
    for images, labels in batches(*data, batch_size, generated.CROPS[name], steps + 5):
        loss = loss_of(logits_of(network, images, bfloat16), labels, torch.ones(labels.shape))
        optimizer.zero_grad(set_to_none=True)
        loss.backward()
        optimizer.step()
        loss.item()
        times.append(time.perf_counter())
    return np.diff(times)[5:].tolist()


def center_crop(images: np.ndarray, size: int) -> np.ndarray:
    """(B, size, size, 3) of the middle."""
    margin = (images.shape[1] - size) // 2
    return np.ascontiguousarray(images[:, margin : margin + size, margin : margin + size])


def time_evaluation(name: str, batch_size: int, steps: int, bfloat16: bool) -> list[float]:
    """Seconds of each of `steps` batches of prediction, after two batches for warming up."""
    network = make_network(name).to(memory_format=torch.channels_last).eval()
    images = generated.photos((steps + 2) * batch_size)[0]
    times = []
    with torch.inference_mode(), concurrent.futures.ThreadPoolExecutor(1) as pool:

        def make(start: int) -> concurrent.futures.Future[np.ndarray]:
            return pool.submit(center_crop, images[start : start + batch_size], generated.CROPS[name])

        following = make(0)
        for start in range(batch_size, len(images) + 1, batch_size):
            batch, following = following.result(), make(min(start, len(images) - batch_size))
            logits_of(network, prepare(batch), bfloat16).numpy()
            times.append(time.perf_counter())
    return np.diff(times)[1:].tolist()


if __name__ == "__main__":
    name, mode, batch_size, steps, precision = sys.argv[1:]
    measure = time_training if mode == "train" else time_evaluation
    seconds = measure(name, int(batch_size), int(steps), precision == "bfloat16")
    print(json.dumps({"on": f"PyTorch {torch.__version__}", "seconds": seconds}))
