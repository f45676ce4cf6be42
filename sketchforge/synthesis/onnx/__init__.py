"""Trained networks as ONNX files, for programs without torch: `sketchforge export --out FILE.onnx`."""

ENDING = ".onnx"
