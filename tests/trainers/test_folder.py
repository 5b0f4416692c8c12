"""Image folders: real MNIST images as PNG and JPEG files in every layout, good and bad."""

import os
import re
import subprocess
import sys
from collections import Counter

import numpy as np
import pytest
from PIL import ExifTags, Image
from torchvision.datasets import ImageFolder
from torchvision.transforms import v2

from trainers.data import folder, own
from trainers.data.listing import list_folders
from trainers.data.mnist import read_bundled
from trainers.descriptors.images import OwnNumbers
from trainers.recipe import RecipeError

PIXELS, LABELS = read_bundled()
NUMBERS = OwnNumbers(batch=4, image_size=28)


def write_classes(path, classes, per_class=4, suffix=".png", first=0, mode="L", shape=None):
    """Write images of a digit for each class name; return their rows in the order of names and files."""
    rows = []
    for digit, name in enumerate(classes):
        (path / name).mkdir(parents=True)
        for row in np.flatnonzero(digit % 10 == LABELS)[first : first + per_class]:
            image = Image.fromarray(PIXELS[row]).convert(mode)
            image = image.resize(shape, Image.Resampling.BICUBIC) if shape else image
            image.save(path / name / f"{row:04}{suffix}")
            rows.append(int(row))
    return rows


def load(path, **numbers):
    return own.load(OwnNumbers(**{"batch": 4, "image_size": 28, **numbers}), str(path), path)


def refused(path, **numbers):
    """Return what loading says, once a check has said the same."""
    with pytest.raises(RecipeError) as loading:
        load(path, **numbers)
    with pytest.raises(RecipeError) as checking:
        own.check(OwnNumbers(**{"batch": 4, "image_size": 28, **numbers}), str(path))
    assert str(loading.value) == str(checking.value)
    return str(loading.value)


def sizes(images):
    return [len(images.train_y), len(images.validation_y), len(images.test_y)]


def rows_of(pixels):
    """Return which MNIST images these are."""
    return [int(np.flatnonzero((image == PIXELS).all(axis=(1, 2)))[0]) for image in pixels]


def test_class_folders_are_split_in_three_with_every_image_once(tmp_path):
    rows = write_classes(tmp_path, ["cat", "dog"], per_class=10)
    images = load(tmp_path)
    assert sizes(images) == [16, 2, 2]
    x = np.concatenate([images.train_x, images.validation_x, images.test_x])
    y = np.concatenate([images.train_y, images.validation_y, images.test_y])
    assert sorted(rows_of(x)) == sorted(rows)
    assert LABELS[rows_of(x)].tolist() == y.tolist()  # class cat holds zeros, class dog ones
    assert (images.classes, images.source, images.shape) == (2, str(tmp_path), (1, 28, 28))
    assert (x.dtype, y.dtype) == (np.uint8, np.int64)


def test_three_given_splits_are_taken_as_they_are(tmp_path):
    given = [write_classes(tmp_path / name, ["a", "b"], 6, first=at) for at, name in ((0, "train"), (6, "val"))]
    given.append(write_classes(tmp_path / "test", ["a", "b"], 2, first=12))
    images = load(tmp_path)
    assert [rows_of(x) for x in (images.train_x, images.validation_x, images.test_x)] == given
    assert images.test_y.tolist() == [0, 0, 1, 1]


@pytest.mark.parametrize("other", ["test", "val"])
def test_validation_is_taken_from_train_where_only_one_other_split_is_given(tmp_path, other):
    train = write_classes(tmp_path / "train", ["a", "b"], 10)
    test = write_classes(tmp_path / other, ["a", "b"], 3, first=10)
    images = load(tmp_path)
    assert sizes(images) == [18, 2, 6]
    assert rows_of(images.test_x) == test
    assert sorted(rows_of(images.train_x) + rows_of(images.validation_x)) == sorted(train)
    assert images.validation_y.tolist() == [0, 1]


def test_a_class_may_be_called_train(tmp_path):
    write_classes(tmp_path, ["bus", "test", "train"], per_class=10)
    images = load(tmp_path)
    assert (images.classes, sizes(images)) == (3, [24, 3, 3])


