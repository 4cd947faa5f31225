"""PADing (He, Ding, Jiang, CVPR 2023): stage 2, on a frozen segmenter."""
