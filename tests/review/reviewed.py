"""What the tests of the review know of their run."""

N = 12
HOSTILE = "<script>alert(1)</script>.png"
TOKEN, PORT = "the-token", 8123