@pytest.mark.parametrize("coloured", ["a", "c"])
def test_one_class_in_colour_makes_all_images_so(tmp_path, coloured):
    for name in "abc":
        write_classes(tmp_path, [name], 10, mode="RGB" if name == coloured else "L")
    images = load(tmp_path)
    assert images.train_x.shape == (24, 28, 28, 3)
    assert images.shape == (3, 28, 28)
    assert (images.train_x == images.train_x[..., :1]).all()  # the digits are grey all the same


@pytest.mark.parametrize("coloured", ["train", "val", "test"])
def test_one_split_in_colour_makes_all_of_them_so(tmp_path, coloured):
    for name in ("train", "val", "test"):
        write_classes(tmp_path / name, ["a", "b"], mode="RGB" if name == coloured else "L")
    images = load(tmp_path)
    assert {x.shape for x in (images.train_x, images.validation_x, images.test_x)} == {(8, 28, 28, 3)}


@pytest.mark.parametrize("shape", [(28, 28), (50, 31), (31, 50), (20, 90), (29, 40), (24, 27)])
@pytest.mark.parametrize("mode", ["L", "RGB"])
def test_images_are_resized_and_cropped_as_torchvision_does(tmp_path, shape, mode):
    write_classes(tmp_path, ["a", "b"], 10, suffix=".jpg", mode=mode, shape=shape)
    images = load(tmp_path, image_size=24)
    theirs = v2.Compose([v2.Resize(24, antialias=True), v2.CenterCrop(24)])
    expected = {np.asarray(theirs(image).convert(mode)).tobytes() for image, _ in ImageFolder(tmp_path)}
    got = [image.tobytes() for x in (images.train_x, images.validation_x, images.test_x) for image in x]
    assert len(got) == 20
    assert set(got) == expected


def write_one_of_every_kind(path):
    write_classes(path, ["b", "A", "c d"], 2)
    write_classes(path / "b", ["below", "also"], 2, suffix=".JPEG")
    for suffix in (".ppm", ".bmp", ".pgm", ".tif", ".tiff", ".webp", ".jpg", ".PNG"):
        Image.fromarray(PIXELS[0]).save(path / "A" / f"image{suffix}")


def test_the_files_are_those_that_torchvision_lists_in_its_order(tmp_path):
    write_one_of_every_kind(tmp_path)
    theirs = ImageFolder(tmp_path)
    files = folder.list_files(str(tmp_path), list_folders(str(tmp_path)))
    assert list_folders(str(tmp_path)) == theirs.classes
    assert [(files.path(row), int(files.labels[row])) for row in range(len(files))] == theirs.samples
    assert len(files) == 18


def test_files_that_are_no_images_are_left_out(tmp_path):
    write_classes(tmp_path, ["a", "b"], 10)
    (tmp_path / "README.txt").write_text("classes a and b")
    (tmp_path / "a" / "labels.csv").write_text("a,a\n")
    (tmp_path / "a" / "png").write_text("no ending")
    assert sum(sizes(load(tmp_path))) == 20


def test_hidden_files_and_folders_are_left_out(tmp_path):
    write_classes(tmp_path, ["a", "b", ".cache", "a/.thumbnails"], 10)
    (tmp_path / "a" / "._0001.png").write_bytes(b"\0\5\x16\7")  # as macOS leaves them
    images = load(tmp_path)
    assert (images.classes, sum(sizes(images))) == (2, 20)


def test_links_to_files_and_folders_are_followed_but_not_in_circles(tmp_path):
    write_classes(tmp_path / "elsewhere", ["a", "b"], 10)
    (tmp_path / "given" / "b").mkdir(parents=True)
    (tmp_path / "given" / "a").symlink_to(tmp_path / "elsewhere" / "a")
    (tmp_path / "elsewhere" / "a" / "again").symlink_to(tmp_path / "elsewhere" / "a")
    for file in (tmp_path / "elsewhere" / "b").iterdir():
        (tmp_path / "given" / "b" / file.name).symlink_to(file)
    write_classes(tmp_path / "elsewhere", ["more"], 5)
    (tmp_path / "given" / "b" / "more").symlink_to(tmp_path / "elsewhere" / "more")
    assert sum(sizes(load(tmp_path / "given"))) == 25


