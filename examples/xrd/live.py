"""The analysis beside the detector, while it measures; both are started here.

    python live.py                  (pip install "pipert2[hdf5,zmq]")

While it runs, its results are at http://127.0.0.1:8460, for h5pyd and silx.
"""

import sys
import threading

from analysis import Reducer, Worker
from detector import push

from pipert2 import Pipe
from pipert2.patterns.events.batch import SCANS
from pipert2.patterns.map_reduce.pipes import map_reduce
from pipert2.patterns.streams.zmq_stream import ZmqStream

URL = sys.argv[1] if len(sys.argv) > 1 else "tcp://127.0.0.1:9999"
PORT = int(sys.argv[2]) if len(sys.argv) > 2 else 8460

pipe = Pipe("xrd", lossless=True)
map_reduce(pipe, ZmqStream("xrd", URL), Worker, Reducer, streams=["xrd"], workers=2, publish=PORT)
with pipe:
    pipe.notify_event("start", wait=20)
    threading.Thread(target=push, args=(URL,), daemon=True).start()
    scans = []
    while not any(scan["state"] == "done" for scan in scans):
        threading.Event().wait(0.2)
        scans = pipe.notify_event(SCANS, wait=10)["reduce"].unwrap()
print({name: scans[0][name] for name in ("state", "events", "done", "lost")})
