"""A run folder as one page to read, and its results as figures."""

from counterplay.report.page import build as build, save_figures as save_figures