def test_numeric_classes_are_in_the_order_of_their_numbers(tmp_path):
    write_classes(tmp_path, [str(number) for number in range(12)], 5)
    images = load(tmp_path)
    assert list_folders(str(tmp_path)) == [str(number) for number in range(12)]
    assert (LABELS[rows_of(images.train_x)] == images.train_y % 10).all()  # class 10 holds zeros, class 11 ones


def test_other_classes_are_in_the_order_of_their_text(tmp_path):
    write_classes(tmp_path, ["10", "2", "x"], 1)
    assert list_folders(str(tmp_path)) == ["10", "2", "x"]


def test_files_are_named_in_one_array_of_bytes(tmp_path):
    write_classes(tmp_path, ["a", "ü"], 2)
    files = folder.list_files(str(tmp_path), ["a", "ü"])
    assert files.names.dtype.kind == "S"
    assert all(os.path.isfile(files.path(row)) for row in range(4))
    assert files.rows(np.array([3])).path(0) == files.path(3)
    assert files.labels.tolist() == [0, 0, 1, 1]


def test_a_cap_is_applied_before_anything_is_decoded(tmp_path):
    write_classes(tmp_path, ["a", "b"], 50)
    kept = load(tmp_path, subset=10)
    assert sizes(kept) == [10, 10, 10]
    names = {f"{row:04}.png" for x in (kept.train_x, kept.validation_x, kept.test_x) for row in rows_of(x)}
    for file in tmp_path.glob("*/*.png"):
        if file.name not in names:
            file.write_text("no image")
    assert (load(tmp_path, subset=10).train_x == kept.train_x).all()
    with pytest.raises(RecipeError, match="every image must be readable"):
        load(tmp_path)


def test_images_that_do_not_fit_in_memory_are_refused_before_anything_is_decoded(tmp_path, monkeypatch):
    write_classes(tmp_path, ["a", "b"], 10)
    for file in tmp_path.glob("*/*.png"):
        file.write_text("no image")
    assert refused(tmp_path, image_size=20_000) == (
        f"the images must fit in 8 GB of memory: got 20 of 20000 × 20000 × 3 bytes, 24.0 GB, of {tmp_path}. "
        "Choose smaller ones (--set image_size=…) or fewer (--set subset=…)."
    )
    own.check(OwnNumbers(batch=2, image_size=20_000, subset=2), str(tmp_path))


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"", "UnidentifiedImageError: cannot identify image file"),
        (b"no image", "UnidentifiedImageError: cannot identify image file"),
        (None, "OSError: "),
    ],
    ids=["empty", "text", "cut short"],
)
def test_an_image_that_cannot_be_read_is_named(tmp_path, content, reason):
    write_classes(tmp_path, ["a", "b"], 10, suffix=".jpg")
    file = sorted(tmp_path.glob("b/*"))[4]
    file.write_bytes(file.read_bytes()[:400] if content is None else content)
    own.check(NUMBERS, str(tmp_path))  # a check decodes nothing
    with pytest.raises(RecipeError) as caught:
        load(tmp_path)
    assert str(caught.value).startswith(f"every image must be readable: got {file} ({reason}")
    assert str(caught.value).endswith("). Replace or remove the file.")


def test_all_images_that_cannot_be_read_are_counted_and_the_first_are_named(tmp_path):
    write_classes(tmp_path, ["a", "b"], 10)
    files = sorted(tmp_path.glob("*/*.png"))
    for file in files[3:8]:
        file.write_bytes(file.read_bytes()[:60])
    with pytest.raises(RecipeError) as caught:
        load(tmp_path, split_seed=1)
    said = str(caught.value)
    assert re.match(r"every image must be readable: got \d that are not: ", said)
    assert said.endswith("Replace or remove the files.")
    assert 1 < len(set(re.findall(r"/\d{4}\.png", said))) <= 3


def test_an_image_of_16_bits_is_refused_rather_than_turned_white(tmp_path):
    write_classes(tmp_path, ["a", "b"], 10)
    file = tmp_path / "a" / "deep.png"
    Image.fromarray(PIXELS[0].astype(np.uint16) * 257).save(file)
    with pytest.raises(RecipeError) as caught:
        load(tmp_path)
    assert str(caught.value) == (
        f"every image must be readable: got {file} (ValueError: pixels of mode I;16, not of 8 bits). "
        "Replace or remove the file."
    )


