from counterplay.report import drawing, figures


def test_a_saved_figure_is_the_same_bytes_again(tmp_path, log_rows):
    once = [
        p.read_bytes()
        for p in drawing.save(figures.training_curves(log_rows), tmp_path / "a")
    ]
    again = [
        p.read_bytes()
        for p in drawing.save(figures.training_curves(log_rows), tmp_path / "a")
    ]
    assert once == again
    assert sorted(p.name for p in tmp_path.iterdir()) == ["a.png", "a.svg"]
