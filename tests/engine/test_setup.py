"""What an entry point says of bad input."""

import pytest
from torch.utils.data import DataLoader, Dataset

from pading.errors import InputError, exit_on_input_error


class Unreadable(Dataset):
    """Images of which none can be read."""

    def __len__(self) -> int:
        return 1

    def __getitem__(self, number: int) -> None:
        try:
            open("/no/such/image").close()
        except OSError as error:
            raise InputError("1.png: cannot read this image; fetch it again") from error


@pytest.mark.parametrize("workers", [0, 1])
def test_one_line_also_for_what_a_worker_reads(
    workers: int, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as stopped:
        exit_on_input_error(lambda: list(DataLoader(Unreadable(), num_workers=workers)))
    assert stopped.value.code == 2
    assert capsys.readouterr().err == "error: 1.png: cannot read this image; fetch it again\n"