def test_images_with_a_palette_and_transparency_are_read(tmp_path):
    write_classes(tmp_path, ["a", "b"], 10, mode="P")
    transparent = Image.fromarray(PIXELS[0]).convert("P")
    transparent.save(tmp_path / "a" / "transparent.png", transparency=bytes(range(256)))
    assert load(tmp_path).train_x.shape[1:] == (28, 28, 3)


def only_image(path):
    """Return what is read of the one image that differs from the others, black ones."""
    images = load(path, image_size=24)
    (found,) = [image for image in [*images.train_x, *images.validation_x, *images.test_x] if image.any()]
    return found


def write_black(path):
    """Write black images of two classes; return where another may be put."""
    for name in "ab":
        (path / name).mkdir()
        for number in range(10):
            Image.new("RGB", (24, 24)).save(path / name / f"{number}.png")
    return path / "a"


COLOURED = Image.fromarray(np.random.default_rng(0).integers(1, 256, (24, 24, 3), np.uint8))


@pytest.mark.parametrize(
    ("orientation", "suffix"), [*((number, "png") for number in range(9)), (6, "webp"), (6, "tif"), (8, "tif")]
)
def test_photos_are_turned_upright_as_their_orientation_says(tmp_path, orientation, suffix):
    exif = Image.Exif()
    exif[ExifTags.Base.Orientation] = orientation
    COLOURED.save(write_black(tmp_path) / f"photo.{suffix}", exif=exif, lossless=True)
    flip = {2: np.fliplr, 3: lambda x: np.rot90(x, 2), 4: np.flipud, 5: lambda x: np.fliplr(np.rot90(x, 3))}
    flip |= {6: lambda x: np.rot90(x, 3), 7: lambda x: np.fliplr(np.rot90(x, 1)), 8: lambda x: np.rot90(x, 1)}
    assert (only_image(tmp_path) == flip.get(orientation, np.asarray)(np.asarray(COLOURED))).all()


@pytest.mark.parametrize("exif", [b"Exif\0\0", b"Exif\0\0MM\0*\0\0\0\x08\xff\xff", b"garbage", bytes(64)])
def test_a_photo_with_a_damaged_orientation_is_read_as_it_lies(tmp_path, exif):
    COLOURED.save(write_black(tmp_path) / "photo.png", exif=exif)
    assert (only_image(tmp_path) == np.asarray(COLOURED)).all()


def test_files_of_imagenet_are_read_as_torchvision_reads_them(tmp_path):
    exif = Image.Exif()
    exif[ExifTags.Base.Orientation] = 6
    COLOURED.save(tmp_path / "photo.png", exif=exif)
    assert (np.asarray(folder.open_rgb(str(tmp_path / "photo.png"))[0]) == np.asarray(COLOURED)).all()


@pytest.mark.parametrize(
    ("mode", "suffix"),
    [("CMYK", "jpg"), ("CMYK", "tif"), ("RGBA", "png"), ("LA", "png"), ("P", "png"), ("1", "png"), ("YCbCr", "jpg")],
)
def test_images_of_every_8_bit_mode_are_read_as_rgb(tmp_path, mode, suffix):
    COLOURED.convert(mode).save(file := write_black(tmp_path) / f"other.{suffix}")
    with Image.open(file) as image:
        assert (only_image(tmp_path) == np.asarray(image.convert("RGB"))).all()


def test_the_first_frame_of_several_is_taken(tmp_path):
    rest = [Image.new("RGB", (24, 24), "red")] * 2
    COLOURED.save(write_black(tmp_path) / "moving.webp", save_all=True, append_images=rest, lossless=True)
    assert (only_image(tmp_path) == np.asarray(COLOURED)).all()


@pytest.mark.parametrize(("dtype", "mode"), [(np.int32, "I"), (np.float32, "F"), (np.uint16, "I;16")])
def test_pixels_of_more_than_8_bits_are_refused(tmp_path, dtype, mode):
    Image.fromarray(np.full((24, 24), 300, dtype)).save(file := write_black(tmp_path) / "deep.tif")
    with pytest.raises(RecipeError, match=rf"got {file} \(ValueError: pixels of mode {mode}, not of 8 bits\)"):
        load(tmp_path)


