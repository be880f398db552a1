"""For how long a page does not answer while somebody uses it."""

from contextlib import contextmanager


@contextmanager
def watching(page):
    """Note the tasks of a page's main thread.

    Its own time is counted, not what other programs take meanwhile; on an idle machine that
    is the same.

    Yields:
        A list, at the end filled with the milliseconds of every task.
    """
    session = page.context.new_cdp_session(page)
    events, complete, found = [], [], []
    session.on("Tracing.dataCollected", lambda part: events.extend(part["value"]))
    session.on("Tracing.tracingComplete", lambda _: complete.append(True))
    session.send(
        "Tracing.start",
        {
            "transferMode": "ReportEvents",
            "traceConfig": {"includedCategories": ["toplevel"]},
        },
    )
    yield found
    session.send("Tracing.end")
    while not complete:
        page.evaluate("new Promise(requestAnimationFrame)")  # lets events arrive
    session.detach()
    main = {
        (event["pid"], event["tid"])
        for event in events
        if event["name"] == "thread_name" and event["args"]["name"] == "CrRendererMain"
    }
    found += [
        event["tdur"] / 1_000
        for event in events
        if (event["pid"], event["tid"]) in main and "tdur" in event
    ]
    assert found
