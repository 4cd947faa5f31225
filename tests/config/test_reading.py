"""Reading configurations: what is refused, and with which words."""

from pathlib import Path

import pytest
import yaml

from pading.config import KEYS, PUBLISHED_KEYS, config_from_yaml, list_configs, load_config
from pading.config.reference import reference_page
from pading.errors import InputError

ROOT = Path(__file__).resolve().parents[2]
# What a stage is trained with, rather than a part of it.
SHIPPED = sorted(
    path
    for kind in ("base", "pretrain*", "PADing*")
    for path in (ROOT / "configs").rglob(f"{kind}.yaml")
    if path.parent.name != "shared"
)


def write(path: Path, text: str) -> str:
    path.write_text(text)
    return str(path)


def known(cfg, key: str) -> bool:
    *sections, name = key.split(".")
    for section in sections:
        cfg = cfg[section]
    return name in cfg


@pytest.mark.parametrize("path", SHIPPED, ids=lambda p: str(p.relative_to(ROOT)))
def test_shipped_configurations_load(path: Path) -> None:
    cfg = load_config(str(path))
    assert cfg.DATASETS.TEST or path.stem == "base"


def test_base_comes_first_and_overrides_last(tmp_path: Path) -> None:
    write(tmp_path / "base.yaml", "SOLVER: {BASE_LR: 0.5, MAX_ITER: 10, IMS_PER_BATCH: 2}")
    path = write(tmp_path / "top.yaml", "_BASE_: base.yaml\nSOLVER: {BASE_LR: 0.25, MAX_ITER: 20}")
    cfg = load_config(path, ["SOLVER.MAX_ITER", "30"])
    assert (cfg.SOLVER.BASE_LR, cfg.SOLVER.MAX_ITER, cfg.SOLVER.IMS_PER_BATCH) == (0.25, 30, 2)


def test_several_bases_merge_in_order_and_a_common_one_once(tmp_path: Path) -> None:
    write(tmp_path / "root.yaml", "SOLVER: {BASE_LR: 0.5, MAX_ITER: 10, IMS_PER_BATCH: 2}")
    write(tmp_path / "task.yaml", "_BASE_: root.yaml\nSOLVER: {MAX_ITER: 20}")
    write(tmp_path / "stage.yaml", "_BASE_: root.yaml\nSOLVER: {BASE_LR: 0.25}")
    path = write(tmp_path / "top.yaml", "_BASE_: [task.yaml, stage.yaml]\nSEED: 3")
    cfg = load_config(path)
    assert (cfg.SOLVER.BASE_LR, cfg.SOLVER.MAX_ITER, cfg.SOLVER.IMS_PER_BATCH) == (0.25, 20, 2)
    assert cfg.SEED == 3


def test_values_of_the_command_line(tmp_path: Path) -> None:
    path = write(tmp_path / "c.yaml", "VERSION: 2")
    overrides = {
        "SOLVER.BASE_LR": "1",
        "SOLVER.STEPS": "(10, 20)",
        "MODEL.WEIGHTS": "123.pth",
        "OUTPUT_DIR": "7",
        "MODEL.GENERATOR.NOISE": "False",
        "DATASETS.TEST": "['a', 'b']",
    }
    cfg = load_config(path, [part for pair in overrides.items() for part in pair])
    assert cfg.SOLVER.BASE_LR == 1.0
    assert cfg.SOLVER.STEPS == (10, 20)
    assert cfg.MODEL.WEIGHTS == "123.pth"
    assert cfg.OUTPUT_DIR == "7"
    assert cfg.MODEL.GENERATOR.NOISE is False
    assert tuple(cfg.DATASETS.TEST) == ("a", "b")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("MODEL: {SEGMENTR: {HIDDEN_DIM: 1}}", r"MODEL\.SEGMENTR\.HIDDEN_DIM; did you mean"),
        ("SOLVER: {BASE_LT: 1.0}", r"key SOLVER\.BASE_LT; did you mean SOLVER\.BASE_LR\?"),
        ("SOLVER: 3", r"SOLVER is a section; set one of its keys, such as SOLVER\."),
        ("SOLVER: {MAX_ITER: many}", r"SOLVER\.MAX_ITER is 'many', but a int such as"),
        ("SOLVER: {BASE_LR: true}", r"SOLVER\.BASE_LR is True, but a float"),
        ("OUTPUT_DIR: {A: 1}", r"no configuration key OUTPUT_DIR\.A"),
        ("MODEL: {MASK_FORMER: {NHEADS: 8}}", r"use MODEL\.SEGMENTER\.NUM_HEADS"),
        ("MODEL: {MASK_FORMER: {DEC_LAYERS: 10}}", "one less than the published value"),
        ("MODEL: {MASK_FORMER: {PRE_NORM: false}}", "published code; remove it"),
        ("- a list", "expected a YAML mapping of keys to values"),
        ("", "expected a YAML mapping"),
        ("A: [", "not a plain YAML file"),
        ("_BASE_: nowhere.yaml", r"nowhere\.yaml: cannot read .*named as _BASE_ in .*c\.yaml"),
        ("_BASE_: c.yaml", "its _BASE_ leads back to itself"),
    ],
)
def test_refused_files(text: str, message: str, tmp_path: Path) -> None:
    path = write(tmp_path / "c.yaml", text)
    with pytest.raises(InputError, match=message) as caught:
        load_config(path)
    assert str(tmp_path) in str(caught.value)


def test_longer_circle_of_bases(tmp_path: Path) -> None:
    write(tmp_path / "a.yaml", "_BASE_: b.yaml")
    write(tmp_path / "b.yaml", "_BASE_: a.yaml")
    with pytest.raises(InputError, match="leads back to itself"):
        load_config(str(tmp_path / "a.yaml"))


