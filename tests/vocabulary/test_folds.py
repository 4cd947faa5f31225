import pytest

from pading.errors import InputError
from pading.vocabulary.folds import load_fold


@pytest.mark.parametrize(
    ("name", "fold", "train", "test"),
    [("pascal_5i", 2, 15, 5), ("coco_20i", 3, 60, 20), ("fss_1000", "test", 520, 240)],
)
def test_sizes(name: str, fold: int | str, train: int, test: int) -> None:
    found = load_fold(name, fold)
    assert (len(found.train), len(found.test)) == (train, test)
    assert not set(found.train) & set(found.test)


def test_names_of_both_kinds() -> None:
    table = load_fold("pascal_5i", 2).test[0]
    assert (table.id, table.published, table.words) == (10, "diningtable", "dining table")
    assert load_fold("fss_1000", "test").test[-1].words == "wooden spoon"


@pytest.mark.parametrize(("name", "fold"), [("pascal_5i", 4), ("fss_1000", "train"), ("voc", 0)])
def test_what_does_not_exist_is_named(name: str, fold: int | str) -> None:
    with pytest.raises(InputError, match="fold"):
        load_fold(name, fold)