def test_a_folder_that_is_missing_is_refused(tmp_path):
    with pytest.raises(RecipeError, match=r"^--data must name an existing folder: got .*nowhere\."):
        folder.check(NUMBERS, str(tmp_path / "nowhere"), 28)


@pytest.mark.parametrize(("classes", "number"), [([], 0), (["a"], 1), (["train"], 1)])
def test_fewer_than_two_classes_are_refused(tmp_path, classes, number):
    write_classes(tmp_path, classes)
    Image.fromarray(PIXELS[0]).save(tmp_path / "flat.png")
    assert refused(tmp_path) == (
        f"an image folder needs a folder for each of 2 classes or more: got {number} in {tmp_path}. Give one with "
        "DIR/CLASS/*, or DIR/train/CLASS/* with DIR/val/CLASS/* or DIR/test/CLASS/* or both."
    )


@pytest.mark.parametrize("splits", [["train"], ["test", "val"], ["extra", "test", "train"]])
def test_splits_other_than_those_known_are_refused(tmp_path, splits):
    for split in splits:
        write_classes(tmp_path / split, ["a", "b"], 6)
    assert refused(tmp_path) == (
        "an image folder in splits has train, and val or test or both, and no other, each with the class folders: "
        f"got {', '.join(splits)} in {tmp_path}. Give one with DIR/CLASS/*, or DIR/train/CLASS/* with DIR/val/CLASS/* "
        "or DIR/test/CLASS/* or both. A class must hold its images, not folders."
    )


def test_a_class_without_an_image_is_named(tmp_path):
    write_classes(tmp_path, ["a", "b"])
    for name in ("empty", "texts"):
        (tmp_path / name).mkdir()
    (tmp_path / "texts" / "notes.txt").write_text("none")
    assert refused(tmp_path) == (
        "every class folder must hold an image (.jpg, .jpeg, .png, .ppm, .bmp, .pgm, .tif, .tiff, .webp): "
        f"got none in empty, texts of {tmp_path} (1 file left out: 1 .txt). Add images or remove the folder."
    )


@pytest.mark.parametrize("split", ["val", "test"])
def test_classes_that_differ_between_splits_are_named(tmp_path, split):
    write_classes(tmp_path / "train", ["a", "b", "c"])
    write_classes(tmp_path / split, ["a", "B", "c", "d"])
    assert refused(tmp_path) == (
        "every split must have the class folders of train: got 2 more (B, d) and 1 fewer (b) in "
        f"{tmp_path / split}. Some differ only in case, spaces, zeros or the form of accents. "
        "Rename, add or remove folders."
    )


def test_too_few_images_for_a_batch_are_refused(tmp_path):
    write_classes(tmp_path, ["a", "b"], 10)
    assert refused(tmp_path, batch=17).startswith("the training split must fill a batch: got 16 of ")


def test_an_npz_file_is_taken_as_well(tmp_path):
    file = tmp_path / "digits.npz"
    np.savez(file, x=PIXELS[:100], y=np.arange(100) % 2)
    images = load(file, subset=10)
    assert (images.source, sizes(images)) == (str(file), [10, 10, 10])
    assert own.check(NUMBERS, str(file)) == (
        "100 images of 2 classes: 72 for training, 14 for validation, 14 for test; an image is 28 × 28."
    )


def test_images_of_ones_own_must_be_given(tmp_path):
    with pytest.raises(RecipeError, match=r"^this recipe trains on your own images: got no --data\. Give a folder"):
        own.load(NUMBERS, None, tmp_path)


def test_a_check_needs_no_torch(tmp_path):
    write_classes(tmp_path, ["a", "b"], 10)
    program = f"""
import sys
from trainers.data import own
from trainers.descriptors.images import OwnNumbers
own.check(OwnNumbers(batch=4), {str(tmp_path)!r})
print(sorted({{"torch", "torchvision", "ray"}} & set(sys.modules)))
"""
    finished = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert finished.stdout == "[]\n"


def test_every_class_keeps_its_share_in_every_split(tmp_path):
    write_classes(tmp_path, ["a", "b", "c"], 20)
    images = load(tmp_path, subset=6)
    for y in (images.train_y, images.validation_y, images.test_y):
        assert Counter(y.tolist()) == {0: 2, 1: 2, 2: 2}