def test_missing_file(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"none\.yaml: cannot read .*No such file"):
        load_config(str(tmp_path / "none.yaml"))


def test_folder_and_binary_file(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="Is a directory"):
        load_config(str(tmp_path))
    (tmp_path / "c.yaml").write_bytes(b"\x80\x81\xff")
    with pytest.raises(InputError, match="not a plain YAML file"):
        load_config(str(tmp_path / "c.yaml"))


@pytest.mark.parametrize(
    "value", ["!!python/object/apply:os.mkdir [{0}]", '!!python/object/apply:eval ["1"]']
)
def test_code_in_yaml_is_refused_and_not_run(value: str, tmp_path: Path) -> None:
    made = tmp_path / "made"
    path = write(tmp_path / "c.yaml", "OUTPUT_DIR: " + value.replace("{0}", str(made)))
    with pytest.raises(InputError, match="not a plain YAML file"):
        load_config(path)
    assert not made.exists()


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        (["SOLVER.BASE_LR"], r"'SOLVER\.BASE_LR' stands alone; add its value"),
        (["SOLVER.BASE_LR", "1", "SEED"], "'SEED' stands alone"),
        (["SOLVER.BASELR", "1"], r"command line: .*SOLVER\.BASELR; did you mean SOLVER\.BASE_LR"),
        (["SOLVER.MAX_ITER", "1.5"], r"command line: SOLVER\.MAX_ITER is 1\.5"),
        (["SOLVER.MAX_ITER", "__import__('os')"], r"SOLVER\.MAX_ITER is"),
        (["SOLVER.MAX_ITER", "{[]: 1}"], r"SOLVER\.MAX_ITER is '{\[\]: 1}', but a int"),
        (["SOLVER.BASE_LR", "1" + "0" * 400], r"SOLVER\.BASE_LR is 10+, but a float"),
        (["MODEL.MASK_FORMER.NUM_OBJECT_QUERIES", "5"], r"use MODEL\.SEGMENTER\.NUM_QUERIES"),
    ],
)
def test_refused_overrides(overrides: list[str], message: str, tmp_path: Path) -> None:
    path = write(tmp_path / "c.yaml", "VERSION: 2")
    with pytest.raises(InputError, match=message):
        load_config(path, overrides)


def test_published_keys_name_keys_of_ours(tmp_path: Path) -> None:
    cfg = load_config(write(tmp_path / "c.yaml", "VERSION: 2"))
    for published, (ours, note) in PUBLISHED_KEYS.items():
        assert ours or note, published
        assert not ours or known(cfg, ours), published


def test_a_configuration_that_a_run_has_written(tmp_path: Path) -> None:
    """It has Detectron2's own keys, some of which are refused where a user sets them."""
    cfg = load_config("shapes/PADing", ["SEED", "7"])
    path = tmp_path / "config.yaml"
    path.write_text(cfg.dump())
    again = load_config(str(path))
    assert yaml.safe_load(again.dump()) == yaml.safe_load(cfg.dump())
    path.write_text(cfg.dump().replace("COMMON_STRIDE: 4", "COMMON_STRIDE: 8"))
    with pytest.raises(InputError, match=r"COMMON_STRIDE is a key of the published code"):
        load_config(str(path))


def test_a_configuration_by_name_from_anywhere(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    by_path = load_config(str(ROOT / "configs" / "panoptic" / "PADing.yaml"))
    monkeypatch.chdir(tmp_path)
    assert load_config("panoptic/PADing") == by_path
    assert load_config("configs/panoptic/PADing.yaml") == by_path
    (tmp_path / "mine.yaml").write_text("_BASE_: panoptic/PADing\nSEED: 3\n")
    assert load_config("mine.yaml").SEED == 3
    assert load_config("mine.yaml").MODEL.ZERO_SHOT == by_path.MODEL.ZERO_SHOT
    assert {"panoptic/PADing", "shapes/semantic/pretrain"} <= set(list_configs())
    with pytest.raises(InputError, match="panoptic/PAding: .*did you mean panoptic/PADing"):
        load_config("panoptic/PAding")


def test_a_folder_of_that_name_hides_no_configuration(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "panoptic" / "pretrain").mkdir(parents=True)
    monkeypatch.chdir(tmp_path)
    assert load_config("panoptic/pretrain").DATASETS.TRAIN
    path = write(tmp_path / "c.yaml", "_BASE_: panoptic/pretrain")
    assert load_config(path).DATASETS.TRAIN


def test_what_a_checkpoint_carries_is_read_again() -> None:
    cfg = load_config("shapes/PADing")
    again = config_from_yaml(cfg.dump(), "model.pth")
    assert yaml.safe_load(again.dump()) == yaml.safe_load(cfg.dump())
    for text in ("- a list", "a: [", "MODEL: {NO_SUCH_KEY: 1}"):
        with pytest.raises(InputError, match=r"model\.pth: its configuration"):
            config_from_yaml(text, "model.pth")


@pytest.mark.parametrize(
    ("encoding", "message"), [("utf-8-sig", None), ("utf-16", "written in UTF-16; save it as")]
)
def test_encodings_of_editors(encoding: str, message: str | None, tmp_path: Path) -> None:
    (tmp_path / "c.yaml").write_text("SEED: 3\n", encoding=encoding)
    if message is None:
        assert load_config(str(tmp_path / "c.yaml")).SEED == 3
        return
    with pytest.raises(InputError, match=message):
        load_config(str(tmp_path / "c.yaml"))


def test_the_reference_page_has_every_key() -> None:
    page = reference_page()
    assert all(f"`{key.name}`" in page for key in KEYS)
    assert len({key.name for key in KEYS}) == len(KEYS)
    assert all(key.comment for key in KEYS)
